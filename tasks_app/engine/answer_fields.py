"""How each field of a bar or stock is read from a source's answer.

A value that is a number, date or text by another type (a NumPy number, a `Decimal`, a subclass) becomes a
plain one of the same value. Nothing else is converted: "10.5" is no number, and a date with a time no date.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from numbers import Integral, Real
from typing import Any

from tasks_app.conf import YEAR
from tasks_app.market import codes
from tasks_app.models.adjustments import ActionKind
from tasks_app.models.quotes import InstrumentKind
from tasks_app.sources.base import Bar

NONE = type(None)
DECIMAL_WIDTH = 40  # characters of a stored decimal


@dataclass(frozen=True)
class Field:
    """A field of a row. `plain` has the types whose values are taken as they are.

    `read` returns any other value as a plain one. It raises anything for a value that is none.
    """

    name: str
    expected: str
    read: Callable[[Any], Any]
    plain: frozenset[type] = frozenset()


def is_a(value: Any, kind: type) -> bool:
    """Returns whether a value is of a type, by its true type: objects may lie about their class."""
    return issubclass(type(value), kind)


def read_number(value: Any) -> float | None:
    """Returns a float, or None for None. A `Decimal` must be finite; a float may be anything."""
    if value is None:
        return None
    if is_a(value, bool) or not (is_a(value, Real) or is_a(value, Decimal)):
        raise TypeError
    number = float(value)
    if is_a(value, Decimal) and not isfinite(number):
        raise ValueError
    return number


def read_volume(value: Any) -> int | float | None:
    """Returns an int, or what `read_number` does: validation refuses a volume that is not whole."""
    return int(value) if is_a(value, Integral) and not is_a(value, bool) else read_number(value)


def read_flag(value: Any) -> bool | None:
    """Returns a bool, NumPy's included, or None for None."""
    if value is None or type(value) is bool:
        return value
    if type(value).__name__ not in ("bool", "bool_") or not hasattr(value, "dtype"):
        raise TypeError
    return bool(value)


def read_date(value: Any) -> date:
    """Returns a date. A date with a time is none: its day may be another one in the market's time zone."""
    if not is_a(value, date) or is_a(value, datetime):
        raise TypeError
    return date.fromordinal(date.toordinal(value))


def read_optional_date(value: Any) -> date | None:
    """Returns a date, or None for None."""
    return None if value is None else read_date(value)


def read_factor(value: Any) -> Decimal:
    """Returns a positive decimal that can be written in 40 characters, exactly as it was sent.

    A float is none: its digits are not those of the vendor.
    """
    number = Decimal(value) if is_a(value, Integral) and not is_a(value, bool) else value
    if not is_a(number, Decimal):
        raise TypeError
    if not (number.is_finite() and number > 0 and len(f"{number:f}") <= DECIMAL_WIDTH):
        raise ValueError
    return Decimal(f"{number:f}")


def read_ratio(value: Any) -> Decimal | None:
    """Returns a decimal above -1 (ten shares merged into one are -0.9 new ones per share), or None."""
    if value is None or not is_a(value, Decimal):
        return read_optional_factor(value)
    return read_factor(value + 1) - 1


def read_optional_factor(value: Any) -> Decimal | None:
    """Returns the same, or None for None."""
    return None if value is None else read_factor(value)


def read_action_kind(value: Any) -> str:
    """Returns the kind of a corporate action."""
    return str(ActionKind(read_text(value)).value)


def read_kind(value: Any) -> str:
    """Returns the kind of a security; "" where the source does not tell."""
    text = read_text(value)
    return str(InstrumentKind(text).value) if text else ""


def read_text(value: Any) -> str:
    """Returns a text that any database can store: without NUL and lone surrogates."""
    text = str.__str__(value)
    if "\0" in text:
        raise ValueError
    text.encode()
    return text


def read_code(value: Any) -> str:
    """Returns a stock's code."""
    if not codes.is_code(text := read_text(value)):
        raise ValueError
    return text


def read_seconds(value: Any) -> float | None:
    """Returns a positive number of seconds, a year at most; None for any other number."""
    return min(seconds, float(YEAR)) if (seconds := float(value)) > 0 else None


def _number(name: str) -> Field:
    return Field(name, "a number", read_number, frozenset({float, NONE}))


CODE = Field("code", "1 to 16 letters, digits, dots, dashes or underscores", read_code)
PLAIN_TEXT = "a text without NUL or lone surrogates"
TEXT = Field("text", PLAIN_TEXT, read_text)
SYMBOL_FIELDS = (
    CODE,
    *(Field(name, PLAIN_TEXT, read_text) for name in ("name", "exchange")),
    *(
        Field(name, "a date or None", read_optional_date, frozenset({date, NONE}))
        for name in ("listed_on", "delisted_on")
    ),
    Field("kind", f"one of {', '.join(InstrumentKind.values)}, or an empty text", read_kind),
)
DECIMAL = "a positive Decimal of at most 40 characters"
FACTOR_FIELDS = (
    Field("ex_day", "a date", read_date, frozenset({date})),
    Field("hfq", DECIMAL, read_factor),
    Field("qfq", f"{DECIMAL}, or None", read_optional_factor),
)
ACTION_FIELDS = (
    Field("kind", f"one of {', '.join(ActionKind.values)}", read_action_kind),
    *(
        Field(name, "a date or None", read_optional_date, frozenset({date, NONE}))
        for name in ("ex_day", "announced_on", "record_day", "paid_on")
    ),
    Field("cash", f"{DECIMAL}, or None", read_optional_factor),
    Field("ratio", "a Decimal above -1, or None", read_ratio),
    Field("price", f"{DECIMAL}, or None", read_optional_factor),
    Field("note", PLAIN_TEXT, read_text),
)
_SPECIAL = {
    "day": Field("day", "a date", read_date, frozenset({date})),
    "is_st": Field("is_st", "True, False or None", read_flag, frozenset({bool, NONE})),
    "volume": Field("volume", "a number", read_volume, frozenset({int, float, NONE})),
}
BAR_FIELDS = tuple(_SPECIAL.get(name) or _number(name) for name in Bar._fields)
