"""What the OpenAPI schema says of each operation, one decorator each; tests hold it against the answers."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from tasks_app.api import responses as answers, serializers
from tasks_app.api.request_data import KEY, KEY_HEADER
from tasks_app.api.serializers import CODE
from tasks_app.conf import MARKETS
from tasks_app.quotes.csv_export import MAX_ROWS

F = TypeVar("F", bound=Callable[..., Any])
JSON = "application/json"
ID = "3f2b8c1e-5a4d-4f6e-9b7a-1c2d3e4f5a6b"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tasks_app.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "Also as `Authorization: Token …`."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tasks_app.api.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


def _problem(description: str, detail: str, code: str, field: str = "") -> OpenApiResponse:
    value = {"detail": detail, "code": code, **({"errors": {field: [detail]}} if field else {})}
    example = OpenApiExample(description, value=value, response_only=True)
    return OpenApiResponse(answers.ErrorAnswer, description, [example])


EVERYWHERE = {
    401: _problem(
        "No credentials, or wrong ones",
        "Authentication credentials were not provided.",
        "not_authenticated",
    ),
    403: _problem(
        "Permission missing", "You lack the permission to start a collection.", "permission_denied"
    ),
    406: _problem(
        "Unacceptable Accept header",
        "Could not satisfy the request Accept header.",
        "not_acceptable",
    ),
    503: _problem(
        "Database away", "The database does not answer. Try again in a few seconds.", "unavailable"
    ),
}
INVALID = {400: _problem("Invalid parameter", "limit: A valid integer is required.", "invalid", "limit")}
UNKNOWN = {404: _problem("Unknown or malformed id", f"There is no task {ID}.", "task_not_found")}
BODY = {
    413: _problem("Body too large", "The body is larger than 1000000 bytes.", "body_too_large"),
    415: _problem("Not JSON", 'Unsupported media type "text/plain" in request.', "unsupported_media_type"),
}
RUNNING = {
    400: _problem(
        "A task is running, or the request is invalid",
        f"A task is already running: {ID}. Wait for it to end, or cancel it first.",
        "task_running",
    )
}

TASK_ID = OpenApiParameter("task_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
NEXT = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    description='The next page, `<…>; rel="next"`; absent on the last one.',
    response=[200],
)
VERSION = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    description="This version of the answer; for clients with a token that ask for JSON.",
    response=[200, 304],
)
KNOWN = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of the answer that the client has: while nothing changed, 304 says so.",
)
UNCHANGED = {304: OpenApiResponse(description="Unchanged since the version that the client has")}
FORMAT = OpenApiParameter(
    "format",
    str,
    enum=["json", "csv"],
    description=f"csv: one stream of up to {MAX_ROWS:,} rows, or of one page where limit or cursor is given.",
)
IDEMPOTENCY = OpenApiParameter(
    KEY_HEADER,
    {"type": "string", "pattern": f"^{KEY}$", "maxLength": 255},
    OpenApiParameter.HEADER,
    description="The same key and body answer with the same task.",
)


def _documented(
    operation_id: str, summary: str, answer: Any, *problems: Any, **extra: Any
) -> Callable[[F], F]:
    responses = {(200, JSON): answer}
    for problem in (*problems, EVERYWHERE):
        responses |= {(status, JSON): told for status, told in problem.items()}
    return extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=extra.pop("description", ""),
        tags=[extra.pop("tag", "tasks")],
        responses={**responses, **extra.pop("more", {})},
        **extra,
    )


START = _documented(
    "start",
    "Start a collection",
    answers.StartedAnswer,
    RUNNING,
    BODY,
    description="One task runs at a time: while one does, this is refused with 400 and says which.",
    request={JSON: serializers.StartBody},
    parameters=[IDEMPOTENCY],
    examples=[
        OpenApiExample(
            "Two stocks, one year",
            value={
                "start_date": "2024-01-01",
                "end_date": "2024-12-31",
                "stock_codes": ["600519", "000001"],
            },
            request_only=True,
        )
    ],
)
STATUS = _documented(
    "status",
    "One task",
    answers.TaskAnswer,
    UNKNOWN,
    parameters=[TASK_ID, KNOWN, VERSION],
    more=UNCHANGED,
)
LIST = _documented(
    "tasks",
    "All tasks, newest first",
    answers.TaskAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
    parameters=[serializers.TaskQuery, NEXT],
    filters=False,
)
CANCEL = _documented(
    "cancel",
    "Cancel a running task",
    answers.CancelledAnswer,
    {400: _problem("Not running", f"The task {ID} is not running.", "task_not_running")},
    UNKNOWN,
    description="Final and at once: nothing more is written for the task.",
    parameters=[TASK_ID],
)
CURRENT = _documented(
    "current_task",
    "The running task, if any",
    answers.CurrentAnswer,
    parameters=[KNOWN, VERSION],
    more=UNCHANGED,
)
ITEMS = _documented(
    "items",
    "The stocks of a task",
    answers.ItemAnswer(many=True),
    INVALID,
    UNKNOWN,
    parameters=[TASK_ID, serializers.ItemQuery, NEXT],
    filters=False,
)
ERRORS = _documented(
    "errors",
    "The failures of a task by kind",
    answers.ErrorGroupAnswer(many=True),
    UNKNOWN,
    parameters=[TASK_ID],
    filters=False,
)
RETRY = _documented(
    "retry",
    "Collect the failed and unprocessed stocks of a task again, as a new task",
    answers.StartedAnswer,
    RUNNING,
    UNKNOWN,
    BODY,
    request={JSON: serializers.RetryBody},
    parameters=[TASK_ID, serializers.RetryBody],
)
STOCKS = _documented(
    "stock_list",
    "Known stocks",
    answers.StockListAnswer,
    INVALID,
    parameters=[serializers.StockQuery],
    tag="quotes",
    filters=False,
)
QUOTES = _documented(
    "quotes",
    "The stored bars of one stock",
    answers.BarAnswer(many=True),
    INVALID,
    {404: _problem("Unknown stock", "There is no such stock.", "not_found")},
    parameters=[
        OpenApiParameter("market", str, OpenApiParameter.PATH, enum=MARKETS),
        OpenApiParameter("code", {"type": "string", "pattern": f"^{CODE}$"}, OpenApiParameter.PATH),
        serializers.QuoteQuery,
        FORMAT,
        NEXT,
    ],
    more={(200, "text/csv"): OpenApiTypes.STR},
    description="Prices in the market's currency, volume in shares. In pages: follow the Link header.",
    tag="quotes",
    filters=False,
)
ALIVE = extend_schema(
    operation_id="healthz", summary="Alive", tags=["health"], auth=[], responses={200: answers.AliveAnswer}
)
READY = extend_schema(
    operation_id="readyz",
    summary="Ready for work",
    tags=["health"],
    auth=[],
    responses={
        200: answers.ReadyAnswer,
        503: OpenApiResponse(answers.ReadyAnswer, "Something is missing"),
    },
)
