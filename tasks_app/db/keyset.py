"""Keyset pagination: every page of a long list costs the same, the last like the first.

A page is named by a row's key, which is the row's values in the columns of the list's order: the page
lies `after` the key or `before` it. So a page does not shift while rows are inserted or deleted
elsewhere, and the database reads one range of an index instead of counting rows. Rows without a value in the
first column are the last in either direction; no other column of an order may be null.

    columns = keyset.order_columns(CollectionTask, ["-start_time", "-id"])
    position = keyset.parse_position(columns, after=request.GET.get("after"))
    page = keyset.fetch_page(CollectionTask.objects.all(), columns, position, size=100)
    page.rows, page.after  # `after` leads to the next page; None on the last one
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import DateTimeField, F, Model, QuerySet, TextField, Value
from django.db.models.fields.tuple_lookups import TupleGreaterThan, TupleLessThan
from django.db.models.functions import Cast
from django.db.models.lookups import GreaterThan, LessThan

_Row = TypeVar("_Row")  # a model, or a dictionary of a query's `values()`
Key = tuple[Any, ...]
AFTER, BEFORE = "after", "before"  # parameters in addresses
END = "end"  # as a value of `before`: the last page


class _Greater(TupleGreaterThan):
    """`(a, b) > (x, y)` as a row comparison, which both databases answer with one range of an index.

    For SQLite Django would write conditions joined by OR, which no index serves.
    """

    def get_fallback_sql(self, compiler: Any, connection: Any) -> Any:
        return GreaterThan.as_sql(self, compiler, connection)


class _Less(TupleLessThan):
    """`(a, b) < (x, y)` as a row comparison."""

    def get_fallback_sql(self, compiler: Any, connection: Any) -> Any:
        return LessThan.as_sql(self, compiler, connection)


class OrderColumn(NamedTuple):
    """One column of a list's order.

    SQLite stores and sorts times as text, with as many digits as their writer used. There a key holds
    that text (`is_text`): a time that is parsed and written again may become another text.
    """

    name: str
    descending: bool
    field: Any
    is_text: bool

    @property
    def attribute(self) -> str:
        """The attribute of a fetched row that holds this column's part of the key."""
        return f"{self.name}_as_text" if self.is_text else self.name

    def operand(self, value: Any) -> Any:
        """Returns a part of a key in a form that the column can be compared with."""
        return Value(value, output_field=TextField()) if self.is_text else value

    def clean(self, value: Any) -> Any:
        """Returns the value of an untrusted key as the column's. Raises an error if it can't be one."""
        if value is None and self.field.null:
            return None
        if self.is_text:
            return value if datetime.fromisoformat(value) else None
        cleaned = self.field.clean(value, None)
        if isinstance(cleaned, datetime) and cleaned.utcoffset():
            raise ValueError("the database's times are in UTC; PostgreSQL refuses an offset beyond 16 hours")
        return cleaned


class Position(NamedTuple):
    """Where a page lies: after `key`, or before it if `backwards`; without a key at the start or the end."""

    key: Key | None = None
    backwards: bool = False


class Page(NamedTuple, Generic[_Row]):
    """The rows of a page, and the keys of the previous and the next page; None where there is none."""

    rows: list[_Row]
    before: str | None
    after: str | None
    is_first: bool


def order_columns(model: type[Model], ordering: Sequence[str]) -> list[OrderColumn]:
    """Returns the columns of an ordering such as `["-start_time", "-id"]`."""
    columns = []
    for name in ordering:
        bare = name.removeprefix("-")
        field: Any = model._meta.pk if bare == "pk" else model._meta.get_field(bare)
        value_field = field.target_field if field.remote_field else field  # else clean() would query the row
        is_text = connection.vendor == "sqlite" and isinstance(value_field, DateTimeField)
        columns.append(OrderColumn(field.attname, name.startswith("-"), value_field, is_text))
    return columns


def parse_position(
    columns: Sequence[OrderColumn], after: str | None = None, before: str | None = None
) -> Position:
    """Returns the position that an address names. Raises `ValidationError` for an invalid key."""
    if before == END:
        return Position(backwards=True)
    if before:
        return Position(_decode_key(columns, before), backwards=True)
    return Position(_decode_key(columns, after)) if after else Position()


def fetch_page(
    rows: QuerySet[Any, _Row], columns: Sequence[OrderColumn], position: Position, size: int
) -> Page[_Row]:
    """Returns the page at the position. One query, or two if the columns differ in their direction."""
    fetched = fetch_rows(rows, columns, position, size + 1)
    has_more, page_rows = len(fetched) > size, fetched[:size]
    has_key = position.key is not None
    if position.backwards and has_key and not has_more:  # the list must not begin with half a page
        return fetch_page(rows, columns, Position(), size)
    has_previous, has_next = (has_more, has_key) if position.backwards else (has_key, has_more)
    if position.backwards:
        page_rows.reverse()
    return Page(
        page_rows,
        before=encode_key(columns, page_rows[0]) if page_rows and has_previous else None,
        after=encode_key(columns, page_rows[-1]) if page_rows and has_next else None,
        is_first=not has_previous,
    )


def fetch_rows(
    rows: QuerySet[Any, _Row], columns: Sequence[OrderColumn], position: Position, count: int
) -> list[_Row]:
    """Returns up to `count` rows from the position on, in the direction of travel."""
    columns = [column._replace(descending=column.descending != position.backwards) for column in columns]
    rows = rows.order_by(*(f"-{column.name}" if column.descending else column.name for column in columns))
    rows = rows.annotate(**{c.attribute: Cast(c.name, TextField()) for c in columns if c.is_text})
    if columns[0].field.null:
        return _fetch_nulls_last(rows, columns, position, count)
    return _fetch_beyond(rows, columns, position.key, count)


def _fetch_nulls_last(
    rows: QuerySet[Any, _Row], columns: Sequence[OrderColumn], position: Position, count: int
) -> list[_Row]:
    """Fetches from two lists: the rows with a value in the first column, then those without one.

    Both are ordered by all columns: PostgreSQL finds the index of the second list only then.
    """
    name, key = columns[0].name, position.key
    lists = [(False, columns), (True, columns[1:])]
    if position.backwards:
        lists.reverse()
    if key is not None and lists[0][0] != (key[0] is None):
        lists.pop(0)
    fetched: list[_Row] = []
    for is_null, compared in lists:
        rest = key and key[len(columns) - len(compared) :]
        part = rows.filter(**{f"{name}__isnull": is_null})
        fetched += _fetch_beyond(part, compared, rest, count - len(fetched))
        if len(fetched) == count:
            break
        key = None  # the other list is fetched from its end
    return fetched


def _fetch_beyond(
    rows: QuerySet[Any, _Row], columns: Sequence[OrderColumn], key: Key | None, count: int
) -> list[_Row]:
    """Returns up to `count` of the ordered rows beyond the key, without one from the start."""
    if key is None:
        return list(rows[:count])
    fetched: list[_Row] = []
    for equal, beyond in _ranges_beyond(columns, key):
        fetched += rows.filter(beyond, **equal)[: count - len(fetched)]
        if len(fetched) == count:
            break
    return fetched


def _ranges_beyond(columns: Sequence[OrderColumn], key: Key) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yields conditions for the rows beyond the key: columns that equal the key, and one range.

    There is one range for each run of columns with the same direction, the innermost first: that is the
    order of the rows.
    """
    pairs = zip(columns, key, strict=True)
    runs = [list(run) for _, run in groupby(pairs, key=lambda pair: pair[0].descending)]
    for n in range(len(runs) - 1, -1, -1):
        equal = {column.name: column.operand(value) for run in runs[:n] for column, value in run}
        names = [F(column.name) for column, _ in runs[n]]
        values = [column.operand(value) for column, value in runs[n]]
        yield equal, (_Less if runs[n][0][0].descending else _Greater)(names, values)


def encode_key(columns: Sequence[OrderColumn], row: Any) -> str:
    """Returns the key of a fetched row, or of a dictionary of the columns' attributes, for an address."""
    if isinstance(row, dict):
        return _to_json([row[column.attribute] for column in columns])
    return _to_json([getattr(row, column.attribute) for column in columns])


def _decode_key(columns: Sequence[OrderColumn], text: str) -> Key:
    """Returns the key. Each value must fit its column, in exactly the form that `encode_key` writes."""
    try:
        values = orjson.loads(text)
        is_null = [value is None for value in values]
        if any(is_null[1:]) or any(not isinstance(v, str | int | None) or "\x00" in str(v) for v in values):
            raise TypeError
        key = tuple(column.clean(value) for column, value in zip(columns, values, strict=True))
        is_canonical = _to_json(key) == _to_json(values)
    except (ValueError, TypeError):
        is_canonical = False
    if not is_canonical:
        raise ValidationError("This is not a key of this list.")
    return key


def _to_json(key: Any) -> str:
    return orjson.dumps(key).decode()
