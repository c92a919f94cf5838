"""What was stored at an earlier moment: the present rows, with later changes taken back one by one.

The moments are the numbers of `models/changes.py`, so a read of a moment gives the same values whenever it is
made. A moment before the first number, or from which versions have been deleted, is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import Field, Max, Model
from django.utils.dateparse import parse_datetime

from tasks_app import errors
from tasks_app.db.change_triggers import LOCK
from tasks_app.db.functions import database_now
from tasks_app.models import BarVersion, Change, DailyBar, RowVersion
from tasks_app.models.changes import ChangeKind

M = TypeVar("M", bound=Model)
BAR_KINDS = (ChangeKind.BAR, ChangeKind.CORRECTION, ChangeKind.DELETION)
BAR_COLUMNS = tuple(f.attname for f in BarVersion._meta.concrete_fields if f.name not in ("id", "cause"))
SETTLED = timedelta(milliseconds=10)  # a time so long ago that no later change can have it
SYMBOL_COLUMNS = {"Stock": "code", "CodeAlias": "code", "CodeChange": "new_code", "CalendarDay": ""}


@dataclass(frozen=True)
class Moment:
    """The moment just after a number, and its time in UTC: what was asked for, or the number's own."""

    number: int
    at: datetime


@dataclass(frozen=True)
class Numbers:
    """The first number from which every change is kept, with its time, and the last one."""

    first: int
    first_at: datetime
    last: int


def read_numbers() -> Numbers:
    """Returns the numbers that are kept. All changes up to the last one are visible."""
    rows = settled_changes()
    first = rows.order_by("number").values_list("number", "at").first()
    if first is None:  # not migrated completely
        raise errors.NothingNumbered
    return Numbers(first[0], first[1], rows.order_by("-number").values_list("number", flat=True)[0])


def settled_changes() -> Any:
    """Returns the changes that have a number which no later row can be added to.

    On SQLite statements of the present millisecond may still add to the last one.
    """
    rows = Change.objects.filter(number__isnull=False)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
            (now,) = cursor.fetchone()
        rows = rows.extra(where=["at < %s"], params=[now])
    return rows


def moment_of(text: str) -> Moment:
    """Returns the moment that a text names: a day, a time with offset, or a number.

    A day means its end in UTC. Raises `MalformedMoment`, `FutureMoment` or `ForgottenMoment`.
    """
    numbers = read_numbers()
    if re.fullmatch(r"[0-9]{1,18}", text):
        return _moment_of_number(int(text), numbers)
    at = _parse_time(text)
    if at > database_now().astimezone(UTC) - SETTLED:
        raise errors.FutureMoment(moment=text)
    _wait_for_commits()
    number = Change.objects.filter(at__lt=at).aggregate(last=Max("number"))["last"]
    if number is None:
        raise errors.ForgottenMoment(moment=text, first=_text(numbers.first_at), number=numbers.first)
    return Moment(number, at)


def _moment_of_number(number: int, numbers: Numbers) -> Moment:
    if number > numbers.last:
        raise errors.UnknownNumber(number=number, last=numbers.last)
    at = Change.objects.filter(number=number).values_list("at", flat=True).first()
    if at is None:
        raise errors.ForgottenMoment(moment=number, first=_text(numbers.first_at), number=numbers.first)
    return Moment(number, at)


def _parse_time(text: str) -> datetime:
    """Returns the first instant after the day, or the time."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC)
        at = parse_datetime(re.sub(r" ([0-9]{2}:?[0-9]{2})$", r"+\1", text))
        if at is None or at.tzinfo is None:
            raise ValueError(text)
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise errors.MalformedMoment(moment=text[:40]) from error


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _wait_for_commits() -> None:
    """Waits until every change whose time has been drawn is visible: for one commit at most on PostgreSQL."""
    with transaction.atomic(), connection.cursor() as cursor:  # SQLite: the one write lock
        if connection.vendor == "postgresql":
            cursor.execute(f"SELECT pg_advisory_lock_shared({LOCK}), pg_advisory_unlock_shared({LOCK})")
        else:
            cursor.execute("SELECT 1")


def require_kept(moment: Moment) -> None:
    """Raises `ForgottenMoment` if changes after the moment have been deleted while they were read."""
    numbers = read_numbers()
    if moment.number < numbers.first:
        first = _text(numbers.first_at)
        raise errors.ForgottenMoment(moment=moment.number, first=first, number=numbers.first)


def known_rows(model: type[M], moment: Moment | None, market: str, symbol: str = "") -> list[M]:
    """Returns a recorded table's rows of a market's code (of a market: "") as they were at the moment.

    Without a moment as they are. In no order. Not to be saved.
    """
    return known_rows_of(model, moment, market, [symbol] if symbol else None)


def known_rows_of(
    model: type[M], moment: Moment | None, market: str, symbols: Sequence[str] | None
) -> list[M]:
    """Returns `known_rows` of many codes at once, in two queries; None for all."""
    column = SYMBOL_COLUMNS.get(model.__name__, "symbol")
    wanted = None if symbols is None or not column else set(symbols)
    key: dict[str, Any] = {"market": market, **({} if wanted is None else {f"{column}__in": wanted})}
    present = model._default_manager.filter(**key).order_by("pk")
    if moment is None:
        return list(present)
    rows: dict[int, M | None] = {row.pk: row for row in present}
    later = RowVersion.objects.filter(
        table=model._meta.db_table, cause__market=market, cause__number__gt=moment.number
    ).exclude(cause__kind__in=BAR_KINDS)  # most of the changes, none of which has such a version
    if wanted is not None:
        later = later.filter(cause__symbol__in=wanted)
    for pk, values in later.order_by("-cause__number", "-pk").values_list("row_id", "values"):
        rows[pk] = None if values is None else _row(model, values)
    found = [row for row in rows.values() if row is not None and vars(row)["market"] == market]
    return [row for row in found if wanted is None or getattr(row, column) in wanted]


def _row(model: type[M], values: dict[str, Any]) -> M:
    fields: tuple[Field[Any, Any], ...] = tuple(model._meta.concrete_fields)
    return model(**{f.attname: _value(f, values[f.column]) for f in fields if f.column in values})


def _value(field: Field[Any, Any], value: Any) -> Any:
    if field.get_internal_type() == "JSONField" or value is None:
        return value
    converted = field.to_python(value)
    if isinstance(converted, datetime) and converted.tzinfo is None:  # SQLite's text
        return converted.replace(tzinfo=UTC)
    return converted


def known_bars(
    market: str, symbol: str, adjust: str, moment: Moment, days: tuple[date, date] = (date.min, date.max)
) -> list[dict[str, Any]]:
    """Returns the bars of one series as they were at the moment, ascending: dicts of a bar's columns."""
    key = {"market": market, "symbol": symbol, "adjust": adjust}
    present = DailyBar.objects.filter(**key, day__range=days)
    bars: dict[date, dict[str, Any]] = {row["day"]: row for row in present.values(*BAR_COLUMNS)}
    changes = Change.objects.filter(
        **key, number__gt=moment.number, kind__in=BAR_KINDS, first_day__lte=days[1], last_day__gte=days[0]
    )
    # Read after the bars: what is committed in between is taken back, too, and changes nothing.
    later = list(changes.order_by("-number"))
    versions = _versions_by_change(changes, days) if later else {}
    for change in later:
        if change.kind == ChangeKind.BAR:
            _remove_days(bars, change.first_day or date.min, change.last_day or date.max)
        for row in versions.get(change.pk, ()):
            bars[row["day"]] = row
    return [bars[day] for day in sorted(bars)]


def _versions_by_change(changes: Any, days: tuple[date, date]) -> dict[int, list[dict[str, Any]]]:
    """Returns the versions of each change, the last first: of a bar changed twice the first one counts."""
    rows = BarVersion.objects.filter(cause__in=changes.values("pk"), day__range=days).order_by("-pk")
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows.values("cause_id", *BAR_COLUMNS):
        found.setdefault(row.pop("cause_id"), []).append(row)
    return found


def _remove_days(bars: dict[date, dict[str, Any]], first: date, last: date) -> None:
    for day in [day for day in bars if first <= day <= last]:
        del bars[day]


def changed_symbols(market: str, moment: Moment) -> set[str]:
    """Returns the codes of a market of which anything was changed after the moment; "" for its calendar."""
    later = Change.objects.filter(market=market, number__gt=moment.number)
    return set(later.values_list("symbol", flat=True).distinct())
