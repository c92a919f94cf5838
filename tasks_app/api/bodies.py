"""Validates the shape of bodies. Whether an order makes sense is checked by `orders`."""

from typing import Any

from rest_framework import serializers as s

from tasks_app.api.fields import (
    AS_OF,
    OPTIONAL,
    OPTIONAL_TEXT,
    BodySerializer,
    MarketField,
    StockCodesField,
    StrictBody,
    StrictBooleanField,
    StrictDateField,
    StrictIntegerField,
    TextField,
    TimeOfDayField,
)
from tasks_app.conf import ADJUSTS, ALL_MARKETS
from tasks_app.errors import CollectorError
from tasks_app.exports.places import named_folder
from tasks_app.models.plan_runs import LONGEST_WAIT, MAX_RETRIES, OnFailure, StepKind
from tasks_app.models.plans import LONGEST_DAYS, Rhythm
from tasks_app.models.priorities import PRIORITY_NAMES, Priority
from tasks_app.models.quotes import ORDER_KINDS, Adjust
from tasks_app.models.transfers import ExportLayout

OF_A_START = ("queue", "priority")  # that are no values of the order


def _folder_name(value: str) -> str:
    """Raises `ValidationError` for a name that no folder below COLLECTOR_EXPORT_DIR can have."""
    try:
        named_folder(value)
    except CollectorError as error:
        raise s.ValidationError(str(error)) from error
    return value


class StartBody(BodySerializer):
    start_date = StrictDateField(help_text="First day, YYYY-MM-DD.")
    end_date = StrictDateField(help_text="Last day, YYYY-MM-DD.")
    stock_codes = StockCodesField(**OPTIONAL, help_text="Only these stocks. Default: all stocks.")
    test_mode = StrictBooleanField(**OPTIONAL, help_text="Only the first five stocks.")
    full_collection_mode = StrictBooleanField(
        **OPTIONAL, help_text="Only stocks whose full history is not collected in this adjustment."
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
        help_text="The share of the stocks that is compared, in percent. Default: 100.",
    )

    queue = StrictBooleanField(
        **OPTIONAL, help_text="While another task runs, queue the order (202) instead of refusing it (400)."
    )
    priority = s.ChoiceField(
        PRIORITY_NAMES,
        **OPTIONAL,
        help_text="The task yields to a due plan of a higher priority, and goes on after it. Queued orders "
        "of a higher one start first. Default: normal.",
    )

    def validate_market(self, value: str) -> str:
        return value.upper() if value.upper() in ALL_MARKETS else value

    def validate_fallbacks(self, value: list[str]) -> tuple[str, ...]:
        return tuple(value)


class RetryBody(BodySerializer):
    error_code = s.CharField(**OPTIONAL_TEXT, max_length=40, help_text="Only failures with this code.")


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


class PlanStepBody(StrictBody):
    """A step; only the keys of its kind count."""

    kind = s.ChoiceField(StepKind.choices)
    source = TextField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=32, help_text="Default: the plan's."
    )
    days = StrictIntegerField(
        **OPTIONAL, min_value=1, max_value=LONGEST_DAYS, help_text="Default: the plan's."
    )
    verify_with = TextField(required=False, allow_blank=True, max_length=32)
    verify_sample = StrictIntegerField(required=False, min_value=1, max_value=100)
    export_to = TextField(required=False, allow_blank=True, max_length=64)
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
    verify_with = TextField(
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
    priority = s.ChoiceField(
        PRIORITY_NAMES,
        required=False,
        help_text="When it is due, a running task of a lower priority yields, and goes on after it. Default: "
        "normal.",
    )
    export_to = TextField(
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

    def validate_priority(self, value: str) -> Priority:
        return Priority.named(value)

    def validate_stock_codes(self, value: tuple[str, ...] | None) -> list[str] | None:
        return None if value is None else list(value)

    def validate_export_to(self, value: str) -> str:
        return _folder_name(value) if value else value


class PlanBody(PlanChanges):
    name = TextField(max_length=100)
    at = TimeOfDayField(help_text="HH:MM in the market's time zone.")


class QueueChanges(BodySerializer):
    position = StrictIntegerField(
        **OPTIONAL, min_value=1, max_value=1000, help_text="Among the orders of its priority: 1 is the first."
    )
    priority = s.ChoiceField(PRIORITY_NAMES, **OPTIONAL)
