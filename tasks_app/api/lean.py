"""The polled answers, given before anything that they do not need: the state of a task, and what runs.

Hundreds of watchers ask for these every second or two. Only the plain case is answered here: a valid
token, a task that exists, JSON. Everything else goes the ordinary way and gets its errors there;
tests hold both ways to the same answers.
"""

from collections.abc import Callable
from hashlib import blake2b
from uuid import UUID

from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase

from tasks_app import errors, selectors, wire
from tasks_app.api.authentication import is_valid

API = "/api/data-collection/"
STATUS, CURRENT = f"{API}status/", f"{API}current-task"
HEADERS = {
    "Allow": "GET, HEAD, OPTIONS",
    "Vary": "Accept, Accept-Language",
    "Cache-Control": "private, no-cache",
}


class Lean:
    """Middleware: answers what is polled, passes on the rest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            answer = _answer(request)
        except Error:  # the ordinary way meets it again, and has the words for it
            answer = None
        return answer or self.get_response(request)


def _answer(request: HttpRequest) -> HttpResponse | None:
    path = request.path_info
    if path != CURRENT and not path.startswith(STATUS):
        return None
    if not (_is_plain(request) and is_valid(request.META.get("HTTP_AUTHORIZATION", ""))):
        return None
    request.get_host()  # refuses a foreign one
    if path == CURRENT:
        return _tell(request, wire.encode(selectors.current_answer()))
    try:
        task = selectors.get(UUID(path.removeprefix(STATUS)))
    except (ValueError, errors.TaskNotFound):
        return None
    told = selectors.statuses([task])[0]
    if told["source_message"]:  # in the reader's language, which nobody has asked for yet
        return None
    return _tell(request, wire.encode(told))


def _is_plain(request: HttpRequest) -> bool:
    meta = request.META
    accept = meta.get("HTTP_ACCEPT", "*/*")
    return (
        request.method == "GET"
        and not meta.get("QUERY_STRING")
        and meta.get("CONTENT_LENGTH") in (None, "", "0")
        and "HTTP_TRANSFER_ENCODING" not in meta
        and accept.startswith(("*/*", "application/json"))
        and ";" not in accept
    )


def _tell(request: HttpRequest, body: bytes) -> HttpResponse:
    tag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {**HEADERS, "ETag": tag}
    if tag in request.META.get("HTTP_IF_NONE_MATCH", ""):
        return HttpResponseNotModified(headers=headers)
    headers["Content-Length"] = str(len(body))
    return HttpResponse(body, content_type="application/json", headers=headers)
