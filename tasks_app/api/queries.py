"""Validates the shape of query strings."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers as s

from tasks_app.api.fields import (
    AS_OF,
    InputSerializer,
    MarketField,
    MonthField,
    QueryDateTimeField,
    QuerySerializer,
    StrictBooleanField,
    StrictDateField,
    StrictIntegerField,
    TaskIdField,
)
from tasks_app.api.pagination import MAX_PAGE, PAGE
from tasks_app.market.calendar_days import DayKind
from tasks_app.models.agreement import ComparedField
from tasks_app.models.events import EventKind
from tasks_app.models.plan_runs import RunState
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.models.quotes import Adjust, FindingKind, InstrumentKind
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tasks_app.models.targets import TargetState
from tasks_app.models.transfers import ExportState
from tasks_app.orders.order import MAX_CODES
from tasks_app.quotes.adjusted_prices import BASES


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


class ChainQuery(QuerySerializer):
    chain = StrictBooleanField(
        default=False,
        help_text="Of the whole run: also of the tasks before and after it in its chain.",
    )


class ItemQuery(ChainQuery, PageQuery):
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


class ExportQuery(PageQuery):
    state = s.ChoiceField(ExportState.choices, required=False)


class PlanEventQuery(PageQuery):
    plan = StrictIntegerField(required=False, source="plan_id", min_value=1)


class PlanRunQuery(PageQuery):
    state = s.ChoiceField(RunState.choices, required=False)


class QueueQuery(PageQuery):
    state = s.ChoiceField(QueuedOrderState.choices, required=False, help_text="Default: waiting.")


class PlanQuery(PageQuery):
    market = MarketField(required=False)
    enabled = StrictBooleanField(required=False)


class TargetQuery(PageQuery):
    market = MarketField(required=False)
    enabled = StrictBooleanField(required=False)


class TargetSessionQuery(PageQuery):
    state = s.ChoiceField(TargetState.choices, required=False)


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
