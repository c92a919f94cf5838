"""Which exception means which HTTP status: the only place that knows.

Every error body is {"detail": one sentence, "code": stable and for machines} and, where fields are
at fault, "errors": {field: [sentence, …]}.
"""

import logging
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from rest_framework import views
from rest_framework.response import Response

from tasks_app.db import errors
from tasks_app.errors import CollectorError, OrderError, TaskNotFound

API = "/api/"
logger = logging.getLogger(__name__)

_TECHNICAL: dict[tuple[type[Exception], ...], tuple[int, str, Any]] = {
    (OperationalError, InterfaceError): (
        503,
        "unavailable",
        _("The database does not answer. Try again in a few seconds."),
    ),
    (DataError, SuspiciousOperation, UnreadablePostError): (
        400,
        "bad_request",
        _("The request can't be understood."),
    ),
}

_UNMIGRATED = (
    503,
    "unmigrated",
    _("Tables are missing in the database. Whoever runs this site has to run: python manage.py migrate"),
)


def error_body(detail: Any, code: str, fields: dict[str, list[Any]] | None = None) -> dict[str, Any]:
    """The one shape of an error."""
    return {"detail": detail, "code": code, **({"errors": fields} if fields else {})}


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's hook: the answer to an exception, None for one that nobody foresaw."""
    if isinstance(exc, CollectorError):
        return _refused(exc)
    return _technical(exc) or _foreseen(exc, context)


def _refused(exc: CollectorError) -> Response:
    fields = {exc.field: [str(exc)]} if isinstance(exc, OrderError) else None
    return Response(error_body(str(exc), exc.code, fields), 404 if isinstance(exc, TaskNotFound) else 400)


def _technical(exc: Exception) -> Response | None:
    told = next((told for kinds, told in _TECHNICAL.items() if isinstance(exc, kinds)), None)
    if isinstance(exc, DatabaseError) and errors.are_missing(exc):
        told = _UNMIGRATED
    if told is None:
        return None
    status, code, detail = told
    logger.warning("%s: %s", code, exc)
    return Response(error_body(detail, code), status, headers={"Retry-After": "5"} if status == 503 else None)


def _foreseen(exc: Exception, context: dict[str, Any]) -> Response | None:
    answer = views.exception_handler(exc, context)
    if answer is None:
        return None
    detail = answer.data.get("detail") if isinstance(answer.data, dict) else None
    if isinstance(detail, str):
        answer.data = error_body(detail, getattr(detail, "code", "error"))
    else:
        answer.data = _invalid(answer.data)
    return answer


def _invalid(detail: Any) -> dict[str, Any]:
    """A validation error's body; the first field's first sentence speaks for all."""
    fields = {name: _sentences(found) for name, found in detail.items()}
    name, sentences = next(iter(fields.items()))
    return error_body(f"{name}: {sentences[0]}", "invalid", fields)


def _sentences(found: Any) -> list[str]:
    """All sentences within, however nested, each once."""
    if isinstance(found, str):
        return [found]
    parts: Iterable[Any] = found.values() if isinstance(found, dict) else found
    return list(dict.fromkeys(sentence for part in parts for sentence in _sentences(part)))


def body_too_large(limit: int) -> JsonResponse:
    """413."""
    detail = _("The body is larger than %(limit)d bytes.") % {"limit": limit}
    return JsonResponse(error_body(detail, "body_too_large"), status=413)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's 400, which for the API is JSON, too."""
    if request.path.startswith(API):
        return JsonResponse(error_body(_("The request can't be understood."), "bad_request"), status=400)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500, which for the API is JSON, too."""
    if request.path.startswith(API):
        return JsonResponse(error_body(_("Something went wrong here; it was logged."), "error"), status=500)
    return defaults.server_error(request)
