"""Validates the shape of bodies and query strings. Whether an order makes sense is checked by `orders`."""

import re
from collections.abc import Mapping
from datetime import time
from typing import Any
from uuid import UUID

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers as s
from rest_framework.request import Request

from tasks_app.api.pagination import MAX_PAGE, PAGE
from tasks_app.api.request_data import ID
from tasks_app.conf import ADJUSTS, ALL_MARKETS
from tasks_app.errors import CollectorError
from tasks_app.exports.places import named_folder
from tasks_app.market.calendar_days import DayKind
from tasks_app.market.codes import SPELLING
from tasks_app.models.agreement import ComparedField
from tasks_app.models.plan_runs import LONGEST_WAIT, MAX_RETRIES, OnFailure, RunState, StepKind
from tasks_app.models.plans import LONGEST_DAYS, Rhythm
from tasks_app.models.queued_orders import PRIORITY_NAMES, QueuedOrderState
from tasks_app.models.quotes import ORDER_KINDS, Adjust, FindingKind, InstrumentKind, Market
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tasks_app.models.targets import TargetState
from tasks_app.models.tasks import EventKind
from tasks_app.models.transfers import ExportLayout, ExportState
from tasks_app.orders.order import MAX_CODES
from tasks_app.quotes.adjusted_prices import BASES

WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
AS_OF = (
    "As it was known then: at the end of a day in UTC (2024-05-01), at a time with offset, or after the "
    "change of a number."
)
AS_OF_ELSEWHERE = _(
    "Only quotes, factors, corporate actions and bars are read as they were known at a moment."
)
OF_A_START = ("queue", "priority")  # that are no values of the order
OPTIONAL: dict[str, Any] = {"required": False, "allow_null": True}
OPTIONAL_TEXT: dict[str, Any] = {**OPTIONAL, "allow_blank": True}


def validated(kind: "type[InputSerializer]", data: Any) -> dict[str, Any]:
    """Returns the typed values of `data`. Raises `ValidationError`."""
    serializer = kind(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def validated_query(kind: "type[InputSerializer]", request: Request) -> dict[str, Any]:
    """Returns the typed parameters of the query string. Raises `ValidationError`, also for repeated ones."""
    return validated(kind, scalars(request.query_params))


def scalars(parameters: QueryDict) -> dict[str, str]:
    """Returns the parameters of a query string. Raises `ValidationError` for those that it repeats.

    Of several values, one alone would be heeded.
    """
    repeated = [name for name, values in parameters.lists() if len(values) > 1][:20]
    if repeated:
        raise s.ValidationError({name[:40]: [_("Give this parameter once.")] for name in repeated})
    return {name: str(value) for name, value in parameters.dict().items()}


def unknown_fields(kind: "type[InputSerializer]", data: Any) -> list[str]:
    """Returns the names in a body that the serializer does not know: at most twenty, sorted, cut short."""
    return sorted({name[:40] for name in data if name not in kind().fields})[:20]


def _folder_name(value: str) -> str:
    """Raises `ValidationError` for a name that no folder below COLLECTOR_EXPORT_DIR can have."""
    try:
        named_folder(value)
    except CollectorError as error:
        raise s.ValidationError(str(error)) from error
    return value


class StrictDateField(s.DateField):
    """`YYYY-MM-DD`, the zeros optional. REST framework's field also accepts other forms of ISO 8601."""

    def to_internal_value(self, value: Any) -> Any:
        if not (parts := re.fullmatch(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", str(value))):
            self.fail("invalid", format="YYYY-MM-DD")
        year, month, day = parts.groups()
        return super().to_internal_value(f"{year}-{month:0>2}-{day:0>2}")


@extend_schema_field({"type": "integer"})
class StrictIntegerField(s.IntegerField):
    """Plain digits. REST framework's field also accepts 1_0, 1.0 and the digits of any script."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "boolean"},
            {"type": "integer", "enum": [1, 0]},
            {"type": "string", "enum": ["true", "false", "True", "False", "yes", "no", "1", "0"]},
        ]
    }
)
class StrictBooleanField(s.BooleanField):
    """A JSON boolean, 1 or 0, or one of `WORDS` in any case. REST framework's field also accepts on and y."""

    def to_internal_value(self, data: Any) -> bool:
        value = WORDS.get(str(data).lower()) if isinstance(data, str | int) else None
        if value is None:
            self.fail("invalid", input=str(data)[:40])
        return value


class MarketField(s.ChoiceField):
    """A market in letters of any case."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Market.choices, **options)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(str(data).upper())


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string", "pattern": rf"^\s*{SPELLING}\s*$"},
        "maxItems": MAX_CODES,
        "example": ["600519", "000001"],
    }
)
class StockCodesField(s.Field[Any, Any, Any, Any]):
    """A list of strings; an empty one means all stocks.

    Not a `ListField`, whose children would turn the number 600519 into text.
    """

    default_error_messages = {
        "not_a_list": _('Give a list of strings, such as ["600519"].'),
        "not_strings": _("Every stock code must be a string: as a number, 000001 would lose its zeros."),
        "too_many": _("At most %(limit)d stock codes in one task.") % {"limit": MAX_CODES},
    }

    def to_internal_value(self, data: Any) -> tuple[str, ...] | None:
        if not isinstance(data, list):
            self.fail("not_a_list")
        if len(data) > MAX_CODES:
            self.fail("too_many")
        if not all(isinstance(code, str) for code in data):
            self.fail("not_strings")
        return tuple(data) or None


class QueryDateTimeField(s.DateTimeField):
    """ISO 8601. In a query string the + of an offset arrives as a blank, unless it was escaped."""

    def to_internal_value(self, value: Any) -> Any:
        return super().to_internal_value(re.sub(r"(:[0-9.]+) ([0-9]{2}:?[0-9]{2})$", r"\1+\2", str(value)))


@extend_schema_field({"type": "string", "format": "uuid"})
class TaskIdField(s.Field[Any, Any, Any, Any]):
    """A task's id, with or without its hyphens."""

    default_error_messages = {"invalid": _("Give the id of a task.")}

    def to_internal_value(self, data: Any) -> UUID:
        if not re.fullmatch(ID, str(data)):
            self.fail("invalid")
        return UUID(str(data))


class InputSerializer(s.Serializer[Any]):
    """A null means the same as a key left out, as clients of the old service mean it."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):  # of other values REST framework says what is wrong
            data = {name: value for name, value in data.items() if value is not None}
        return super().to_internal_value(data)


class QuerySerializer(InputSerializer):
    """The parameters of a read. `as_of` is refused where it has no effect: today's answer is another one."""

    def to_internal_value(self, data: Any) -> Any:
        if "as_of" in data and "as_of" not in self.fields:
            raise s.ValidationError({"as_of": [AS_OF_ELSEWHERE]})
        return super().to_internal_value(data)


class StartBody(InputSerializer):
    start_date = StrictDateField(help_text="First day, YYYY-MM-DD.")
    end_date = StrictDateField(help_text="Last day, YYYY-MM-DD.")
    stock_codes = StockCodesField(**OPTIONAL, help_text="Only these stocks. Default: all stocks.")
    test_mode = StrictBooleanField(**OPTIONAL, help_text="Only the first five stocks.")
    full_collection_mode = StrictBooleanField(
        **OPTIONAL, help_text="Only stocks whose whole listed life is not answered in this adjustment."
    )
    market = s.CharField(
        **OPTIONAL_TEXT,
        max_length=32,
        help_text=f"One of {', '.join(ALL_MARKETS)}. Default: CN, or the source's first market. "
        "A named source of made-up quotes always means SIM.",
    )
    source = s.CharField(  # type: ignore[assignment]
        **OPTIONAL_TEXT, max_length=32, help_text="Name of a source. Default: the market's default source."
    )
    adjust = s.CharField(
        **OPTIONAL_TEXT, max_length=32, help_text=f"Adjustment, one of {', '.join(map(repr, ADJUSTS))}."
    )
    kind = s.ChoiceField(
        [(kind.value, kind.label) for kind in ORDER_KINDS],
        **OPTIONAL,
        help_text="What a whole market is collected of. Default: stock. Named codes may be of any kind.",
    )
    force_update = StrictBooleanField(
        **OPTIONAL, help_text="Fetch all days again, also those already stored."
    )
    fallbacks = s.ListField(
        **OPTIONAL,
        child=s.CharField(max_length=32),
        max_length=10,
        help_text="Sources to try, in this order, for stocks that fail. Default: those of the settings.",
    )

    verify_with = s.CharField(
        **OPTIONAL_TEXT,
        max_length=32,
        help_text="A second source: its bars of the same stocks and days are compared with the fetched ones, "
        "and stored nowhere. Default: none.",
    )
    verify_sample = StrictIntegerField(
        **OPTIONAL,
        min_value=1,
        max_value=100,
        help_text="How many percent of the stocks are compared. Default: 100.",
    )

    queue = StrictBooleanField(
        **OPTIONAL, help_text="While another task runs, queue the order (202) instead of refusing it (400)."
    )
    priority = s.ChoiceField(
        PRIORITY_NAMES, **OPTIONAL, help_text="Of a queued order: higher ones start first. Default: normal."
    )

    def validate_market(self, value: str) -> str:
        return value.upper() if value.upper() in ALL_MARKETS else value

    def validate_fallbacks(self, value: list[str]) -> tuple[str, ...]:
        return tuple(value)


class RetryBody(InputSerializer):
    error_code = s.CharField(**OPTIONAL_TEXT, max_length=40, help_text="Only failures with this code.")


class PageQuery(QuerySerializer):
    limit = StrictIntegerField(
        required=False, min_value=1, max_value=MAX_PAGE, help_text=f"Rows in a page. Default: {PAGE}."
    )
    cursor = s.CharField(
        required=False, max_length=500, help_text="Taken from the Link header of the previous page; opaque."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Keeps the filters only: pagination reads the rest from the request."""
        return {name: value for name, value in attrs.items() if name not in {"limit", "cursor"}}


class TaskQuery(PageQuery):
    status = s.ChoiceField(TaskStatus.choices, required=False)
    outcome = s.ChoiceField(TaskOutcome.choices, required=False)
    market = MarketField(required=False)
    source = s.CharField(required=False, max_length=32)  # type: ignore[assignment]
    started_after = QueryDateTimeField(
        required=False, source="start_time__gte", help_text="Started at or after this time, ISO 8601."
    )
    started_before = QueryDateTimeField(
        required=False, source="start_time__lt", help_text="Started before this time, ISO 8601."
    )


class ItemQuery(PageQuery):
    status = s.ChoiceField(ItemState.choices, required=False, source="state")
    code = s.CharField(required=False, max_length=24, help_text="In any spelling of the market.")
    error_code = s.CharField(required=False, max_length=40)


class StockQuery(QuerySerializer):
    only_uncompleted = StrictBooleanField(default=False, help_text="Only stocks without full history.")
    market = MarketField(
        required=False, help_text="Default: CN; SIM where COLLECTOR_DEFAULT_SOURCE makes its quotes up."
    )
    kind = s.ChoiceField(InstrumentKind.choices, required=False, help_text="Default: all kinds.")
    limit = StrictIntegerField(default=PAGE, min_value=1, max_value=MAX_CODES)


class CoverageQuery(QuerySerializer):
    market = MarketField(required=False)
    adjust = s.ChoiceField(Adjust.choices, required=False, allow_blank=True)
    source = s.CharField(required=False, max_length=32)  # type: ignore[assignment]
    kind = s.ChoiceField(InstrumentKind.choices, required=False, help_text="Default: all kinds.")


class BarRecordQuery(PageQuery):
    market = MarketField(required=False)
    code = s.CharField(
        required=False, max_length=24, help_text="In any spelling of the market, which must be named, too."
    )
    task = TaskIdField(required=False, source="item__task", help_text="Only what this task found.")
    start = StrictDateField(
        required=False, source="day__gte", help_text="First day, YYYY-MM-DD; needs a market or a task."
    )
    end = StrictDateField(
        required=False, source="day__lte", help_text="Last day, YYYY-MM-DD; needs a market or a task."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Demands a market where no index serves the filters without it."""
        filters = super().validate(attrs)
        has_days = filters.keys() & {"day__gte", "day__lte"} and "item__task" not in filters
        if "market" not in filters and ("code" in filters or has_days):
            raise s.ValidationError({"market": _("Name the market of the code or the days, too.")})
        return filters


class FindingQuery(BarRecordQuery):
    kind = s.ChoiceField(FindingKind.choices, required=False)


class EventQuery(PageQuery):
    task = TaskIdField(required=False)
    kind = s.ChoiceField(EventKind.choices, required=False)
    after = QueryDateTimeField(required=False, source="at__gte", help_text="At or after this time, ISO 8601.")
    before = QueryDateTimeField(required=False, source="at__lt", help_text="Before this time, ISO 8601.")


class CalendarQuery(PageQuery):
    market = MarketField()
    start = StrictDateField(required=False, help_text="First day, YYYY-MM-DD. Default: 1 January.")
    end = StrictDateField(required=False, help_text="Last day, YYYY-MM-DD. Default: 31 December.")
    kind = s.ChoiceField(DayKind.choices, required=False, help_text="Default: all weekdays and sessions.")


@extend_schema_field({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "example": "18:00"})
class TimeOfDayField(s.Field[Any, Any, Any, Any]):
    """HH:MM."""

    default_error_messages = {"invalid": _("Give a time of day as HH:MM.")}

    def to_internal_value(self, data: Any) -> time:
        if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", str(data)):
            self.fail("invalid")
        return time.fromisoformat(str(data))


class TextField(s.CharField):
    """A JSON string. REST framework's field also takes numbers."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBody(InputSerializer):
    """Refuses a key that it does not know: without it the request would mean something else."""

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, Mapping) else ()
        if unknown := sorted(str(name)[:40] for name in names if name not in self.fields)[:20]:
            raise s.ValidationError({name: [_("There is no such field.")] for name in unknown})
        return super().to_internal_value(data)


class ExportBody(StrictBody):
    folder = TextField(max_length=64, help_text="Name of a folder below COLLECTOR_EXPORT_DIR.")
    layout = s.ChoiceField(ExportLayout.choices, required=False, help_text="Default: parquet.")
    market = MarketField(required=False, help_text="Default: all markets.")
    adjust = s.ChoiceField(
        Adjust.choices, required=False, allow_blank=True, help_text="Default: all; empty is unadjusted."
    )
    stock_codes = StockCodesField(**OPTIONAL, help_text="Only these of the market. Default: all.")
    start_date = StrictDateField(required=False, help_text="First day, YYYY-MM-DD.")
    end_date = StrictDateField(required=False, help_text="Last day, YYYY-MM-DD.")
    as_of = s.CharField(required=False, max_length=40, help_text=AS_OF)


class ExportQuery(PageQuery):
    state = s.ChoiceField(ExportState.choices, required=False)


class PlanStepBody(StrictBody):
    """A step; only the keys of its kind count."""

    kind = s.ChoiceField(StepKind.choices)
    source = s.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=32, help_text="Default: the plan's."
    )
    days = StrictIntegerField(
        **OPTIONAL, min_value=1, max_value=LONGEST_DAYS, help_text="Default: the plan's."
    )
    verify_with = s.CharField(required=False, allow_blank=True, max_length=32)
    verify_sample = StrictIntegerField(required=False, min_value=1, max_value=100)
    export_to = s.CharField(required=False, allow_blank=True, max_length=64)
    export_layout = s.ChoiceField(ExportLayout.choices, required=False)
    retries = StrictIntegerField(required=False, min_value=0, max_value=MAX_RETRIES, help_text="Default: 0.")
    retry_wait = StrictIntegerField(
        required=False, min_value=0, max_value=LONGEST_WAIT, help_text="Minutes before a retry. Default: 5."
    )
    on_failure = s.ChoiceField(OnFailure.choices, required=False, help_text="Default: stop.")

    def validate_export_to(self, value: str) -> str:
        return _folder_name(value) if value else value


class PlanChanges(StrictBody):
    """A null of `fallbacks` or `stock_codes` takes the named ones away; any other is a key left out."""

    name = TextField(required=False, max_length=100)
    enabled = StrictBooleanField(required=False)
    market = MarketField(required=False, help_text="Default: as for a start.")
    source = TextField(required=False, max_length=32)  # type: ignore[assignment]
    fallbacks = s.ListField(
        **OPTIONAL,
        child=s.CharField(max_length=32),
        max_length=10,
        help_text="Sources for stocks that fail. Null: those of the settings.",
    )
    adjust = s.ChoiceField(Adjust.choices, required=False, allow_blank=True)
    kind = s.ChoiceField(ORDER_KINDS, required=False)
    days = StrictIntegerField(
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        help_text="Calendar days back from the day on which it is due. Default: 30.",
    )
    stock_codes = StockCodesField(**OPTIONAL, help_text="Null or empty: the whole stock list.")
    full_collection_mode = StrictBooleanField(required=False)
    force_update = StrictBooleanField(required=False)
    verify_with = s.CharField(
        required=False,
        allow_blank=True,
        max_length=32,
        help_text="A second source to compare with, as for a start; empty for none.",
    )
    verify_sample = StrictIntegerField(
        required=False, min_value=1, max_value=100, help_text="Percent of the stocks. Default: 100."
    )
    rhythm = s.ChoiceField(Rhythm.choices, required=False, help_text="Default: every trading day.")
    weekday = StrictIntegerField(
        required=False, min_value=0, max_value=6, help_text="0 is Monday; counts only if weekly."
    )
    at = TimeOfDayField(required=False, help_text="HH:MM in the market's time zone.")
    export_to = s.CharField(
        required=False,
        allow_blank=True,
        max_length=64,
        help_text="The folder below COLLECTOR_EXPORT_DIR for an export after each run; empty for none.",
    )
    export_layout = s.ChoiceField(ExportLayout.choices, required=False, help_text="Default: parquet.")
    steps = PlanStepBody(
        many=True,
        required=False,
        help_text="What a run does, one after another. Empty: it collects what the plan orders.",
    )

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        nulls = [name for name in ("fallbacks", "stock_codes") if name in data and data[name] is None]
        values.update(dict.fromkeys(nulls))
        return values

    def validate_stock_codes(self, value: tuple[str, ...] | None) -> list[str] | None:
        return None if value is None else list(value)

    def validate_export_to(self, value: str) -> str:
        return _folder_name(value) if value else value


class PlanBody(PlanChanges):
    name = TextField(max_length=100)
    at = TimeOfDayField(help_text="HH:MM in the market's time zone.")


class PlanEventQuery(PageQuery):
    plan = StrictIntegerField(required=False, source="plan_id", min_value=1)


class PlanRunQuery(PageQuery):
    state = s.ChoiceField(RunState.choices, required=False)


class QueueQuery(PageQuery):
    state = s.ChoiceField(QueuedOrderState.choices, required=False, help_text="Default: waiting.")


class QueueChanges(InputSerializer):
    position = StrictIntegerField(
        **OPTIONAL, min_value=1, max_value=1000, help_text="Among the orders of its priority: 1 is the first."
    )
    priority = s.ChoiceField(PRIORITY_NAMES, **OPTIONAL)


class PlanQuery(PageQuery):
    market = MarketField(required=False)
    enabled = StrictBooleanField(required=False)


class TargetQuery(PageQuery):
    market = MarketField(required=False)
    enabled = StrictBooleanField(required=False)


class TargetSessionQuery(PageQuery):
    state = s.ChoiceField(TargetState.choices, required=False)


class MonthField(StrictDateField):
    """Any day of a month, as its first one."""

    def to_internal_value(self, value: Any) -> Any:
        return super().to_internal_value(value).replace(day=1)


class AgreementQuery(PageQuery):
    source = s.CharField(required=False, max_length=32)  # type: ignore[assignment]
    other_source = s.CharField(required=False, max_length=32)
    market = MarketField(required=False)
    adjust = s.ChoiceField(Adjust.choices, required=False, allow_blank=True)
    field = s.ChoiceField(ComparedField.choices, required=False)
    first_month = MonthField(required=False, source="month__gte", help_text="Any day of it.")
    last_month = MonthField(required=False, source="month__lte", help_text="Any day of it.")


class GapQuery(QuerySerializer):
    start = StrictDateField(required=False, help_text="First day, YYYY-MM-DD.")
    end = StrictDateField(required=False, help_text="Last day, YYYY-MM-DD.")
    adjust = s.ChoiceField(Adjust.choices, default="", allow_blank=True)
    limit = s.IntegerField(min_value=1, max_value=1000, default=100)


class ChangeQuery(QuerySerializer):
    since = StrictIntegerField(min_value=0, help_text="Changes after this number.")
    limit = StrictIntegerField(default=PAGE, min_value=1, max_value=10 * MAX_PAGE)
    market = MarketField(required=False, help_text="Only of this market. Default: of all.")


class AsOfQuery(QuerySerializer):
    as_of = s.CharField(required=False, max_length=40, help_text=AS_OF)


class DaysQuery(PageQuery):
    kind = s.ChoiceField(InstrumentKind.choices, default=InstrumentKind.STOCK)


class DayQuery(QuerySerializer):
    kind = s.ChoiceField(InstrumentKind.choices, default=InstrumentKind.STOCK)
    wait = s.IntegerField(
        min_value=0,
        max_value=60,
        default=0,
        help_text="Answer once the day is sealed, or after so many seconds as it is then.",
    )


class DayPath(InputSerializer):
    day = StrictDateField()


class QuoteQuery(PageQuery):
    as_of = s.CharField(required=False, max_length=40, help_text=AS_OF)
    start = StrictDateField(required=False, source="day__gte", help_text="First day, YYYY-MM-DD.")
    end = StrictDateField(required=False, source="day__lte", help_text="Last day, YYYY-MM-DD.")
    adjust = s.ChoiceField(Adjust.choices, default="", allow_blank=True)
    joined = StrictBooleanField(
        default=True, help_text="With the unadjusted bars from before the stock's code changed."
    )
    basis = s.ChoiceField(
        BASES,
        required=False,
        help_text="stored: as a source sent it; computed: from unadjusted bars and adjustment factors. "
        "Default: computed where the bars and factors are stored, stored otherwise.",
    )
