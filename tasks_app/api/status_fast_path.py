"""The polled answers, given before anything that they do not need: the state of a task, and what runs.

Hundreds of watchers ask for these every second or two. Only the plain case is answered here: a valid
token, a task that exists, JSON. Everything else goes the ordinary way and gets its errors there;
tests hold both ways to the same answers.
"""

from collections.abc import Callable
from hashlib import blake2b

from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase

from tasks_app import errors
from tasks_app.api.authentication import is_valid
from tasks_app.api.request_data import known_id
from tasks_app.lifecycle import payloads, selectors

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
    return _current(request) if path == CURRENT else _status(request, path.removeprefix(STATUS))


def _current(request: HttpRequest) -> HttpResponse | None:
    task = selectors.current()
    if task and selectors.is_unattended(task):  # it may have to end now
        return None
    told = payloads.encode(selectors.current_answer(task))
    return _unchanged(request, told) or _tell(told, told)


def _status(request: HttpRequest, text: str) -> HttpResponse | None:
    try:
        task = selectors.get(known_id(text))
    except errors.TaskNotFound:
        return None
    outline = selectors.outline(task)
    # The second is in the reader's language, which nobody has asked for yet.
    if outline["unattended"] or outline["source_message"]:
        return None
    version = payloads.encode(outline)
    return _unchanged(request, version) or _tell(payloads.encode(selectors.complete(outline, task)), version)


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


def _unchanged(request: HttpRequest, version: bytes) -> HttpResponse | None:
    """A 304, where the client has this version."""
    if (tag := _tag(version)) not in request.META.get("HTTP_IF_NONE_MATCH", ""):
        return None
    return HttpResponseNotModified(headers={**HEADERS, "ETag": tag})


def _tell(body: bytes, version: bytes) -> HttpResponse:
    headers = {**HEADERS, "ETag": _tag(version), "Content-Length": str(len(body))}
    return HttpResponse(body, content_type="application/json", headers=headers)


def _tag(version: bytes) -> str:
    return f'W/"{blake2b(version, digest_size=12).hexdigest()}"'
