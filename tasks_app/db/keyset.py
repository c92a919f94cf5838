"""Pages of a long list by key: each costs the same, the last one as the first.

A page is named by a row's key, its values in the order of the list: `after` it or `before` it. So a
page holds still while rows come and go elsewhere, and no database counts its way to it.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import partial
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import DateTimeField, F, Model, QuerySet, TextField, Value
from django.db.models.fields.tuple_lookups import TupleGreaterThan, TupleLessThan
from django.db.models.functions import Cast
from django.db.models.lookups import GreaterThan, LessThan

_M = TypeVar("_M", bound=Model)
Key = tuple[Any, ...]
AFTER, BEFORE = "after", "before"
END = "end"  # before the end: the last page


class _Above(TupleGreaterThan):
    """`(a, b) > (x, y)`, which both databases answer by one range of an index.

    Django writes it out for SQLite as conditions joined by OR, which no index serves.
    """

    def get_fallback_sql(self, compiler: Any, connection: Any) -> Any:
        return GreaterThan.as_sql(self, compiler, connection)


class _Below(TupleLessThan):
    """`(a, b) < (x, y)`, as above."""

    def get_fallback_sql(self, compiler: Any, connection: Any) -> Any:
        return LessThan.as_sql(self, compiler, connection)


class Column(NamedTuple):
    """One column of a list's order.

    SQLite keeps and sorts points in time as text, in as many digits as whoever wrote them used: there
    a key holds the text, for a time read and written again may be another text.
    """

    name: str
    falls: bool
    field: Any
    is_text: bool

    @property
    def told(self) -> str:
        """The attribute of a fetched row that holds its part of the key."""
        return f"{self.name}_as_text" if self.is_text else self.name

    def given(self, value: Any) -> Any:
        """A part of a key, to compare the column with."""
        return Value(value, output_field=TextField()) if self.is_text else value


class Place(NamedTuple):
    """Where a page is: right after a key, right before one; before none is at the end, else at the start."""

    key: Key | None = None
    backwards: bool = False


class Page(NamedTuple, Generic[_M]):
    """The rows of a page, and the keys that lead to the pages beside it, None where there is none."""

    rows: list[_M]
    before: str | None
    after: str | None
    is_first: bool


def columns(model: type[Model], ordering: Sequence[str]) -> list[Column]:
    """The order of a list, such as `["-start_time", "-id"]`, with the fields that its keys fit."""
    return [_column(model, name) for name in ordering]


def _column(model: type[Model], name: str) -> Column:
    bare = name.removeprefix("-")
    field: Any = model._meta.pk if bare == "pk" else model._meta.get_field(bare)
    fitting = field.target_field if field.remote_field else field  # else a key would be looked up
    is_text = connection.vendor == "sqlite" and isinstance(fitting, DateTimeField)
    return Column(field.attname, name.startswith("-"), fitting, is_text)


def place(order: Sequence[Column], after: str | None, before: str | None) -> Place:
    """The place that an address names. Raises `ValidationError` for what is no key of this list."""
    if before == END:
        return Place(None, backwards=True)
    if before:
        return Place(_read(order, before), backwards=True)
    return Place(_read(order, after)) if after else Place()


def page(rows: QuerySet[_M], order: Sequence[Column], at: Place, size: int) -> Page[_M]:
    """The page at the place, in one query, in two where the order changes its direction midway."""
    found = _fetch(rows, order, at, size + 1)
    more = len(found) > size
    found = found[:size]
    if not at.backwards:
        return _told(order, found, leads_back=at.key is not None, leads_on=more)
    if not more and at.key is not None:  # not to begin with half a page
        return page(rows, order, Place(), size)
    return _told(order, found[::-1], leads_back=more, leads_on=at.key is not None)


def _told(order: Sequence[Column], rows: list[_M], *, leads_back: bool, leads_on: bool) -> Page[_M]:
    return Page(
        rows,
        before=_write(order, rows[0]) if rows and leads_back else None,
        after=_write(order, rows[-1]) if rows and leads_on else None,
        is_first=not leads_back,
    )


def _fetch(rows: QuerySet[_M], order: Sequence[Column], at: Place, count: int) -> list[_M]:
    """At most `count` rows from the place on, in the direction that it looks."""
    order = [column._replace(falls=column.falls != at.backwards) for column in order]
    rows = rows.order_by(*(f"-{column.name}" if column.falls else column.name for column in order))
    rows = rows.annotate(**{c.told: Cast(c.name, TextField()) for c in order if c.is_text})
    if at.key is None:
        return list(rows[:count])
    found: list[_M] = []
    for same, beyond in _beyond(order, at.key):
        found += rows.filter(beyond, **same)[: count - len(found)]
        if len(found) == count:
            break
    return found


def _beyond(order: Sequence[Column], key: Key) -> Iterator[tuple[dict[str, Any], Any]]:
    """What the rows beyond the key fulfil: these values, and this range.

    One range for each run of columns in one direction, the innermost first: that is their order.
    """
    pairs = zip(order, key, strict=True)
    runs = [list(run) for _, run in groupby(pairs, key=lambda pair: pair[0].falls)]
    for n in range(len(runs) - 1, -1, -1):
        same = {column.name: column.given(value) for run in runs[:n] for column, value in run}
        compare = _Below if runs[n][0][0].falls else _Above
        names, values = zip(
            *((F(column.name), column.given(value)) for column, value in runs[n]), strict=True
        )
        yield same, compare(list(names), list(values))


# ---------------------------------------------------------------- keys in addresses


def _write(order: Sequence[Column], row: Model | dict[str, Any]) -> str:
    """The key of a row: of a model, or of a query's `values()`."""
    get = row.__getitem__ if isinstance(row, dict) else partial(getattr, row)
    return _text([get(column.told) for column in order])


def _text(key: Sequence[Any]) -> str:
    return json.dumps(key, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> str:
    if isinstance(value, date):  # datetimes too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"No key holds a {type(value).__name__}.")


def _read(order: Sequence[Column], text: str) -> Key:
    """The key, each value one that its column could hold, in the very form that `_write` gives it."""
    try:
        values = json.loads(text)
        key = tuple(_value(column, value) for column, value in zip(order, values, strict=True))
        known = _text(key) == _text(values)
    except (ValueError, TypeError, RecursionError):
        known = False
    if not known:
        raise ValidationError("This is no key of this list.")
    return key


def _value(column: Column, value: Any) -> Any:
    if not isinstance(value, str | int) or "\x00" in str(value):
        raise TypeError
    if column.is_text:
        return value if datetime.fromisoformat(str(value)) else None
    return column.field.clean(value, None)
