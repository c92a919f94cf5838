"""Strict fields, and the serializers of what clients send that others derive from."""

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

from tasks_app.api.request_data import ID
from tasks_app.market.codes import SPELLING
from tasks_app.models.quotes import Market
from tasks_app.orders.order import MAX_CODES

WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
AS_OF = (
    "As it was known then: at the end of a day in UTC (2024-05-01), at a time with offset, or after the "
    "change of a number."
)
AS_OF_ELSEWHERE = _(
    "Only quotes, factors, corporate actions and bars are read as they were known at a moment."
)
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
    """Values of a query string or a body. A null is dropped before any field sees it."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):  # of other values REST framework says what is wrong
            data = {name: value for name, value in data.items() if value is not None}
        return super().to_internal_value(data)


class BodySerializer(InputSerializer):
    """A null means the same as a key left out, as clients of the old service mean it."""

    def get_fields(self) -> dict[str, s.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for field in fields.values():
            field.allow_null = not field.required  # the schema says so; a query string has no null
        return fields


class QuerySerializer(InputSerializer):
    """The parameters of a read. `as_of` is refused where it has no effect: today's answer is another one."""

    def to_internal_value(self, data: Any) -> Any:
        if "as_of" in data and "as_of" not in self.fields:
            raise s.ValidationError({"as_of": [AS_OF_ELSEWHERE]})
        return super().to_internal_value(data)


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


class StrictBody(BodySerializer):
    """Refuses a key that it does not know: without it the request would mean something else."""

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, Mapping) else ()
        if unknown := sorted(str(name)[:40] for name in names if name not in self.fields)[:20]:
            raise s.ValidationError({name: [_("There is no such field.")] for name in unknown})
        return super().to_internal_value(data)


class MonthField(StrictDateField):
    """Any day of a month, as its first one."""

    def to_internal_value(self, value: Any) -> Any:
        return super().to_internal_value(value).replace(day=1)
