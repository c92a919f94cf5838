"""Operations on tasks and on the queue of orders."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from tasks_app.api import bodies, examples, queries
from tasks_app.api.openapi.components import (
    ETAG,
    ID,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    INVALID,
    JSON,
    NEXT_PAGE,
    NOT_JSON,
    NOT_MODIFIED,
    RUNNING,
    STOCK_CODE,
    TOO_LARGE,
    Responses,
    operation,
    problem,
    row_id,
)
from tasks_app.api.responses import tasks as responses

UNKNOWN = problem(404, "Unknown or malformed id", f"There is no task {ID}.", "task_not_found")
NOT_RUNNING = problem(400, "Not running", f"The task {ID} is not running.", "task_not_running")
ALREADY_PAUSED = problem(
    400, "Not running, or paused already", f"The task {ID} is paused already.", "task_paused"
)
NOT_PAUSED = problem(400, "Not running, or not paused", f"The task {ID} is not paused.", "task_not_paused")

QUEUED: Responses = {(202, JSON): OpenApiResponse(responses.QueuedAnswer, "Queued")}
NO_QUEUED_ORDER = problem(
    404, "Unknown queued order", "There is no queued order 7.", "queued_order_not_found"
)
LEFT_QUEUE = problem(
    400,
    "Not waiting",
    "The order 7 does not wait any more: its state is “started”, which is final.",
    "queued_order_left",
)

TASK_ID = OpenApiParameter("task_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
ORDER_ID = row_id("order_id")

START = operation(
    "start",
    "Start a collection",
    [IDEMPOTENCY_KEY],
    responses.StartedAnswer,
    QUEUED | RUNNING | TOO_LARGE | NOT_JSON,
    description="One task runs at a time: while one is running, the response is a 400 that names it; with "
    "`queue` a 202, and the order starts by itself later.",
    request={JSON: bodies.StartBody},
    examples=[examples.TWO_STOCKS],
)
ESTIMATE = operation(
    "estimate",
    "What a collection would need, and when it would end",
    [],
    responses.EstimateAnswer,
    INVALID | TOO_LARGE | NOT_JSON,
    description="Takes the body of a start, starts nothing and asks no source. Figures are bounds, as their "
    "names say: the lower ones count what is requested in any case, the upper ones all that may be needed; "
    "retries, further pages and log-ins come on top. null is unknown, such as the number of stocks before "
    "the source's list was read.",
    request={JSON: bodies.StartBody},
    examples=[examples.TWO_STOCKS],
)
STATUS = operation(
    "status", "One task", [TASK_ID, IF_NONE_MATCH, ETAG], responses.TaskAnswer, UNKNOWN | NOT_MODIFIED
)
LIST = operation(
    "tasks",
    "All tasks, newest first",
    [queries.TaskQuery, NEXT_PAGE],
    responses.TaskAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
)
CANCEL = operation(
    "cancel",
    "Cancel a running task",
    [TASK_ID],
    responses.CancelledAnswer,
    NOT_RUNNING | UNKNOWN,
    description="Takes effect at once and for good: nothing more is written for the task.",
)
PAUSE = operation(
    "pause",
    "Pause a running task",
    [TASK_ID],
    responses.PausedAnswer,
    ALREADY_PAUSED | UNKNOWN,
    description="It stays `running` and keeps its place: no other task starts. Workers send no further "
    "request for it within 5 seconds; what is under way is stored, or requested again after the resume.",
    request=None,
)
RESUME = operation(
    "resume",
    "Let a paused task go on",
    [TASK_ID],
    responses.PausedAnswer,
    NOT_PAUSED | UNKNOWN,
    request=None,
)
CURRENT = operation(
    "current_task", "The running task, if any", [IF_NONE_MATCH, ETAG], responses.CurrentAnswer, NOT_MODIFIED
)
ITEMS = operation(
    "items",
    "The stocks of a task",
    [TASK_ID, queries.ItemQuery, NEXT_PAGE],
    responses.ItemAnswer(many=True),
    INVALID | UNKNOWN,
    description="With `chain` those of the whole run of a task that yielded or continues another one, each "
    "once, by task and position.",
)
ATTEMPTS = operation(
    "attempts",
    "The attempts at a stock of a task, the oldest first, at most the last 20",
    [TASK_ID, STOCK_CODE],
    responses.AttemptAnswer(many=True),
    UNKNOWN,
)
ERRORS = operation(
    "errors",
    "A task's failures by error code",
    [TASK_ID, queries.ChainQuery],
    responses.ErrorGroupAnswer(many=True),
    INVALID | UNKNOWN,
)
RETRY = operation(
    "retry",
    "Collect the failed and unprocessed stocks of a task again, as a new task",
    [TASK_ID, bodies.RetryBody],
    responses.StartedAnswer,
    RUNNING | UNKNOWN | TOO_LARGE | NOT_JSON,
    request={JSON: bodies.RetryBody},
)
QUEUE = operation(
    "queue",
    "Orders that wait until no task runs, the next one first",
    [queries.QueueQuery, NEXT_PAGE],
    responses.QueuedOrderAnswer(many=True),
    INVALID,
    description="With another `state`: those that have left the queue, newest first. In pages: follow the "
    "Link header.",
)
QUEUED_ORDER = operation(
    "queued_order",
    "One queued order, and who did what to it",
    [ORDER_ID],
    responses.QueuedOrderDetailAnswer,
    NO_QUEUED_ORDER,
)
MOVE_ORDER = operation(
    "move_order",
    "Give a waiting order another position or priority",
    [ORDER_ID],
    responses.QueuedOrderAnswer,
    LEFT_QUEUE | NO_QUEUED_ORDER | TOO_LARGE | NOT_JSON,
    request={JSON: bodies.QueueChanges},
    examples=[examples.FIRST_POSITION],
)
WITHDRAW_ORDER = operation(
    "withdraw_order",
    "Take a waiting order out of the queue",
    [ORDER_ID],
    responses.QueuedOrderAnswer,
    LEFT_QUEUE | NO_QUEUED_ORDER,
)
EVENTS = operation(
    "events",
    "Who did what to which task, newest first",
    [queries.EventQuery, NEXT_PAGE],
    responses.EventAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
    tag="records",
)
