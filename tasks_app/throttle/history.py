"""The history of each source's requests: how they went on each day, and how many permits its limiter gave.

Days are those of the source's quotas (`Limits.time_zone`). How requests ended is counted in memory and stored
in batches, by increments in SQL; the permits of a day are the limiter's own number. So both are right for any
number of workers.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from tasks_app.db.functions import database_now
from tasks_app.models import SourceDay, SourceGate, SourceRequests, SourceRequestTotals
from tasks_app.sources import registry
from tasks_app.throttle.status import quota_day

Kind = SourceRequests.Kind
FIRST_CLASS, CLASS_FACTOR, LAST_CLASS = 10.0, 1.25, 3_600_000.0  # of latencies, in milliseconds
TABLE = SourceRequests._meta.db_table
KEY = "source, day, kind, code, at_most"
ADD = f"""INSERT INTO {TABLE} ({KEY}, requests, seconds, longest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT ({KEY}) DO UPDATE SET
    requests = {TABLE}.requests + EXCLUDED.requests, seconds = {TABLE}.seconds + EXCLUDED.seconds,
    longest = CASE WHEN EXCLUDED.longest > {TABLE}.longest THEN EXCLUDED.longest ELSE {TABLE}.longest END"""
TOTALS = SourceRequestTotals._meta.db_table
ADD_TO_TOTALS = f"""INSERT INTO {TOTALS} (source, kind, code, at_most, requests, seconds)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (source, kind, code, at_most) DO UPDATE SET
    requests = {TOTALS}.requests + EXCLUDED.requests, seconds = {TOTALS}.seconds + EXCLUDED.seconds"""


@dataclass
class _Count:
    requests: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, seconds: float, requests: int = 1, longest: float | None = None) -> None:
        self.requests += requests
        self.seconds += seconds
        self.longest = max(self.longest, seconds if longest is None else longest)


class RequestCounter:
    """Counts how the requests to a source ended, until they are stored."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._counts: dict[tuple[str, str, int], _Count] = defaultdict(_Count)

    def count(self, kind: str, seconds: float, code: str = "") -> None:
        """Counts a request that took so many seconds. `code` is its error's."""
        self._counts[kind, code[:40], latency_class(seconds)].add(seconds)

    def store(self) -> None:
        """Adds what was counted to the source's current day, and to its totals, which are never deleted."""
        if not self._counts:
            return
        counts, self._counts = sorted(self._counts.items()), defaultdict(_Count)
        day = quota_day(database_now(), registry.traits(self.source, settings.COLLECTOR).limits)
        rows = [
            (self.source, day, *key, one.requests, one.seconds, one.longest) for key, one in counts
        ]  # sorted, so that two workers lock them in the same order
        totals = [(self.source, *key, one.requests, one.seconds) for key, one in counts]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(ADD, rows)
            cursor.executemany(ADD_TO_TOTALS, totals)


def latency_class(seconds: float) -> int:
    """Returns the upper bound in milliseconds of a latency's class; classes are a quarter apart."""
    milliseconds = min(max(seconds * 1000, FIRST_CLASS), LAST_CLASS)
    step = math.ceil(math.log(milliseconds / FIRST_CLASS, CLASS_FACTOR) - 1e-9)
    return round(FIRST_CLASS * CLASS_FACTOR**step)


def keep_day(row: Any) -> None:
    """Stores the permits of the day that the source's row was last counted for: a new one begins."""
    kept = SourceDay(source=row.source, day=row.day, permits=row.requests_today, cap=row.daily_cap)
    SourceDay.objects.bulk_create(
        [kept], update_conflicts=True, unique_fields=["source", "day"], update_fields=["permits", "cap"]
    )


@dataclass
class DayOfSource:
    """A source's requests of a day, by what became of them and by their errors' codes.

    `permits` is None where the source's limiter counts none, `cap` the daily cap of that day (0: none). The
    latencies, in seconds, are of answers: None without any. `median` and `most` (95 %) are upper bounds, at
    most a quarter above the true ones.
    """

    day: date
    permits: int | None = None
    cap: int = 0
    kinds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, Kind), 0))
    codes: dict[str, int] = field(default_factory=dict)
    mean: float | None = None
    median: float | None = None
    most: float | None = None
    longest: float | None = None

    @property
    def requests(self) -> int:
        """All requests of the day."""
        return sum(self.kinds.values())


def days_of(source: str, days: int) -> list[DayOfSource]:
    """Returns the days with requests of the last so many, today included, the newest first: three queries."""
    today = quota_day(database_now(), registry.traits(source, settings.COLLECTOR).limits)
    first = today - timedelta(days=days - 1)
    found: dict[date, DayOfSource] = {}

    def of(day: date) -> DayOfSource:
        return found.setdefault(day, DayOfSource(day))

    for kept in SourceDay.objects.filter(source=source, day__gte=first):
        of(kept.day).permits, of(kept.day).cap = kept.permits, kept.cap
    for gate in SourceGate.objects.filter(source=source, day__gte=first):
        if gate.day and gate.requests_today:
            of(gate.day).permits, of(gate.day).cap = gate.requests_today, gate.daily_cap
    latencies: dict[date, dict[int, _Count]] = defaultdict(lambda: defaultdict(_Count))
    for row in SourceRequests.objects.filter(source=source, day__gte=first):
        day = of(row.day)
        day.kinds[row.kind] += row.requests
        if row.code:
            day.codes[row.code] = day.codes.get(row.code, 0) + row.requests
        if row.kind in (Kind.ANSWERED, Kind.EMPTY):
            latencies[row.day][row.at_most].add(row.seconds, row.requests, row.longest)
    for at, classes in latencies.items():
        _describe_latency(found[at], classes)
    return sorted(found.values(), key=lambda each: each.day, reverse=True)


def _describe_latency(day: DayOfSource, classes: dict[int, _Count]) -> None:
    total = sum(one.requests for one in classes.values())
    day.mean = sum(one.seconds for one in classes.values()) / total
    day.longest = max(one.longest for one in classes.values())
    day.median, day.most = (min(_quantile(classes, share * total), day.longest) for share in (0.5, 0.95))


def _quantile(classes: dict[int, _Count], rank: float) -> float:
    """Returns the upper bound in seconds of the class with the request of this rank."""
    seen = 0
    for at_most, one in sorted(classes.items()):
        seen += one.requests
        if seen >= rank:
            return at_most / 1000
    raise ValueError(f"there are only {seen} requests, not {rank}")


def prune(days: int) -> int:
    """Deletes what is older than so many days, and returns how many rows that were."""
    before = database_now().date() - timedelta(days=days)
    models: tuple[Any, ...] = (SourceDay, SourceRequests)
    return sum(model.objects.filter(day__lt=before).delete()[0] for model in models)
