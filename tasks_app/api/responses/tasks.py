"""Responses about tasks, their stocks, attempts and events, and about the queue of orders."""

from rest_framework import serializers as s

from tasks_app.api.responses.common import Answer, count, texts
from tasks_app.models.events import Channel, EventKind
from tasks_app.models.priorities import PRIORITY_NAMES
from tasks_app.models.queued_orders import QueuedOrderState, QueueEventKind
from tasks_app.models.quotes import ORDER_KINDS, Adjust, Market
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus


class OrderAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: made-up quotes, stored apart from real ones.")
    source = s.CharField()  # type: ignore[assignment]
    synthetic = s.BooleanField(help_text="Whether the quotes are made up.")
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    kind = s.ChoiceField(ORDER_KINDS, help_text="What a whole market is collected of.")
    start_date = s.DateField()
    end_date = s.DateField()
    test_mode = s.BooleanField()
    full_collection_mode = s.BooleanField()
    force_update = s.BooleanField()
    fallbacks = texts("Sources to try, in this order, for stocks that fail.")
    verify_with = s.CharField(
        allow_blank=True, help_text="The second source, whose bars are compared and not stored."
    )
    verify_sample = s.IntegerField(
        min_value=1, max_value=100, help_text="The share of the stocks that is compared, in percent."
    )
    retry_of = s.UUIDField(allow_null=True, help_text="The task that this one retries.")
    priority = s.ChoiceField(PRIORITY_NAMES, help_text="The task yields to a due plan of a higher one.")


class ChainAnswer(Answer):
    """The stocks of all tasks of a chain, each counted once."""

    total = count()
    completed = count("Succeeded or skipped.")
    failed = count()
    remaining = count()
    parts = count("Tasks so far.")
    goes_on = s.BooleanField(help_text="Whether its last part runs, or waits in the queue.")


STARTED = ["started"]


class StartedAnswer(OrderAnswer):
    task_id = s.UUIDField()
    status = s.ChoiceField(STARTED)
    message = s.CharField()
    stock_codes = texts("Null means the whole stock list.", allow_null=True)
    unknown_codes = texts("Requested, but not listed in the market, and left out.")
    ignored_fields = texts("Fields of the request that are not known.")
    total_stocks = count("0 until a worker has fetched the stock list.")


class QueueEventAnswer(Answer):
    kind = s.ChoiceField(QueueEventKind.choices)
    at = s.DateTimeField()
    user_name = s.CharField(allow_blank=True, help_text="Empty for workers and the terminal.")
    channel = s.ChoiceField(Channel.choices)
    params = s.DictField()


class QueuedOrderAnswer(Answer):
    id = s.IntegerField()
    state = s.ChoiceField(QueuedOrderState.choices)
    priority = s.ChoiceField(PRIORITY_NAMES)
    position = s.IntegerField(
        min_value=1, allow_null=True, help_text="When it starts: 1 is next; null: it does not wait any more."
    )
    start_date = s.DateField()
    end_date = s.DateField()
    market = s.ChoiceField(Market.choices)
    source = s.CharField()  # type: ignore[assignment]
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    kind = s.ChoiceField(ORDER_KINDS)
    stock_codes = texts("Null means the whole stock list.", allow_null=True)
    test_mode = s.BooleanField()
    full_collection_mode = s.BooleanField()
    force_update = s.BooleanField()
    fallbacks = texts()
    verify_with = s.CharField(allow_blank=True)
    verify_sample = s.IntegerField(min_value=1, max_value=100)
    queued_at = s.DateTimeField()
    queued_by = s.CharField(allow_blank=True, help_text="Empty for the terminal.")
    channel = s.ChoiceField(Channel.choices)
    ended_at = s.DateTimeField(allow_null=True, help_text="When it left the queue.")
    task_id = s.UUIDField(allow_null=True, help_text="The task that it became.")
    continues = s.UUIDField(
        allow_null=True, help_text="The task that yielded: the order is for what it left, whatever its codes."
    )
    error_code = s.CharField(allow_blank=True, help_text="Why it was refused when it was to start.")
    error_message = s.CharField(allow_null=True)


class QueuedAnswer(QueuedOrderAnswer):
    status = s.ChoiceField(["queued"])
    message = s.CharField()


class QueuedOrderDetailAnswer(QueuedOrderAnswer):
    events = QueueEventAnswer(many=True)


class QuotaAnswer(Answer):
    window = s.ChoiceField(["minute", "hour", "day"])
    most = count("Permits in any such window; of a day as the source's vendor has it.")
    used = count("Of these, in the last minute or hour, or today.")
    left = count()
    resets_at = s.DateTimeField(allow_null=True, help_text="When none is used any more; null: none is.")


class EstimateAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment] # a field of its own
    stocks = s.IntegerField(allow_null=True)
    unknown_codes = texts("Requested, but not listed in the market, and left out.")
    requests_at_least = s.IntegerField(allow_null=True, help_text="That are made in any case.")
    requests_at_most = s.IntegerField(allow_null=True, help_text="That may be needed, without retries.")
    permits_at_least = s.IntegerField(allow_null=True, help_text="What these requests count in the quotas.")
    permits_at_most = s.IntegerField(allow_null=True)
    requests_to_compare = s.IntegerField(
        allow_null=True,
        help_text="About how many the second source gets, which are in no other figure; null: unknown.",
    )
    quotas = QuotaAnswer(many=True)
    paused_until = s.DateTimeField(allow_null=True, help_text="Until when the source takes no request.")
    fits_today = s.BooleanField(
        allow_null=True, help_text="Whether the day's quota suffices; null: for the least only, or unknown."
    )
    earliest_end = s.DateTimeField(
        allow_null=True, help_text="At full rate, if only the least is needed; null: no limit tells."
    )
    earliest_end_of_all = s.DateTimeField(allow_null=True, help_text="The same if all is needed.")
    summary = s.CharField(help_text="The same in words.")


class ShareAnswer(Answer):
    stocks = count()
    bars = count("New or corrected bars.")


class TaskPlanAnswer(Answer):
    id = s.IntegerField()
    name = s.CharField(help_text="As it was called then.")


class TaskAnswer(OrderAnswer):
    task_id = s.UUIDField()
    status = s.ChoiceField(TaskStatus.choices)
    outcome = s.ChoiceField(
        TaskOutcome.choices, allow_null=True, help_text="What a completed task brought; null for any other."
    )
    progress = s.IntegerField(min_value=0, max_value=100, help_text="Percent of stocks, rounded down.")
    total_stocks = count("Grows while a worker plans the stocks of a whole market.")
    processed_stocks = count()
    success_count = count()
    failed_count = count()
    collected_count = count("New bars.")
    corrected_count = count("Stored bars that the source has changed.")
    skipped_count = count("Bars that were stored already.")
    refused_count = count("Bars that failed a check and were not stored.")
    flagged_count = count("Bars that were stored although a check doubts them.")
    compared_count = count("Bars that were compared with the second source's.")
    differing_count = count("Of these, bars that differ by more than rounding, or that one source lacks.")
    uncompared_count = count("Stocks that were to be compared, but could not be.")
    start_time = s.DateTimeField()
    end_time = s.DateTimeField(allow_null=True)
    heartbeat_at = s.DateTimeField(help_text="Last activity of a worker.")
    paused_at = s.DateTimeField(allow_null=True, help_text="Since when a running task is paused.")
    paused_by = s.CharField(
        allow_null=True,
        allow_blank=True,
        help_text="Who paused it; empty for the terminal, null: not paused.",
    )
    unattended = s.BooleanField(help_text="Running, but without recent activity of a worker.")
    source_paused_until = s.DateTimeField(
        allow_null=True, help_text="Until when the source of a running task takes no requests."
    )
    source_message = s.CharField(allow_null=True, help_text="Why the source takes no requests.")
    notice = s.CharField(allow_null=True, help_text="Why a completed task had nothing to collect.")
    plan = TaskPlanAnswer(allow_null=True, help_text="The plan that ordered the task.")
    yielding_at = s.DateTimeField(
        allow_null=True,
        help_text="Since when a running task yields to a plan: it ends once its requests have ended.",
    )
    yielded_to = TaskPlanAnswer(allow_null=True, help_text="The plan to which it yields or yielded.")
    continues = s.UUIDField(allow_null=True, help_text="The task that yielded, whose rest this one collects.")
    continued_by = s.UUIDField(
        allow_null=True, help_text="The task that collects the rest of this one, once that has started."
    )
    chain = ChainAnswer(
        allow_null=True, help_text="Of a task that yielded or continues one: the progress of the whole run."
    )
    sources = s.DictField(
        child=ShareAnswer(), help_text="What each source delivered; empty for a task without fallbacks."
    )
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True, help_text="Why a task failed; null without an error.")
    failed_details = texts("The first 100 failures, as “code: reason”.")


class CancelledAnswer(Answer):
    message = s.CharField()
    task_id = s.UUIDField()


class PausedAnswer(CancelledAnswer):
    paused_at = s.DateTimeField(allow_null=True, help_text="Null once it is resumed.")


class RunningAnswer(Answer):
    task_id = s.UUIDField()
    status = s.ChoiceField(["running"])
    start_time = s.DateTimeField()


class CurrentAnswer(Answer):
    current_task = RunningAnswer(allow_null=True)


class ItemAnswer(Answer):
    task_id = s.UUIDField(required=False, help_text="With `chain`: the task that it belongs to.")
    position = count()
    code = s.CharField()
    status = s.ChoiceField(ItemState.choices)
    attempts = count()
    rows_collected = count()
    rows_corrected = count()
    rows_skipped = count()
    rows_refused = count()
    rows_compared = s.IntegerField(
        min_value=0, allow_null=True, help_text="With the second source's bars; null: not compared."
    )
    rows_differing = s.IntegerField(min_value=0, allow_null=True)
    not_compared = s.CharField(allow_null=True, help_text="Why it could not be compared.")
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_blank=True)
    note = s.CharField(allow_blank=True, help_text="What the source left out or changed.")
    started_at = s.DateTimeField(allow_null=True)
    finished_at = s.DateTimeField(allow_null=True)


class AttemptAnswer(Answer):
    at = s.DateTimeField(help_text="When the request was sent.")
    source = s.CharField(allow_blank=True, help_text="Empty for a lost worker.")  # type: ignore[assignment]
    purpose = s.CharField(
        allow_blank=True,
        help_text="Empty: the stock's bars. days: days of the whole market answered it, without a request of "
        "its own. comparison: with the second source. Else the adjustment data requested.",
    )
    latency_ms = s.IntegerField(min_value=0, allow_null=True, help_text="Null: no request was its own.")
    stocks = s.IntegerField(min_value=1, help_text="That the request was for.")
    result = s.ChoiceField(("bars", "empty", "answered", "error"))
    bars = s.IntegerField(min_value=0, allow_null=True, help_text="In the answer, before any check.")
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_blank=True)
    worker = s.CharField(allow_blank=True, help_text="Host and process id.")


class ErrorGroupAnswer(Answer):
    error_code = s.CharField(allow_blank=True)
    message = s.CharField(allow_blank=True)
    count = s.IntegerField(min_value=1)
    first_seen = s.DateTimeField()
    last_seen = s.DateTimeField()
    sample_codes = texts()
    task_ids = s.ListField(
        child=s.UUIDField(), required=False, help_text="With `chain`: the tasks in which it happened."
    )


class EventAnswer(Answer):
    id = s.IntegerField()
    task_id = s.UUIDField()
    kind = s.ChoiceField(EventKind.choices)
    at = s.DateTimeField()
    user = s.CharField(allow_blank=True, help_text="Empty for workers and the terminal.")
    channel = s.ChoiceField(Channel.choices)
    params = s.DictField()
    message = s.CharField(allow_blank=True, help_text="Of a warning, in the language of Accept-Language.")
    request_id = s.CharField(
        allow_blank=True, help_text="Of the request that did it, or that started the task; as in the log."
    )
