"""A request's id, by which its lines are found in the log, and the line that says how it was answered."""

import logging
import re
import time
from collections.abc import Callable

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tasks_app import logs

HEADER = "X-Request-ID"
READS = ("GET", "HEAD", "OPTIONS")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
logger = logging.getLogger("tasks_app.requests")


class RequestLogMiddleware:
    """Binds the id that a client or proxy gives a request, or a new one, to its lines; responds with it.

    A request that was refused or may have changed something gets a line at INFO; other ones get it at DEBUG:
    hundreds of clients poll.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given, began = request.META.get("HTTP_X_REQUEST_ID", ""), time.perf_counter()
        request_id = given if _SANE_ID.fullmatch(given) else logs.new_request_id()
        with logs.bind(request_id=request_id):
            response = self.get_response(request)
            response[HEADER] = request_id
            _log(request, response, time.perf_counter() - began)
        return response


def _log(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """Writes the line, without the query string, which may hold what is none of the log's business."""
    is_read = request.method in READS and response.status_code < 400
    level = logging.DEBUG if is_read else logging.INFO
    if not logger.isEnabledFor(level):
        return
    fields = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "duration_ms": round(seconds * 1000),
        "user": _known_user(request),
    }
    user = f" user={fields['user']}" if fields["user"] else ""
    text = f"{request.method} {request.path!a} {response.status_code} {fields['duration_ms']} ms{user}"
    logger.log(level, "%s", text, extra=fields)


def _known_user(request: HttpRequest) -> str:
    """Returns the name of the user whom a view or middleware has asked for; "" if none did."""
    user = getattr(request, "_cached_user", None) or request.__dict__.get("user")
    return user.get_username() if type(user) is User else ""
