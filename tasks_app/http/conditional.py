"""The one way to answer "nothing has changed": an ETag, and a 304 for a client that has this version.

    etag = etag_for(repr(what_the_response_depends_on))
    return conditional_response(request, etag, lambda: JsonResponse(payload()))

The response is built only where the client lacks it, so the version should cost less than the response.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

from django.http import HttpRequest, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags

R = TypeVar("R", bound=HttpResponseBase)
CACHE_CONTROL = "private, no-cache"  # kept by the client alone, and revalidated at each use


def etag_for(version: str | bytes) -> str:
    """Returns the weak ETag of a version: any text or bytes that change whenever the response may.

    Weak, because it names the state that is shown and not the bytes that show it: they may differ by
    language, or by the parts that a page asks for.
    """
    data = version.encode() if isinstance(version, str) else version
    return f'W/"{blake2b(data, digest_size=12).hexdigest()}"'


def conditional_response(
    request: HttpRequest, etag: str, build: Callable[[], R]
) -> R | HttpResponseNotModified:
    """Returns `build()`, or a 304 without a body where `If-None-Match` names `etag`; each with its ETag.

    `If-None-Match` may list several ETags, weak or strong, or be `*`. HEAD gets what GET gets: the server
    drops the body. Other methods are never answered with 304. `If-Match` is ignored, unlike in
    `django.utils.cache.get_conditional_response`, which answers it with an empty 412.
    """
    header = request.META.get("HTTP_IF_NONE_MATCH", "")
    if header and request.method in ("GET", "HEAD") and _names(header, etag):
        response: R | HttpResponseNotModified = HttpResponseNotModified()
    else:
        response = build()
    response["ETag"], response["Cache-Control"] = etag, CACHE_CONTROL
    return response


def _names(header: str, etag: str) -> bool:
    """Whether the header names the ETag, by weak comparison (RFC 9110, 8.8.3.2): `W/` does not count."""
    etags = [client_etag.removeprefix("W/") for client_etag in parse_etags(header)]
    return "*" in etags or etag.removeprefix("W/") in etags
