"""Decorators that describe each operation in the OpenAPI schema. Tests compare them with the responses."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from tasks_app.api import responses, serializers
from tasks_app.api.bulk_query import BulkParameters
from tasks_app.api.renderers import ArrowRenderer, ParquetRenderer
from tasks_app.api.request_data import KEY, KEY_HEADER
from tasks_app.conf import ALL_MARKETS
from tasks_app.market.codes import SPELLING
from tasks_app.quotes.csv_export import MAX_ROWS

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


def _problem(
    status: int, title: str, detail: str, code: str, *, field: str = "", example_name: str = ""
) -> Responses:
    value = {"detail": detail, "code": code, **({"errors": {field: [detail]}} if field else {})}
    example = OpenApiExample(example_name or title, value=value, response_only=True)
    return {(status, JSON): OpenApiResponse(responses.ErrorAnswer, title, [example])}


def _header(name: str, description: str, kind: Any = str, **extra: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, **extra)


UNAUTHENTICATED = _problem(
    401, "No credentials, or wrong ones", "Authentication credentials were not provided.", "not_authenticated"
)
FORBIDDEN = _problem(
    403, "Permission missing", "You lack the permission to start a collection.", "permission_denied"
)
NOT_ACCEPTABLE = _problem(
    406, "Unacceptable Accept header", "Could not satisfy the request Accept header.", "not_acceptable"
)
UNAVAILABLE = _problem(
    503,
    "Database unavailable",
    "The database does not answer. Try again in a few seconds.",
    "unavailable",
    example_name="Database away",  # a key in the schema, which stays
)
INVALID = _problem(400, "Invalid parameter", "limit: A valid integer is required.", "invalid", field="limit")
UNKNOWN = _problem(404, "Unknown or malformed id", f"There is no task {ID}.", "task_not_found")
NO_STOCK = _problem(404, "Unknown stock", "There is no such stock.", "not_found")
BAD_PLAN = _problem(
    400, "Invalid plan", "There is a plan named “nightly” already.", "plan_name_taken", field="name"
)
NO_PLAN = _problem(404, "Unknown plan", "There is no plan 7.", "plan_not_found")
NO_TARGET = _problem(404, "Unknown target", "There is no target 7.", "target_not_found")
NO_EXPORT = _problem(404, "Unknown export", "There is no export 7.", "export_not_found")
EXPORT_RUNNING = _problem(
    400,
    "Invalid export, or the folder is in use",
    "COLLECTOR_EXPORT_DIR is not set: there is no folder to export into.",
    "no_export_folder",
)
EXPORT_ENDED = _problem(
    400,
    "Export ended",
    "The export has ended, or is putting its files in place: it can't be cancelled any more.",
    "export_ended",
)
NO_MARKET = _problem(404, "Unknown market, or no session", "There is no such market.", "not_found")
GONE = _problem(
    410,
    "Changes no longer kept",
    "The changes after number 5 are no longer kept completely, or were never numbered: they are kept after "
    "12. Copy everything anew as of the last number, then ask for the changes since it.",
    "changes_forgotten",
)
TOO_LARGE = _problem(413, "Body too large", "The body is larger than 1000000 bytes.", "body_too_large")
NOT_JSON = _problem(
    415, "Not JSON", 'Unsupported media type "text/plain" in request.', "unsupported_media_type"
)
TOO_MANY = _problem(
    429,
    "Too many bulk reads at once",
    "Too many bulk reads at once. Try again in a few seconds.",
    "too_many_bulk_reads",
)
TOO_MANY_WAITING = _problem(
    429,
    "Too many requests wait",
    "Too many requests wait for a day. Try again in a few seconds, or ask without “wait”.",
    "too_many_waiting",
)
NOT_RUNNING = _problem(400, "Not running", f"The task {ID} is not running.", "task_not_running")
ALREADY_PAUSED = _problem(
    400, "Not running, or paused already", f"The task {ID} is paused already.", "task_paused"
)
NOT_PAUSED = _problem(400, "Not running, or not paused", f"The task {ID} is not paused.", "task_not_paused")
RUNNING = _problem(
    400,
    "A task is running, or the request is invalid",
    f"A task is already running: {ID}. Wait for it to end, or cancel it first.",
    "task_running",
)

QUEUED: Responses = {(202, JSON): OpenApiResponse(responses.QueuedAnswer, "Queued")}
NO_QUEUED_ORDER = _problem(
    404, "Unknown queued order", "There is no queued order 7.", "queued_order_not_found"
)
LEFT_QUEUE = _problem(
    400,
    "Not waiting",
    "The order 7 does not wait any more: its state is “started”, which is final.",
    "queued_order_left",
)
NOT_MODIFIED: Responses = {304: OpenApiResponse(description="Not changed since the client's version")}
CSV: Responses = {(200, "text/csv"): OpenApiTypes.STR}

BULK_FORMATS: Responses = CSV | {
    (200, kind.media_type): OpenApiTypes.BINARY for kind in (ArrowRenderer, ParquetRenderer)
}

TASK_ID = OpenApiParameter("task_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
MARKET = OpenApiParameter("market", str, OpenApiParameter.PATH, enum=ALL_MARKETS)
PLAN_ID = OpenApiParameter(
    "plan_id", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, OpenApiParameter.PATH
)
TARGET_ID = OpenApiParameter(
    "target_id", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, OpenApiParameter.PATH
)
EXPORT_ID = OpenApiParameter(
    "export_id", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, OpenApiParameter.PATH
)
STOCK_CODE = OpenApiParameter("code", {"type": "string", "pattern": f"^{SPELLING}$"}, OpenApiParameter.PATH)
ORDER_ID = OpenApiParameter(
    "order_id", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}, OpenApiParameter.PATH
)
FORMAT = OpenApiParameter(
    "format",
    enum=["json", "csv"],
    description=f"csv: streams up to {MAX_ROWS:,} rows, or one page where limit or cursor is given.",
)
BULK_FORMAT = OpenApiParameter(
    "format",
    enum=["json", "csv", "arrow", "parquet"],
    description="Default: by the Accept header, else json.",
)
BULK_ETAG = _header("ETag", "Version of the stored content.", response=[200, 304])
NEXT_PAGE = _header("Link", 'Next page, `<…>; rel="next"`; absent on the last page.', response=[200])
ETAG = _header(
    "ETag", "Version of the response, for clients with a token that ask for JSON.", response=[200, 304]
)
IF_NONE_MATCH = _header("If-None-Match", "The client's ETag. While nothing has changed, the response is 304.")
IDEMPOTENCY_KEY = _header(
    KEY_HEADER,
    "A repeated request with the same key and body (or plan) returns the task that the first one started.",
    {"type": "string", "pattern": f"^{KEY}$", "maxLength": 255},
)
A_PLAN = OpenApiExample(
    "Every trading day",
    value={"name": "nightly", "market": "CN", "source": "akshare", "at": "18:00", "days": 30},
    request_only=True,
)
AN_EXPORT = OpenApiExample(
    "Unadjusted bars of a market",
    value={"folder": "cn-daily", "market": "CN", "adjust": ""},
    request_only=True,
)
TWO_STOCKS = OpenApiExample(
    "Two stocks, one year",
    value={"start_date": "2024-01-01", "end_date": "2024-12-31", "stock_codes": ["600519", "000001"]},
    request_only=True,
)


def _operation(
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


START = _operation(
    "start",
    "Start a collection",
    [IDEMPOTENCY_KEY],
    responses.StartedAnswer,
    QUEUED | RUNNING | TOO_LARGE | NOT_JSON,
    description="One task runs at a time: while one is running, the response is a 400 that names it; with "
    "`queue` a 202, and the order starts by itself later.",
    request={JSON: serializers.StartBody},
    examples=[TWO_STOCKS],
)
ESTIMATE = _operation(
    "estimate",
    "What a collection would need, and when it would end",
    [],
    responses.EstimateAnswer,
    INVALID | TOO_LARGE | NOT_JSON,
    description="Takes the body of a start, starts nothing and asks no source. Figures are bounds, as their "
    "names say: the lower ones count what is requested in any case, the upper ones all that may be needed; "
    "retries, further pages and log-ins come on top. null is unknown, such as the number of stocks before "
    "the source's list was read.",
    request={JSON: serializers.StartBody},
    examples=[TWO_STOCKS],
)
STATUS = _operation(
    "status", "One task", [TASK_ID, IF_NONE_MATCH, ETAG], responses.TaskAnswer, UNKNOWN | NOT_MODIFIED
)
LIST = _operation(
    "tasks",
    "All tasks, newest first",
    [serializers.TaskQuery, NEXT_PAGE],
    responses.TaskAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
)
CANCEL = _operation(
    "cancel",
    "Cancel a running task",
    [TASK_ID],
    responses.CancelledAnswer,
    NOT_RUNNING | UNKNOWN,
    description="Takes effect at once and for good: nothing more is written for the task.",
)
PAUSE = _operation(
    "pause",
    "Pause a running task",
    [TASK_ID],
    responses.PausedAnswer,
    ALREADY_PAUSED | UNKNOWN,
    description="It stays `running` and keeps its place: no other task starts. Workers send no further "
    "request for it within 5 seconds; what is under way is stored, or requested again after the resume.",
    request=None,
)
RESUME = _operation(
    "resume",
    "Let a paused task go on",
    [TASK_ID],
    responses.PausedAnswer,
    NOT_PAUSED | UNKNOWN,
    request=None,
)
CURRENT = _operation(
    "current_task", "The running task, if any", [IF_NONE_MATCH, ETAG], responses.CurrentAnswer, NOT_MODIFIED
)
ITEMS = _operation(
    "items",
    "The stocks of a task",
    [TASK_ID, serializers.ItemQuery, NEXT_PAGE],
    responses.ItemAnswer(many=True),
    INVALID | UNKNOWN,
)
ATTEMPTS = _operation(
    "attempts",
    "The attempts at a stock of a task, the oldest first, at most the last 20",
    [TASK_ID, STOCK_CODE],
    responses.AttemptAnswer(many=True),
    UNKNOWN,
)
ERRORS = _operation(
    "errors", "A task's failures by error code", [TASK_ID], responses.ErrorGroupAnswer(many=True), UNKNOWN
)
RETRY = _operation(
    "retry",
    "Collect the failed and unprocessed stocks of a task again, as a new task",
    [TASK_ID, serializers.RetryBody],
    responses.StartedAnswer,
    RUNNING | UNKNOWN | TOO_LARGE | NOT_JSON,
    request={JSON: serializers.RetryBody},
)
QUEUE = _operation(
    "queue",
    "Orders that wait until no task runs, the next one first",
    [serializers.QueueQuery, NEXT_PAGE],
    responses.QueuedOrderAnswer(many=True),
    INVALID,
    description="With another `state`: those that have left the queue, newest first. In pages: follow the "
    "Link header.",
)
QUEUED_ORDER = _operation(
    "queued_order",
    "One queued order, and who did what to it",
    [ORDER_ID],
    responses.QueuedOrderDetailAnswer,
    NO_QUEUED_ORDER,
)
MOVE_ORDER = _operation(
    "move_order",
    "Give a waiting order another position or priority",
    [ORDER_ID],
    responses.QueuedOrderAnswer,
    LEFT_QUEUE | NO_QUEUED_ORDER | TOO_LARGE | NOT_JSON,
    request={JSON: serializers.QueueChanges},
)
WITHDRAW_ORDER = _operation(
    "withdraw_order",
    "Take a waiting order out of the queue",
    [ORDER_ID],
    responses.QueuedOrderAnswer,
    LEFT_QUEUE | NO_QUEUED_ORDER,
)
STOCKS = _operation(
    "stock_list", "Known stocks", [serializers.StockQuery], responses.StockListAnswer, INVALID, tag="quotes"
)
COVERAGE = _operation(
    "coverage",
    "What is stored and what is missing",
    [serializers.CoverageQuery],
    responses.CoverageAnswer(many=True),
    INVALID,
    description="By market, adjustment and source; at most a minute old.",
    tag="quotes",
)
QUOTES = _operation(
    "quotes",
    "The stored bars of one stock",
    [MARKET, STOCK_CODE, serializers.QuoteQuery, FORMAT, NEXT_PAGE],
    responses.BarAnswer(many=True),
    CSV | INVALID | NO_STOCK,
    description="Prices in the market's currency, volume in shares. In pages: follow the Link header. "
    "Adjusted prices are computed with the factors of one source where they are stored, and end before an "
    "ex day that it has not told yet. `as_of` reads what was known at an earlier moment.",
    tag="quotes",
)
CHANGES = _operation(
    "changes",
    "What was stored, corrected or removed since a number",
    [serializers.ChangeQuery],
    responses.ChangesAnswer,
    INVALID | GONE,
    description="Every stored change has a number, in the order of the commits and without gaps, so that a "
    "copy that has all changes up to a number has missed nothing. Ask again with `since` = `last`.",
    tag="quotes",
)
DAYS = _operation(
    "days",
    "The days of a market, newest first, and which are sealed",
    [MARKET, serializers.DaysQuery, NEXT_PAGE],
    responses.DayAnswer(many=True),
    INVALID | NO_MARKET,
    description="Days of which a bar was stored since changes are numbered.",
    tag="quotes",
)
DAY = _operation(
    "day",
    "One day of a market: its checksum if it is sealed, else what it lacks",
    [MARKET, OpenApiParameter("day", OpenApiTypes.DATE, OpenApiParameter.PATH), serializers.DayQuery],
    responses.DayDetailAnswer,
    INVALID | NO_MARKET | TOO_MANY_WAITING,
    description="A day is sealed while every security listed on it has a bar or a recorded reason. Its "
    "revision grows with each sealing after a change. With `wait` the answer comes once it is sealed; or "
    "follow the changes, of which one has the kind `sealed`.",
    tag="quotes",
)
_BULK_DESCRIPTION = (
    "A stream in the order of code and day, of any length; also as Arrow, Parquet and CSV. A broken stream "
    "is cut off visibly, and continued by `cursor`. Prices are float64 in the market's currency, volume is "
    "in shares, codes are text. The limits and the ST flag are only those that the source told. With "
    "`layout=wide` a panel: a row for each day, ascending, with `day` and the values of the one column by "
    "code, null where a stock has no bar."
)
_BULK_ROWS = OpenApiResponse(
    responses.BulkBarAnswer(many=True),
    examples=[
        OpenApiExample("Two columns", value={"code": "000001", "day": "2024-06-28", "close": 10.15}),
        OpenApiExample("A panel", value={"day": "2024-06-28", "000001": 10.15, "600519": None}),
    ],
)
BULK = _operation(
    "bulk_bars",
    "The bars of many stocks",
    [BulkParameters, BULK_FORMAT, IF_NONE_MATCH, BULK_ETAG],
    _BULK_ROWS,
    BULK_FORMATS | NOT_MODIFIED | INVALID | TOO_MANY,
    description=_BULK_DESCRIPTION,
    tag="quotes",
)
BULK_POST = _operation(
    "bulk_bars_query",
    "The bars of many stocks, with the parameters as a body: for lists of codes that no address can hold",
    [BULK_FORMAT],
    _BULK_ROWS,
    BULK_FORMATS | INVALID | TOO_MANY | TOO_LARGE | NOT_JSON,
    description=_BULK_DESCRIPTION,
    tag="quotes",
    request={JSON: BulkParameters},
)
FACTORS = _operation(
    "factors",
    "The adjustment factors of one stock, by source",
    [MARKET, STOCK_CODE, serializers.AsOfQuery],
    responses.FactorTableAnswer(many=True),
    INVALID | NO_STOCK,
    description="Factors and amounts are decimal texts with all digits of the source.",
    tag="quotes",
)
ACTIONS = _operation(
    "corporate_actions",
    "The dividends, splits and rights issues of one stock, by source",
    [MARKET, STOCK_CODE, serializers.AsOfQuery],
    responses.ActionTableAnswer(many=True),
    INVALID | NO_STOCK,
    tag="quotes",
)
GAPS = _operation(
    "gaps",
    "A stock's days without a bar, and the reason of each",
    [MARKET, STOCK_CODE, serializers.GapQuery],
    responses.GapAnswer(many=True),
    INVALID | NO_STOCK,
    description="Sessions and closed weekdays, newest first, from what the sources were asked and answered.",
    tag="quotes",
)
FINDINGS = _operation(
    "findings",
    "Bars that a check refused or doubts, or on which two sources differ, newest finding first",
    [serializers.FindingQuery, NEXT_PAGE],
    responses.FindingAnswer(many=True),
    INVALID,
    description="By day where days are named without a code. In pages: follow the Link header.",
    tag="records",
)
CORRECTIONS = _operation(
    "corrections",
    "Stored bars that a source changed later, newest correction first",
    [serializers.BarRecordQuery, NEXT_PAGE],
    responses.CorrectionAnswer(many=True),
    INVALID,
    description="By day where days are named without a code. In pages: follow the Link header.",
    tag="records",
)
EVENTS = _operation(
    "events",
    "Who did what to which task, newest first",
    [serializers.EventQuery, NEXT_PAGE],
    responses.EventAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
    tag="records",
)
AGREEMENT = _operation(
    "agreement",
    "How often two sources agreed, by field and month",
    [serializers.AgreementQuery, NEXT_PAGE],
    responses.AgreementAnswer(many=True),
    INVALID,
    description="What orders with verify_with have compared. In pages, the newest month first: follow the "
    "Link header.",
    tag="records",
)
CALENDAR = _operation(
    "calendar",
    "The days of a market's trading calendar, with corrections and days without quotes",
    [serializers.CalendarQuery, NEXT_PAGE],
    responses.CalendarDayAnswer(many=True),
    INVALID,
    description="Sessions and closed weekdays by day. In pages: follow the Link header.",
    tag="records",
)
TARGETS = _operation(
    "targets",
    "Targets by name, each with its newest session",
    [serializers.TargetQuery, NEXT_PAGE],
    responses.TargetAnswer(many=True),
    INVALID,
    description="By when each session of a market is to be complete. In pages: follow the Link header.",
    tag="records",
)
TARGET_SESSIONS = _operation(
    "target_sessions",
    "What became of the sessions of a target, the newest first",
    [TARGET_ID, serializers.TargetSessionQuery, NEXT_PAGE],
    responses.TargetSessionAnswer(many=True),
    INVALID | NO_TARGET,
    description="In pages: follow the Link header.",
    tag="records",
)
PLANS = _operation(
    "plans",
    "Collection plans by name",
    [serializers.PlanQuery, NEXT_PAGE],
    responses.PlanAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
    tag="plans",
)
PLAN = _operation("plan", "One plan", [PLAN_ID], responses.PlanAnswer, NO_PLAN, tag="plans")
CREATE_PLAN = _operation(
    "create_plan",
    "Make a plan",
    [],
    responses.PlanAnswer,
    BAD_PLAN | TOO_LARGE | NOT_JSON,
    description="Also needs the permission to start a collection.",
    tag="plans",
    request={JSON: serializers.PlanBody},
    examples=[A_PLAN],
)
CHANGE_PLAN = _operation(
    "change_plan",
    "Change a plan, or switch it on or off",
    [PLAN_ID],
    responses.PlanAnswer,
    BAD_PLAN | NO_PLAN | TOO_LARGE | NOT_JSON,
    description="Keys left out stay. Also needs the permission to start a collection.",
    tag="plans",
    request={JSON: serializers.PlanChanges},
)
DELETE_PLAN = _operation(
    "delete_plan",
    "Delete a plan",
    [PLAN_ID],
    responses.PlanDeletedAnswer,
    NO_PLAN,
    description="What it collected stays.",
    tag="plans",
)
RUN_PLAN = _operation(
    "run_plan",
    "Start what a plan orders now",
    [PLAN_ID, IDEMPOTENCY_KEY],
    responses.PlanStartedAnswer,
    RUNNING | NO_PLAN,
    description="Like a start: while a task is running, the response is a 400. The plan's next time stays.",
    tag="plans",
    request=None,
)
PLAN_RUNS = _operation(
    "plan_runs",
    "The runs of a plan with their steps, newest first",
    [PLAN_ID, serializers.PlanRunQuery, NEXT_PAGE],
    responses.PlanRunAnswer(many=True),
    INVALID | NO_PLAN,
    description="Which times of the plan began a run, which were late, refused or skipped. In pages.",
    tag="plans",
)
PLAN_EVENTS = _operation(
    "plan_events",
    "Who did what to which plan, newest first",
    [serializers.PlanEventQuery, NEXT_PAGE],
    responses.PlanEventAnswer(many=True),
    INVALID,
    description="Deleted plans' events stay. In pages: follow the Link header.",
    tag="plans",
)
EXPORTS = _operation(
    "exports",
    "Exports, newest first",
    [serializers.ExportQuery, NEXT_PAGE],
    responses.ExportAnswer(many=True),
    INVALID,
    description="Those of pages, plans and commands, too. In pages: follow the Link header.",
    tag="exports",
)
EXPORT = _operation("export", "One export", [EXPORT_ID], responses.ExportAnswer, NO_EXPORT, tag="exports")
START_EXPORT = _operation(
    "start_export",
    "Start an export",
    [],
    responses.ExportAnswer,
    EXPORT_RUNNING | TOO_LARGE | NOT_JSON,
    description="The workers write into a folder below COLLECTOR_EXPORT_DIR, and only what has changed since "
    "its last export. One export at a time into a folder.",
    tag="exports",
    request={JSON: serializers.ExportBody},
    examples=[AN_EXPORT],
)
CANCEL_EXPORT = _operation(
    "cancel_export",
    "Cancel an export",
    [EXPORT_ID],
    responses.ExportAnswer,
    EXPORT_ENDED | NO_EXPORT,
    description="The files of the last complete export stay.",
    tag="exports",
)
ALIVE = extend_schema(
    operation_id="healthz", summary="Alive", tags=["health"], auth=[], responses={200: responses.AliveAnswer}
)
METRICS = extend_schema(
    operation_id="metrics",
    summary="Metrics for Prometheus",
    tags=["health"],
    responses={(200, "text/plain"): OpenApiTypes.STR, **UNAUTHENTICATED, **FORBIDDEN, **UNAVAILABLE},
)
READY = extend_schema(
    operation_id="readyz",
    summary="Ready for work",
    tags=["health"],
    auth=[],
    responses={200: responses.ReadyAnswer, 503: OpenApiResponse(responses.ReadyAnswer, "A check failed")},
)
