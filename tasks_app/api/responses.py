"""Serializers that describe the responses in the OpenAPI schema. Views return plain values."""

from typing import Any

from rest_framework import serializers as s

from tasks_app.models.adjustments import ActionKind
from tasks_app.models.agreement import ComparedField
from tasks_app.models.changes import ChangeKind
from tasks_app.models.plan_runs import AttemptState, OnFailure, RunState, StepKind
from tasks_app.models.plans import PlanEventKind, Rhythm
from tasks_app.models.queued_orders import PRIORITY_NAMES, QueuedOrderState, QueueEventKind
from tasks_app.models.quotes import ORDER_KINDS, Adjust, FindingKind, InstrumentKind, Market
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tasks_app.models.targets import TargetState
from tasks_app.models.tasks import Channel, EventKind
from tasks_app.models.transfers import ExportLayout, ExportState
from tasks_app.quotes.adjusted_prices import BASES
from tasks_app.quotes.gaps import GapKind
from tasks_app.quotes.market_days import UnsealedReason

Answer = s.Serializer[Any]


def _count(help_text: str | None = None) -> s.IntegerField:
    return s.IntegerField(min_value=0, help_text=help_text)


def _texts(help_text: str | None = None, **options: Any) -> s.ListField:
    return s.ListField(child=s.CharField(), help_text=help_text, **options)


class ErrorAnswer(Answer):
    detail = s.CharField(help_text="One sentence in the language of Accept-Language.")
    code = s.CharField(help_text="Stable, for machines.")
    errors = s.DictField(  # type: ignore[assignment]
        child=_texts(), required=False, help_text="Sentences by field, where fields are invalid."
    )
    request_id = s.CharField(
        required=False, help_text="Of an error of the server: the log's lines of the request have it."
    )


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
    fallbacks = _texts("Sources to try, in this order, for stocks that fail.")
    verify_with = s.CharField(
        allow_blank=True, help_text="The second source, whose bars are compared and not stored."
    )
    verify_sample = s.IntegerField(
        min_value=1, max_value=100, help_text="How many percent of the stocks are compared."
    )
    retry_of = s.UUIDField(allow_null=True, help_text="The task that this one retries.")


STARTED = ["started"]


class StartedAnswer(OrderAnswer):
    task_id = s.UUIDField()
    status = s.ChoiceField(STARTED)
    message = s.CharField()
    stock_codes = _texts("Null means the whole stock list.", allow_null=True)
    unknown_codes = _texts("Requested, but not listed in the market, and left out.")
    ignored_fields = _texts("Fields of the request that are not known.")
    total_stocks = _count("0 until a worker has fetched the stock list.")


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
    stock_codes = _texts("Null means the whole stock list.", allow_null=True)
    test_mode = s.BooleanField()
    full_collection_mode = s.BooleanField()
    force_update = s.BooleanField()
    fallbacks = _texts()
    verify_with = s.CharField(allow_blank=True)
    verify_sample = s.IntegerField(min_value=1, max_value=100)
    queued_at = s.DateTimeField()
    queued_by = s.CharField(allow_blank=True, help_text="Empty for the terminal.")
    channel = s.ChoiceField(Channel.choices)
    ended_at = s.DateTimeField(allow_null=True, help_text="When it left the queue.")
    task_id = s.UUIDField(allow_null=True, help_text="The task that it became.")
    error_code = s.CharField(allow_blank=True, help_text="Why it was refused when it was to start.")
    error_message = s.CharField(allow_null=True)


class QueuedAnswer(QueuedOrderAnswer):
    status = s.ChoiceField(["queued"])
    message = s.CharField()


class QueuedOrderDetailAnswer(QueuedOrderAnswer):
    events = QueueEventAnswer(many=True)


class QuotaAnswer(Answer):
    window = s.ChoiceField(["minute", "hour", "day"])
    most = _count("Permits in any such window; of a day as the source's vendor has it.")
    used = _count("Of these, in the last minute or hour, or today.")
    left = _count()
    resets_at = s.DateTimeField(allow_null=True, help_text="When none is used any more; null: none is.")


class EstimateAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment] # a field of its own
    stocks = s.IntegerField(allow_null=True)
    unknown_codes = _texts("Requested, but not listed in the market, and left out.")
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
    stocks = _count()
    bars = _count("New or corrected bars.")


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
    total_stocks = _count("Grows while a worker plans the stocks of a whole market.")
    processed_stocks = _count()
    success_count = _count()
    failed_count = _count()
    collected_count = _count("New bars.")
    corrected_count = _count("Stored bars that the source has changed.")
    skipped_count = _count("Bars that were stored already.")
    refused_count = _count("Bars that failed a check and were not stored.")
    flagged_count = _count("Bars that were stored although a check doubts them.")
    compared_count = _count("Bars that were compared with the second source's.")
    differing_count = _count("Of these, bars that differ by more than rounding, or that one source lacks.")
    uncompared_count = _count("Stocks that were to be compared, but could not be.")
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
    sources = s.DictField(
        child=ShareAnswer(), help_text="What each source delivered; empty for a task without fallbacks."
    )
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True, help_text="Why a task failed; null without an error.")
    failed_details = _texts("The first 100 failures, as “code: reason”.")


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
    position = _count()
    code = s.CharField()
    status = s.ChoiceField(ItemState.choices)
    attempts = _count()
    rows_collected = _count()
    rows_corrected = _count()
    rows_skipped = _count()
    rows_refused = _count()
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


class AgreementAnswer(Answer):
    source = s.CharField(help_text="Whose bars were stored.")  # type: ignore[assignment]
    other_source = s.CharField(help_text="With whose bars they were compared.")
    market = s.ChoiceField(Market.choices)
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    field = s.ChoiceField(ComparedField.choices, help_text="day: whether both have a bar.")
    month = s.DateField(help_text="Its first day.")
    compared = _count("Values; a bar that is compared again counts again.")
    agreeing = _count()
    differing = _count("By more than rounding.")
    worst = s.FloatField(min_value=0, help_text="The largest difference, as a share of the larger value.")
    updated_at = s.DateTimeField()


class ErrorGroupAnswer(Answer):
    error_code = s.CharField(allow_blank=True)
    message = s.CharField(allow_blank=True)
    count = s.IntegerField(min_value=1)
    first_seen = s.DateTimeField()
    last_seen = s.DateTimeField()
    sample_codes = _texts()


class StockAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: a made-up stock.")
    code = s.CharField()
    kind = s.ChoiceField(InstrumentKind.choices)
    name = s.CharField(allow_blank=True)
    full_collection_completed = s.BooleanField(
        help_text="Whether the whole listed life is answered, in at least one adjustment."
    )
    full_collection_date = s.DateTimeField(allow_null=True)
    first_day = s.DateField(allow_null=True, help_text="Of all adjustments.")
    last_day = s.DateField(allow_null=True)
    bars = _count("Of the adjustment with the most.")
    behind = s.IntegerField(
        min_value=0,
        allow_null=True,
        help_text="Sessions for which no source has answered yet, under the adjustment with the fewest; "
        "0 for a delisted stock, null without bars.",
    )


class StockListAnswer(Answer):
    total = _count("Stocks that match, before the limit.")
    stocks = StockAnswer(many=True)
    only_uncompleted = s.BooleanField()


class CoverageAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: made-up quotes.")
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    source = s.CharField(  # type: ignore[assignment]
        allow_null=True,
        allow_blank=True,
        help_text="The source of the stocks' newest bars, though not of all of them; "
        "null for listed stocks without bars.",
    )
    stocks = _count("complete + behind + empty.")
    bars = _count()
    first_day = s.DateField(allow_null=True)
    last_day = s.DateField(allow_null=True)
    updated_at = s.DateTimeField(
        allow_null=True,
        help_text="When a collection, or a deletion, last wrote what is stored of these stocks.",
    )
    session = s.DateField(help_text="The market's latest session whose bars are final.")
    complete = _count("Up to date, or delisted.")
    behind = _count("With bars, but a later session for which no source has answered.")
    behind_by = s.DictField(
        child=s.IntegerField(min_value=0), help_text="Stocks that are behind by 1, 2-5, 6-20, 21+ sessions."
    )
    most_behind = _count("Sessions by which the last one is behind.")
    empty = _count("Listed stocks without any bar.")


class BarRecordAnswer(Answer):
    id = s.IntegerField()
    market = s.ChoiceField(Market.choices)
    code = s.CharField()
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    source = s.CharField(allow_blank=True)  # type: ignore[assignment]
    task_id = s.UUIDField(allow_null=True, help_text="Null if the task was deleted.")


KIND_HELP = "refused: not stored; flagged: stored, but doubtful; differs: a second source has other values."


class FindingAnswer(BarRecordAnswer):
    day = s.DateField(allow_null=True)
    kind = s.ChoiceField(FindingKind.choices, help_text=KIND_HELP)
    error_code = s.CharField()
    message = s.CharField(help_text="One sentence in the language of Accept-Language.")
    values = s.DictField(allow_null=True, help_text="Of the bar, by column; null where not recorded.")
    other_source = s.CharField(allow_blank=True, help_text="With which the source was compared.")
    other_values = s.DictField(allow_null=True, help_text="Its values, which are not stored.")
    found_at = s.DateTimeField()


class CorrectionAnswer(BarRecordAnswer):
    day = s.DateField(help_text="Of a series that changed as a whole: the first day that changed.")
    bars = s.IntegerField(min_value=1)
    before = s.DictField(allow_null=True, help_text="The changed columns; null for a whole series.")
    after = s.DictField(allow_null=True, help_text="{} for a bar that its source no longer has.")
    previous_source = s.CharField(allow_blank=True, help_text="Of the values before.")
    corrected_at = s.DateTimeField()
    is_replayed = s.BooleanField(
        help_text="Whether the bar was derived again from the raw answer: its source has changed nothing."
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


class SilentDayAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment]
    stocks = _count("That were asked for and had no bar of the day.")
    asked_at = s.DateTimeField()


class CalendarDayAnswer(Answer):
    market = s.ChoiceField(Market.choices)
    day = s.DateField()
    is_session = s.BooleanField()
    is_published = s.BooleanField(help_text="Else every weekday counts as a session.")
    corrected = s.BooleanField(help_text="Whether the published calendar was corrected here.")
    note = s.CharField(allow_blank=True)
    changed_by = s.CharField(allow_blank=True)
    changed_at = s.DateTimeField(allow_null=True)
    without_quotes = SilentDayAnswer(many=True, help_text="Sources that had no quotes of the day.")


class TargetSessionAnswer(Answer):
    session = s.DateField()
    deadline = s.DateTimeField()
    state = s.ChoiceField(TargetState.choices, help_text="Pending until it is judged, once.")
    complete_at = s.DateTimeField(allow_null=True, help_text="When it was complete, by the database's clock.")
    late_seconds = s.FloatField(
        allow_null=True, min_value=0, help_text="After the deadline; 0 if met, null while it is not complete."
    )
    minimum = s.FloatField(min_value=1, max_value=100, help_text="Percent, as it was judged by.")
    bars = s.IntegerField(allow_null=True, help_text="At the last look; null before the bars are final.")
    reasons = s.IntegerField(allow_null=True, help_text="Securities without a bar for a recorded reason.")
    missing = s.IntegerField(allow_null=True)
    looked_at = s.DateTimeField(allow_null=True)
    judged_at = s.DateTimeField(allow_null=True)


class TargetAnswer(Answer):
    id = s.IntegerField()
    name = s.CharField()
    enabled = s.BooleanField()
    market = s.ChoiceField(Market.choices)
    kind = s.ChoiceField(ORDER_KINDS)
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    source = s.CharField(allow_null=True, help_text="Whose bars alone count; null for any.")  # type: ignore[assignment]
    minimum = s.FloatField(
        min_value=1,
        max_value=100,
        help_text="Percent of the securities without a reason for having no bar that must have theirs.",
    )
    at = s.CharField(help_text="Time of day, HH:MM, in the market's time zone.")
    days_after = s.IntegerField(min_value=0, help_text="Calendar days from the session to its deadline.")
    time_zone = s.CharField()
    since = s.DateTimeField(help_text="Sessions whose deadline is later are judged.")
    last = TargetSessionAnswer(allow_null=True, help_text="The newest session; null before the first.")


class PlanStepAnswer(Answer):
    """Keys that the kind has not are empty."""

    kind = s.ChoiceField(StepKind.choices)
    source = s.CharField(allow_blank=True, help_text="Empty: the plan's.")  # type: ignore[assignment]
    days = s.IntegerField(allow_null=True, help_text="Null: the plan's.")
    verify_with = s.CharField(allow_blank=True)
    verify_sample = s.IntegerField()
    export_to = s.CharField(allow_blank=True)
    export_layout = s.ChoiceField(ExportLayout.choices)
    retries = _count("With the failed stocks only.")
    retry_wait = _count("Minutes before a retry.")
    on_failure = s.ChoiceField(OnFailure.choices)


class PlanAnswer(Answer):
    id = s.IntegerField()
    name = s.CharField()
    enabled = s.BooleanField()
    market = s.ChoiceField(Market.choices)
    source = s.CharField()  # type: ignore[assignment]
    fallbacks = _texts("Null: those of COLLECTOR_FALLBACKS.", allow_null=True)
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    kind = s.ChoiceField(ORDER_KINDS)
    days = s.IntegerField(min_value=1, help_text="Calendar days back from the day on which it is due.")
    stock_codes = _texts("Null means the whole stock list.", allow_null=True)
    full_collection_mode = s.BooleanField()
    force_update = s.BooleanField()
    verify_with = s.CharField(allow_blank=True, help_text="The second source; empty for none.")
    verify_sample = s.IntegerField(min_value=1, max_value=100, help_text="Percent of the stocks.")
    rhythm = s.ChoiceField(Rhythm.choices)
    weekday = s.IntegerField(min_value=0, max_value=6, help_text="0 is Monday; counts only if weekly.")
    at = s.CharField(help_text="Time of day, HH:MM, in the market's time zone.")
    steps = PlanStepAnswer(many=True, help_text="Empty: a run collects what the plan orders.")
    export_to = s.CharField(
        allow_blank=True, help_text="The folder of the export after each run; empty for none."
    )
    export_layout = s.ChoiceField(ExportLayout.choices)
    time_zone = s.CharField()
    next_at = s.DateTimeField(allow_null=True, help_text="Null while it is switched off.")
    next_runs = s.ListField(
        child=s.DateTimeField(),
        help_text="The next five times; the first is `next_at`. Empty while it is off.",
    )
    waiting_since = s.DateTimeField(allow_null=True, help_text="Due, but another task is running.")
    last_at = s.DateTimeField(allow_null=True)
    last_task = s.UUIDField(allow_null=True)
    late_runs = _count("Runs that had to wait.")
    error_code = s.CharField(allow_blank=True, help_text="Why the last run did not start.")
    error_message = s.CharField(allow_null=True)
    made_by = s.CharField(
        allow_blank=True, help_text="Who saved it last; its runs are recorded under this user."
    )
    created_at = s.DateTimeField()


class StepAttemptAnswer(Answer):
    attempt = s.IntegerField()
    state = s.ChoiceField(AttemptState.choices)
    task_id = s.UUIDField(allow_null=True)
    export_id = s.IntegerField(allow_null=True)
    result = s.DictField(allow_null=True, help_text="What the refresh of a stock list brought.")
    started_at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True)


class RunStepAnswer(Answer):
    position = s.IntegerField()
    kind = s.ChoiceField(StepKind.choices)
    state = s.CharField(
        help_text="That of its attempts; `pending` or `waiting` before it begins, `skipped` if the run ended."
    )
    attempts = StepAttemptAnswer(many=True)


class PlanRunAnswer(Answer):
    id = s.IntegerField()
    plan_id = s.IntegerField()
    plan_name = s.CharField(help_text="As it was called then.")
    state = s.ChoiceField(RunState.choices)
    due_at = s.DateTimeField(allow_null=True, help_text="The plan's time; null for a run that a user began.")
    is_late = s.BooleanField(help_text="It had to wait for another task.")
    skipped = _count("Times of the plan that passed meanwhile, and have no run.")
    started_at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    waiting_since = s.DateTimeField(allow_null=True, help_text="The next step waits for another task.")
    not_before = s.DateTimeField(allow_null=True, help_text="When a retry is due.")
    user_name = s.CharField(allow_blank=True)
    channel = s.ChoiceField(Channel.choices)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True)
    steps = RunStepAnswer(many=True)


class PlanStartedAnswer(StartedAnswer):
    """Of a run whose first step is no task, only these keys, and no task."""

    task_id = s.UUIDField(allow_null=True)
    run_id = s.IntegerField(allow_null=True, help_text="Of `GET plans/{plan_id}/runs`.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in fields.keys() - {"task_id", "run_id", "status", "message"}:
            fields[name].required = False
        return fields


class PlanDeletedAnswer(Answer):
    message = s.CharField()
    id = s.IntegerField()


class ExportAnswer(Answer):
    id = s.IntegerField()
    folder = s.CharField()
    layout = s.ChoiceField(ExportLayout.choices)
    selection = s.DictField(help_text="What is exported; empty values mean all.")
    state = s.ChoiceField(ExportState.choices)
    phase = s.CharField(allow_blank=True, help_text="Empty until a worker has begun.")
    done = _count("Parts of `total` at the last heartbeat.")
    total = _count()
    rows = _count("Written so far; of a completed one, what the export holds.")
    parts = _count()
    written = _count("Parts that were written anew.")
    checksum = s.CharField(allow_blank=True)
    is_consistent = s.BooleanField(allow_null=True, help_text="Whether all parts are of one moment.")
    at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    user_name = s.CharField(allow_blank=True, help_text="Empty for the terminal.")
    channel = s.ChoiceField(Channel.choices)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True)


class PlanEventAnswer(Answer):
    id = s.IntegerField()
    plan_id = s.IntegerField()
    plan_name = s.CharField(help_text="As it was called then.")
    kind = s.ChoiceField(PlanEventKind.choices)
    at = s.DateTimeField()
    user_name = s.CharField(allow_blank=True, help_text="Empty for the terminal.")
    channel = s.ChoiceField(Channel.choices)
    params = s.DictField(help_text="The values that changed, or the task of a run.")


class BarAnswer(Answer):
    market = s.ChoiceField(Market.choices, help_text="SIM: a made-up bar.")
    code = s.CharField()
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    day = s.DateField()
    open = s.FloatField()
    high = s.FloatField()
    low = s.FloatField()
    close = s.FloatField()
    prev_close = s.FloatField(allow_null=True)
    volume = _count("Shares.")
    amount = s.FloatField(allow_null=True)
    amplitude = s.FloatField(allow_null=True, help_text="Percent.")
    change = s.FloatField(allow_null=True)
    change_pct = s.FloatField(allow_null=True, help_text="Percent.")
    turnover = s.FloatField(allow_null=True, help_text="Percent.")
    source = s.CharField()  # type: ignore[assignment]
    collected_at = s.DateTimeField()
    is_st = s.BooleanField(allow_null=True, help_text="Under special treatment (ST, *ST) on this day.")
    st_from = s.ChoiceField(["source", "names"], allow_null=True, help_text="Told, or by the recorded names.")
    limit_up = s.FloatField(allow_null=True, help_text="Upper price limit of the day.")
    limit_down = s.FloatField(allow_null=True)
    limits_from = s.ChoiceField(
        ["source", "computed"],
        allow_null=True,
        help_text="Told by the source, or computed by the board's rules; null where they are not certain.",
    )
    at_limit = s.ChoiceField(
        ["up", "down"], allow_null=True, help_text="Whether the day closed at one of its limits."
    )
    basis = s.ChoiceField(BASES, help_text="Whether the prices are stored so, or computed with factors.")
    factor_source = s.CharField(allow_null=True, help_text="The source of the factors of computed prices.")
    factors_at = s.DateTimeField(allow_null=True, help_text="When it sent them.")


class BulkBarAnswer(Answer):
    """A bar with the columns that were asked for."""

    code = s.CharField(required=False)
    day = s.DateField(required=False)
    open = s.FloatField(required=False)
    high = s.FloatField(required=False)
    low = s.FloatField(required=False)
    close = s.FloatField(required=False)
    prev_close = s.FloatField(required=False, allow_null=True)
    volume = s.IntegerField(required=False, help_text="Shares.")
    amount = s.FloatField(required=False, allow_null=True)
    amplitude = s.FloatField(required=False, allow_null=True, help_text="Percent.")
    change = s.FloatField(required=False, allow_null=True)
    change_pct = s.FloatField(required=False, allow_null=True, help_text="Percent.")
    turnover = s.FloatField(required=False, allow_null=True, help_text="Percent.")
    is_st = s.BooleanField(required=False, allow_null=True, help_text="Only what the source told.")
    limit_up = s.FloatField(required=False, allow_null=True, help_text="Only what the source told.")
    limit_down = s.FloatField(required=False, allow_null=True, help_text="Only what the source told.")
    source = s.CharField(required=False)  # type: ignore[assignment]
    collected_at = s.DateTimeField(required=False)
    stored_code = s.CharField(required=False, help_text="Another one than `code` from before it changed.")
    adjust = s.ChoiceField(Adjust.choices, required=False, allow_blank=True)
    basis = s.ChoiceField(BASES, required=False)
    factor_source = s.CharField(required=False, allow_null=True)
    factors_at = s.DateTimeField(required=False, allow_null=True)


class FactorAnswer(Answer):
    ex_day = s.DateField()
    hfq = s.CharField(help_text="Times an unadjusted price from this day on: the backward-adjusted price.")
    qfq = s.CharField(allow_blank=True, help_text="The same forward-adjusted; empty: hfq ÷ the newest hfq.")


class FactorTableAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment]
    fetched_at = s.DateTimeField()
    until = s.DateField(help_text="No ex day up to this one is missing.")
    lacks = s.DateField(allow_null=True, help_text="An ex day that bars show and the source lacked.")
    factors = FactorAnswer(many=True)


class ActionAnswer(Answer):
    kind = s.ChoiceField(ActionKind.choices)
    ex_day = s.DateField(allow_null=True)
    announced_on = s.DateField(allow_null=True)
    record_day = s.DateField(allow_null=True)
    paid_on = s.DateField(allow_null=True)
    cash = s.CharField(allow_blank=True, help_text="Per share before tax, in the market's currency.")
    ratio = s.CharField(allow_blank=True, help_text="New shares per held share.")
    price = s.CharField(allow_blank=True, help_text="Of a new share in a rights issue.")
    note = s.CharField(allow_blank=True)


class ActionTableAnswer(Answer):
    source = s.CharField()  # type: ignore[assignment]
    fetched_at = s.DateTimeField()
    until = s.DateField(help_text="No ex day up to this one is missing.")
    complete_from = s.DateField(allow_null=True, help_text="The first complete day; null: all of the past.")
    actions = ActionAnswer(many=True)


class GapAnswer(Answer):
    first_day = s.DateField()
    last_day = s.DateField()
    days = s.IntegerField(min_value=1, help_text="Sessions without a bar, or closed weekdays.")
    reason = s.ChoiceField(GapKind.values)
    message = s.CharField(help_text="One sentence in the language of Accept-Language.")
    source = s.CharField(allow_null=True)  # type: ignore[assignment]
    requested_on = s.DateField(allow_null=True, help_text="In the market's time zone.")
    bound = s.DateField(allow_null=True, help_text="The first bar that came after these days, or the last.")


class ChangeAnswer(Answer):
    number = s.IntegerField(min_value=0)
    at = s.DateTimeField(help_text="When it was committed.")
    kind = s.ChoiceField(ChangeKind.choices)
    market = s.ChoiceField(Market.choices, allow_blank=True)
    code = s.CharField(allow_blank=True, help_text="Empty for a change of the calendar.")
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    first_day = s.DateField(allow_null=True, help_text="The first day that it concerns.")
    last_day = s.DateField(allow_null=True)
    rows = _count("Bars or rows that it concerns.")


class ChangesAnswer(Answer):
    since = s.IntegerField(min_value=0)
    last = s.IntegerField(min_value=0, help_text="The answer is complete up to this number: the next since.")
    newest = s.IntegerField(min_value=0, help_text="The last number of all. Above last: there are more.")
    first = s.IntegerField(min_value=0, help_text="Changes are kept after this number.")
    changes = ChangeAnswer(many=True)


class DayAnswer(Answer):
    market = s.ChoiceField(Market.choices)
    kind = s.ChoiceField(InstrumentKind.choices)
    day = s.DateField()
    sealed = s.BooleanField(help_text="Whether every listed security has a bar or a recorded reason.")
    sealed_at = s.DateTimeField(allow_null=True)
    revision = _count("Number of sealings; 0: never sealed.")
    checksum = s.CharField(allow_null=True, help_text="SHA-256 of its bars; null: unsealed.")
    bars = s.IntegerField(min_value=0, allow_null=True)
    reasons = s.IntegerField(min_value=0, allow_null=True, help_text="Securities without a bar.")
    number = s.IntegerField(
        min_value=0, allow_null=True, help_text="The last change before it was sealed: read `as_of` it."
    )


class MissingAnswer(Answer):
    code = s.CharField()
    reason = s.ChoiceField(GapKind.values)
    message = s.CharField(help_text="One sentence in the language of Accept-Language.")


class DayDetailAnswer(DayAnswer):
    unsealed_reason = s.ChoiceField(
        UnsealedReason.values,
        allow_null=True,
        help_text="Why it is not sealed: no_bars: none of its bars is stored; missing: securities lack one "
        "without a reason; pending: nothing is missing, and it is about to be sealed. null: it is sealed.",
    )
    missing_count = _count("Listed securities without a bar or a reason.")
    missing = MissingAnswer(many=True, help_text="The first 100 of them.")


class AliveAnswer(Answer):
    alive = s.BooleanField()


class ReadyAnswer(Answer):
    ready = s.BooleanField(help_text="Whether all checks succeed.")
    database = s.BooleanField(help_text="The database answers.")
    migrations = s.BooleanField(help_text="No migration is missing.")
    queue = s.BooleanField(help_text="The job queue can be read.")
    worker = s.BooleanField(help_text="At least one worker is alive.")
