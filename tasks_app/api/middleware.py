"""A bound on what the API reads."""

from collections.abc import Callable
from io import BytesIO

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tasks_app.api import errors

CHUNK = 65_536
DRAIN_CHUNKS = 160  # read and thrown away so that the sender, still sending, can hear the answer


class BodyLimitMiddleware:
    """Answers 413 to an API body over `settings.MAX_BODY_BYTES`, whatever its Content-Length says."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        limit = settings.MAX_BODY_BYTES
        if request.path.startswith(errors.API) and not _fits(request, limit):
            return errors.body_too_large(limit)
        return self.get_response(request)


def _fits(request: HttpRequest, limit: int) -> bool:
    if _is_chunked(request):
        return _read_chunked(request, limit)
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return True  # Django then reads nothing
    if announced > limit:
        _drain(request)
    return announced <= limit


def _is_chunked(request: HttpRequest) -> bool:
    """A body without a length whose end the server knows. Without that mark nothing is read of it."""
    return isinstance(request, WSGIRequest) and (
        "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
        and bool(request.META.get("wsgi.input_terminated"))
    )


def _read_chunked(request: HttpRequest, limit: int) -> bool:
    """Read at most `limit` bytes and hand them on as if their length had been announced."""
    body = request.META["wsgi.input"].read(limit + 1)
    if len(body) > limit:
        return False
    request._stream = BytesIO(body)
    request.META["CONTENT_LENGTH"] = str(len(body))
    return True


def _drain(request: HttpRequest) -> None:
    for _ in range(DRAIN_CHUNKS):
        if not request.read(CHUNK):
            return
