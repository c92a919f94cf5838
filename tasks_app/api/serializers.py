"""The shape of what comes in: bodies and query strings. What an order means is checked by `orders`."""

import re
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tasks_app.api.pagination import MAX_PAGE, PAGE
from tasks_app.conf import ADJUSTS, MARKETS
from tasks_app.market.codes import spellings
from tasks_app.models.quotes import Adjust, Market
from tasks_app.models.tasks import ItemState, TaskStatus
from tasks_app.orders.order import MAX_CODES

CODE = r"[A-Za-z0-9._-]{1,16}"
WORDS = {"true": True, "false": False}


def validated(kind: "type[InputSerializer]", data: Any) -> dict[str, Any]:
    """The valid, typed values of `data`. Raises `ValidationError`."""
    given = kind(data=data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


@extend_schema_field({"type": "string", "format": "date"})
class StrictDateField(serializers.DateField):
    """YYYY-MM-DD and no other of ISO 8601's many forms."""

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            self.fail("invalid", format="YYYY-MM-DD")
        return super().to_internal_value(value)


@extend_schema_field({"type": "integer"})
class StrictIntegerField(serializers.IntegerField):
    """Plain digits; Python would also take 1_0 and digits of any script."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field(
    {"oneOf": [{"type": "boolean"}, {"type": "string", "enum": ["true", "false", "True", "False"]}]}
)
class StrictBooleanField(serializers.BooleanField):
    """A JSON boolean, or the word for it."""

    def to_internal_value(self, data: Any) -> bool:
        value = WORDS.get(data.lower(), data) if isinstance(data, str) else data
        if not isinstance(value, bool):
            self.fail("invalid", input=str(data)[:40])
        return value


@extend_schema_field(
    {
        "type": "array",
        "items": {"type": "string", "pattern": rf"^\s*{CODE}\s*$"},
        "maxItems": MAX_CODES,
        "example": ["600519", "000001"],
    }
)
class StockCodesField(serializers.Field[Any, Any, Any, Any]):
    """A list of strings. An empty one asks for all stocks."""

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


@extend_schema_field({"type": "array", "items": {"type": "string", "maxLength": 32}, "maxItems": 10})
class SourceNamesField(serializers.Field[Any, Any, Any, Any]):
    """A list of sources' names. An empty one asks for no other source at all."""

    default_error_messages = {"not_names": _('Give a list of up to 10 names, such as ["csv"].')}

    def to_internal_value(self, data: Any) -> tuple[str, ...]:
        if not isinstance(data, list) or len(data) > 10 or not all(isinstance(name, str) for name in data):
            self.fail("not_names")
        return tuple(name[:32] for name in data)


class StockCodeField(serializers.CharField):
    """A stock's code, in letters of any size."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return spellings(super().run_validation(data))


class QueryDateTimeField(serializers.DateTimeField):
    """ISO 8601. A + that was not escaped in a query arrives as a blank: our own times, pasted, hold one."""

    def to_internal_value(self, value: Any) -> Any:
        return super().to_internal_value(re.sub(r"(:[0-9.]+) ([0-9]{2}:?[0-9]{2})$", r"\1+\2", str(value)))


class InputSerializer(serializers.Serializer[Any]):
    """What a client sends. A null is the same as nothing, as old clients mean it."""

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({name: value for name, value in data.items() if value is not None})


class StartBody(InputSerializer):
    start_date = StrictDateField(help_text="First day, YYYY-MM-DD.")
    end_date = StrictDateField(help_text="Last day, YYYY-MM-DD.")
    stock_codes = StockCodesField(
        required=False, allow_null=True, help_text="These stocks; all when left out."
    )
    test_mode = StrictBooleanField(required=False, allow_null=True, help_text="Only the first five stocks.")
    full_collection_mode = StrictBooleanField(
        required=False, allow_null=True, help_text="Only stocks whose full history is not stored yet."
    )
    market = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=32,
        help_text=f"One of {', '.join(MARKETS)}. Left out: CN, or the first market that the source serves.",
    )
    source = serializers.CharField(  # type: ignore[assignment]
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=32,
        help_text="A source's name; left out, the market's usual one.",
    )
    adjust = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=32,
        help_text=f"One of {', '.join(repr(adjust) for adjust in ADJUSTS)}.",
    )
    force_update = StrictBooleanField(
        required=False, allow_null=True, help_text="Fetch all days again, also those that are stored."
    )
    fallbacks = SourceNamesField(
        required=False,
        allow_null=True,
        help_text="Sources to ask, in this order, for stocks that fail; left out, those of the settings.",
    )


class RetryBody(InputSerializer):
    error_code = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=40,
        help_text="Only the failures with this code.",
    )


class PageQuery(InputSerializer):
    limit = StrictIntegerField(
        required=False, min_value=1, max_value=MAX_PAGE, help_text=f"Rows in a page, {PAGE} when left out."
    )
    cursor = serializers.CharField(
        required=False,
        max_length=500,
        help_text="From the Link header of the page before; not to be made up.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The filters alone: pagination reads the rest itself."""
        return {name: value for name, value in attrs.items() if name not in {"limit", "cursor"}}


class TaskQuery(PageQuery):
    status = serializers.ChoiceField(TaskStatus.choices, required=False)
    market = serializers.ChoiceField(Market.choices, required=False)
    source = serializers.CharField(required=False, max_length=32)  # type: ignore[assignment]
    started_after = QueryDateTimeField(
        required=False, source="start_time__gte", help_text="Started then or later, ISO 8601."
    )
    started_before = QueryDateTimeField(
        required=False, source="start_time__lt", help_text="Started before then, ISO 8601."
    )


class ItemQuery(PageQuery):
    status = serializers.ChoiceField(ItemState.choices, required=False, source="state")
    code = StockCodeField(required=False, max_length=16, source="code__in")
    error_code = serializers.CharField(required=False, max_length=40)


class StockQuery(InputSerializer):
    only_uncompleted = StrictBooleanField(
        required=False, default=False, help_text="Only stocks whose full history is not stored yet."
    )
    market = serializers.ChoiceField(Market.choices, required=False, help_text="All markets when left out.")
    limit = StrictIntegerField(required=False, default=PAGE, min_value=1, max_value=MAX_CODES)


class QuoteQuery(PageQuery):
    start = StrictDateField(required=False, source="day__gte", help_text="First day, YYYY-MM-DD.")
    end = StrictDateField(required=False, source="day__lte", help_text="Last day, YYYY-MM-DD.")
    adjust = serializers.ChoiceField(Adjust.choices, required=False, default="", allow_blank=True)
