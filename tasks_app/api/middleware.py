"""Bounds the bodies that the API reads, and answers its paths with a slash at their end."""

from collections.abc import Callable
from io import BytesIO

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from tasks_app.api import errors

DATA_COLLECTION = "/api/data-collection/"
CHUNK = 65_536
DRAIN_CHUNKS = 160  # read and thrown away at most


class TrailingSlashMiddleware:
    """Answers `…/tasks/` as `…/tasks`, without a redirect, in which a POST would lose its body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(DATA_COLLECTION):
            request.path_info = request.path_info.removesuffix("/")
        return self.get_response(request)


class BodyLimitMiddleware:
    """Answers 413 to an API request whose body is larger than `settings.MAX_BODY_BYTES`.

    A middleware, because most bodies never reach the parser: those of requests without a login, of unknown
    paths, of the sign-in form. Django also takes a chunked body for an empty one.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        limit = settings.MAX_BODY_BYTES
        if request.path.startswith(errors.API) and _is_too_large(request, limit):
            detail = _("The body is larger than %(limit)d bytes.") % {"limit": limit}
            return errors.json_error(413, "body_too_large", detail)
        return self.get_response(request)


def _is_too_large(request: HttpRequest, limit: int) -> bool:
    """Whether the body has more than `limit` bytes; reads a chunked one to find out."""
    meta = request.META
    if "chunked" in meta.get("HTTP_TRANSFER_ENCODING", "").lower() and meta.get("wsgi.input_terminated"):
        # No length is announced, but the server knows where the body ends (without that mark nothing may be
        # read of it). At most `limit` bytes are handed on as if their length had been announced.
        body = meta["wsgi.input"].read(limit + 1)
        request._stream = BytesIO(body)
        meta["CONTENT_LENGTH"] = str(len(body))
        return len(body) > limit
    try:
        announced = int(meta.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return False  # Django then reads nothing
    if announced > limit:
        for _chunk in range(DRAIN_CHUNKS):  # a client that is still sending would not see the response
            if not request.read(CHUNK):
                break
    return announced > limit
