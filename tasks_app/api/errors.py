"""Maps exceptions to HTTP responses: the only module that knows which error has which status code.

Every error body is {"detail": one sentence, "code": stable, for machines} and, where fields are at fault,
"errors": {field: [sentence, …]}. An error of ours, not of the client, also has "request_id", which the log's
lines of the request have, too.
"""

import logging
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, DataError, InterfaceError, OperationalError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseServerError,
    JsonResponse,
    UnreadablePostError,
)
from django.template import loader
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from rest_framework import views
from rest_framework.response import Response

from tasks_app import command_lines, logs
from tasks_app.db import errors
from tasks_app.errors import (
    CollectorError,
    ForgottenChanges,
    ItemNotFound,
    NothingNumbered,
    OrderError,
    PlanNotFound,
    QueuedOrderNotFound,
    TargetNotFound,
    TaskNotFound,
)
from tasks_app.exports.errors import ExportNotFound

API = "/api/"
logger = logging.getLogger(__name__)

UNAVAILABLE = 503, "unavailable", _("The database does not answer. Try again in a few seconds.")
TABLES_MISSING = _("Tables are missing in the database. Its administrator has to run: %(manage)s migrate")
SERVER_ERROR = 500, "error", _("Something went wrong here; it was logged.")
BAD_REQUEST = 400, "bad_request", _("The request can't be understood.")
STATUS_CODES = {
    **dict.fromkeys(
        (TaskNotFound, ItemNotFound, PlanNotFound, TargetNotFound, ExportNotFound, QueuedOrderNotFound), 404
    ),
    ForgottenChanges: 410,
    NothingNumbered: 503,
}


def error_body(detail: Any, code: str, fields: dict[str, list[Any]] | None = None) -> dict[str, Any]:
    """Returns the body that every error has."""
    return {"detail": detail, "code": code, **({"errors": fields} if fields else {})}


def _own_error_body(detail: Any, code: str, status: int) -> dict[str, Any]:
    """Returns an error's body, with the request's id if the server is at fault."""
    request_id = logs.bound("request_id")
    return error_body(detail, code) | ({"request_id": request_id} if status >= 500 and request_id else {})


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's hook: returns the response to an exception, None for an unexpected one."""
    if isinstance(exc, CollectorError):
        fields = {exc.field: [str(exc)]} if isinstance(exc, OrderError) else None
        return Response(error_body(str(exc), exc.code, fields), STATUS_CODES.get(type(exc), 400))
    if error := _technical_error(exc):
        status, code, detail = error
        logger.warning("%s: %s", code, exc)
        headers = {"Retry-After": "5"} if status == 503 else None
        return Response(_own_error_body(detail, code, status), status, headers=headers)
    response = views.exception_handler(exc, context)
    if response is not None:
        detail = response.data.get("detail") if isinstance(response.data, dict) else None
        if isinstance(detail, str):
            response.data = error_body(detail, getattr(detail, "code", "error"))
        else:
            response.data = _validation_body(response.data)
    return response


def _technical_error(exc: Exception) -> tuple[int, str, Any] | None:
    """Returns status, code and sentence of an error of the database or the connection; None for others."""
    if isinstance(exc, DatabaseError) and errors.is_missing_table(exc):
        return 503, "unmigrated", TABLES_MISSING % {"manage": command_lines.manage()}
    if isinstance(exc, OperationalError | InterfaceError):
        return UNAVAILABLE
    return BAD_REQUEST if isinstance(exc, DataError | SuspiciousOperation | UnreadablePostError) else None


def _validation_body(detail: dict[str, Any]) -> dict[str, Any]:
    """Returns the body of a validation error; its detail is the first field's first sentence."""
    fields = {name: _sentences(nested) for name, nested in detail.items()}
    name, sentences = next(iter(fields.items()))
    return error_body(f"{name}: {sentences[0]}", "invalid", fields)


def _sentences(nested: Any) -> list[str]:
    """Returns all sentences in a nested structure, each once."""
    if isinstance(nested, str):
        return [nested]
    parts = nested.values() if isinstance(nested, dict) else nested
    return list(dict.fromkeys(sentence for part in parts for sentence in _sentences(part)))


def json_error(status: int, code: str, detail: Any) -> JsonResponse:
    """Returns an error from outside REST framework."""
    return JsonResponse(_own_error_body(detail, code, status), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler of status 400; JSON for paths of the API."""
    is_api = request.path.startswith(API)
    return json_error(*BAD_REQUEST) if is_api else defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler of status 500; JSON for paths of the API, unless a browser asks."""
    if request.path.startswith(API) and "text/html" not in request.headers.get("Accept", ""):
        return json_error(*SERVER_ERROR)
    page = loader.render_to_string("500.html", {"request_id": logs.bound("request_id")})  # no query
    return HttpResponseServerError(page)
