"""Seals the days of a market that are complete, and says what the others lack.

A sweep reads which days the changes since the last one concern, and looks at these days only, the newest
first. While a task of the market runs none is looked at: it is not complete before the task's end.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Now

from tasks_app.conf import ALL_MARKETS
from tasks_app.db.change_triggers import lock_numbers, record_sealed
from tasks_app.history.versions import read_numbers, settled_changes
from tasks_app.market import calendars
from tasks_app.models import Change, ChangePosition, CollectionTask, DataImport, MarketDay, Stock
from tasks_app.models.changes import ChangeKind
from tasks_app.models.quotes import InstrumentKind
from tasks_app.models.states import TaskStatus
from tasks_app.quotes import date_ranges
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.market_days import DayContents, MarketListing, read_day

POSITION = "sealed days"
READ = 2000  # changes in a step
PAUSE = 1.0  # seconds between two looks of who waits for a day
OF_DAYS = (ChangeKind.BAR, ChangeKind.CORRECTION, ChangeKind.DELETION, ChangeKind.REASON)


def sweep(seconds: float) -> int:
    """Looks at changed days for about so many seconds, and seals those that are complete. Returns how many.

    None while an import is unfinished: its series name answered days before their bars are there. Each day
    is a short transaction. Several hosts may do it at once: a day is sealed once.
    """
    if DataImport.objects.filter(ended_at__isnull=True).exists():
        return 0
    until = time.monotonic() + seconds
    while _note_changes() and time.monotonic() < until:
        pass
    listing_of = lru_cache(MarketListing)  # read once in this sweep
    sealed = 0
    for row in _candidates():
        sealed += _look_at(row, listing_of(row.market, row.kind))
        if time.monotonic() >= until:
            break
    return sealed


def _note_changes() -> bool:
    """Marks the days of the next changes as to be looked at. Returns whether there may be more."""
    position = ChangePosition.objects.filter(pk=POSITION).values_list("number", flat=True).first()
    after, last = position if position is not None else -1, read_numbers().last
    if after >= last:
        return False
    rows = list(settled_changes().filter(number__gt=after, number__lte=last).order_by("number")[:READ])
    with transaction.atomic():
        for market in {row.market for row in rows} & set(ALL_MARKETS):
            _note_days(market, [row for row in rows if row.market == market])
        reached = rows[-1].number if rows else last
        ChangePosition.objects.update_or_create(pk=POSITION, defaults={"number": reached})
    return reached is not None and reached < last


def _note_days(market: str, changes: Sequence[Change]) -> None:
    ranges: dict[str, list[DateRange]] = defaultdict(list)
    of_days = [row for row in changes if row.kind in OF_DAYS and not row.adjust]
    stocks = Stock.objects.filter(market=market, code__in={row.symbol for row in of_days})
    kinds = dict(stocks.values_list("code", "kind"))
    for row in of_days:
        kind = kinds.get(row.symbol, InstrumentKind.STOCK.value)
        if row.first_day and row.last_day:
            ranges[kind].append((row.first_day, row.last_day))
    calendar = calendars.load_calendar(market)
    latest = calendar.latest_session()
    for kind, found in ranges.items():
        days = {
            day
            for first, last in date_ranges.merge(found)
            for day in calendar.sessions(first, min(last, latest)).days
        }
        known = MarketDay.objects.filter(market=market, kind=kind)
        new = days - set(known.values_list("day", flat=True))
        MarketDay.objects.bulk_create(
            (MarketDay(market=market, kind=kind, day=day) for day in sorted(new)),
            ignore_conflicts=True,
            batch_size=1000,
        )
        for first, last in date_ranges.merge(found):
            known.filter(day__range=(first, last), sealed_at__isnull=True).update(pending=True)
    if any(row.kind in (ChangeKind.CODE, ChangeKind.CALENDAR) for row in changes):
        _unseal_incomplete(market)


def _unseal_incomplete(market: str) -> None:
    """Unseals the days for which a security was listed later, and those that are no session any more."""
    MarketDay.objects.filter(market=market, sealed_at__isnull=True).update(pending=True)
    calendar = calendars.load_calendar(market)
    listings = {kind: MarketListing(market, kind) for kind in InstrumentKind.values}
    for row in MarketDay.objects.filter(market=market, sealed_at__isnull=False):
        is_session = calendar.is_session(row.day) is not False
        if not is_session or listings[row.kind].lacks_series(row.day):
            MarketDay.objects.filter(pk=row.pk).update(sealed_at=None, pending=True)


def _candidates() -> list[MarketDay]:
    """Returns unsealed days that changed, or that a task which has ended since requested; newest first."""
    running = CollectionTask.objects.filter(status=TaskStatus.RUNNING).values_list("market", flat=True)
    unsealed = MarketDay.objects.filter(sealed_at__isnull=True).exclude(market__in=list(running))
    changed = Q(pending=True)
    newest = CollectionTask.objects.order_by("-start_time")[:20]
    # An answer without bars is no change, but may be the reason that a day lacked.
    for market, first, last, ended_at in newest.values_list("market", "start_date", "end_date", "end_time"):
        if ended_at is not None:
            changed |= Q(market=market, day__range=(first, last), checked_at__lt=ended_at)
    return list(unsealed.filter(changed).order_by("-day", "market", "kind")[:READ])


def _look_at(row: MarketDay, listing: MarketListing) -> bool:
    """Seals the day if it is complete. Returns whether it was sealed."""
    one = MarketDay.objects.filter(pk=row.pk, sealed_at__isnull=True)
    if calendars.load_calendar(row.market).is_session(row.day) is False or listing.lacks_series(row.day):
        one.update(pending=False, checked_at=Now())
        return False
    number = read_numbers().last
    contents = read_day(listing, row.day)
    if contents.missing or not contents.bars:
        one.update(pending=False, checked_at=Now())
        return False
    return _seal(row, contents, number)


def _seal(row: MarketDay, contents: DayContents, number: int) -> bool:
    """Seals the day, unless it was changed after the number before which its contents were read."""
    with transaction.atomic(), connection.cursor() as cursor:
        lock_numbers(cursor)
        later = Change.objects.filter(market=row.market, number__gt=number).exclude(kind=ChangeKind.SEALED)
        of_day = Q(first_day__lte=row.day, last_day__gte=row.day) | Q(kind=ChangeKind.CODE)
        if later.filter(of_day).exists():
            return False
        is_sealed = MarketDay.objects.filter(pk=row.pk, sealed_at__isnull=True).update(
            revision=F("revision") + 1,
            sealed_at=Now(),
            checksum=contents.checksum,
            bars=contents.bars,
            reasons=contents.reasons,
            number=Change.objects.aggregate(last=Max("number"))["last"],
            pending=False,
            checked_at=Now(),
        )
        if is_sealed:
            record_sealed(cursor, row.market, row.day, contents.bars)
        return bool(is_sealed)


def wait_until_sealed(market: str, kind: str, day: date, seconds: float) -> MarketDay:
    """Returns the day once it is sealed, or as it is after so many seconds. Opens no transaction."""
    key = {"market": market, "kind": kind, "day": day}
    until = time.monotonic() + seconds
    while True:
        row = MarketDay.objects.filter(**key).first() or MarketDay(**key)
        left = until - time.monotonic()
        if row.sealed_at is not None or left <= 0:
            return row
        time.sleep(min(PAUSE, left))


def last_sealed() -> dict[str, date]:
    """Returns each market's last sealed day of stocks."""
    rows = MarketDay.objects.filter(sealed_at__isnull=False, kind=InstrumentKind.STOCK).values("market")
    return dict(rows.annotate(last=Max("day")).order_by().values_list("market", "last"))


def describe(row: MarketDay) -> dict[str, Any]:
    """Returns a day as the API shows it in lists. What an unsealed one held before is not told."""
    is_sealed = row.sealed_at is not None
    return {
        "market": row.market,
        "kind": row.kind,
        "day": row.day,
        "sealed": is_sealed,
        "sealed_at": row.sealed_at,
        "revision": row.revision,
        "checksum": row.checksum if is_sealed else None,
        "bars": row.bars if is_sealed else None,
        "reasons": row.reasons if is_sealed else None,
        "number": row.number if is_sealed else None,
    }
