"""Security schemes, errors, headers and parameters of more than one operation."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from tasks_app.api.request_data import KEY, KEY_HEADER
from tasks_app.api.responses.common import ErrorAnswer
from tasks_app.market.codes import SPELLING

F = TypeVar("F", bound=Callable[..., Any])
Responses = dict[Any, Any]  # (status, media type) -> serializer or OpenApiResponse
JSON = "application/json"
ID = "3f2b8c1e-5a4d-4f6e-9b7a-1c2d3e4f5a6b"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tasks_app.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        description = (
            "Also as `Authorization: Token …`. A token of the scope `read` gets a 403 for what writes; "
            "one of the scope `operate` may do what its user may."
        )
        return {"type": "http", "scheme": "bearer", "description": description}


class ScraperScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tasks_app.api.metrics.ScraperAuthentication"
    name = "scraper"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "COLLECTOR_METRICS_TOKEN."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tasks_app.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


def problem(
    status: int, title: str, detail: str, code: str, *, field: str = "", example_name: str = ""
) -> Responses:
    value = {"detail": detail, "code": code, **({"errors": {field: [detail]}} if field else {})}
    example = OpenApiExample(example_name or title, value=value, response_only=True)
    return {(status, JSON): OpenApiResponse(ErrorAnswer, title, [example])}


def header(name: str, description: str, kind: Any = str, **extra: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, **extra)


def row_id(name: str) -> OpenApiParameter:
    """Returns the parameter of a path that is a row's number."""
    return OpenApiParameter(
        name, {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, OpenApiParameter.PATH
    )


UNAUTHENTICATED = problem(
    401, "No credentials, or wrong ones", "Authentication credentials were not provided.", "not_authenticated"
)
FORBIDDEN = problem(
    403, "Permission missing", "You lack the permission to start a collection.", "permission_denied"
)
NOT_ACCEPTABLE = problem(
    406, "Unacceptable Accept header", "Could not satisfy the request Accept header.", "not_acceptable"
)
UNAVAILABLE = problem(
    503,
    "Database unavailable",
    "The database does not answer. Try again in a few seconds.",
    "unavailable",
    example_name="Database away",  # a key in the schema, which stays
)
INVALID = problem(400, "Invalid parameter", "limit: A valid integer is required.", "invalid", field="limit")
TOO_LARGE = problem(413, "Body too large", "The body is larger than 1000000 bytes.", "body_too_large")
NOT_JSON = problem(
    415, "Not JSON", 'Unsupported media type "text/plain" in request.', "unsupported_media_type"
)
RUNNING = problem(
    400,
    "A task is running, or the request is invalid",
    f"A task is already running: {ID}. Wait for it to end, or cancel it first.",
    "task_running",
)
NOT_MODIFIED: Responses = {304: OpenApiResponse(description="Not changed since the client's version")}
STOCK_CODE = OpenApiParameter("code", {"type": "string", "pattern": f"^{SPELLING}$"}, OpenApiParameter.PATH)
NEXT_PAGE = header("Link", 'Next page, `<…>; rel="next"`; absent on the last page.', response=[200])
ETAG = header(
    "ETag", "Version of the response, for clients with a token that ask for JSON.", response=[200, 304]
)
IF_NONE_MATCH = header("If-None-Match", "The client's ETag. While nothing has changed, the response is 304.")
IDEMPOTENCY_KEY = header(
    KEY_HEADER,
    "A repeated request with the same key and body (or plan) returns the task that the first one started.",
    {"type": "string", "pattern": f"^{KEY}$", "maxLength": 255},
)


def operation(
    operation_id: str,
    summary: str,
    parameters: list[Any],
    response: Any,
    others: Responses,
    *,
    description: str = "",
    tag: str = "tasks",
    **extra: Any,
) -> Callable[[F], F]:
    """Returns an operation's decorator. Any operation may also respond 401, 403, 406 and 503."""
    everywhere = UNAUTHENTICATED | FORBIDDEN | NOT_ACCEPTABLE | UNAVAILABLE
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description,
        tags=[tag],
        parameters=parameters,
        responses={(200, JSON): response} | others | everywhere,
        filters=False,
        **extra,
    )
