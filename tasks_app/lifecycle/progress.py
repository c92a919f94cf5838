"""How fast a task goes, when it may end, and how it went over time. For display: by this host's clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sqrt
from uuid import UUID

from django.db.models import Count, F, Q
from django.utils import timezone

from tasks_app.db.functions import Epoch
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.models.states import ItemState, TaskStatus

RECENT = timedelta(minutes=5)
NEWEST = timedelta(minutes=1)
FEWEST = 10  # stocks, below which the newest minute says nothing of its own
LONGEST = timedelta(days=365)
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


@dataclass(frozen=True)
class Pace:
    """Stocks per minute of late, and how much longer it takes, from `low` to `high`; None while unknown."""

    per_minute: float | None = None
    low: timedelta | None = None
    high: timedelta | None = None


@dataclass(frozen=True)
class Bucket:
    """The stocks that ended within `width` from `at` (UTC) on; those with nothing to fetch succeeded."""

    at: datetime
    width: timedelta
    succeeded: int = 0
    failed: int = 0


UNKNOWN = Pace()


def pace(task: CollectionTask, now: datetime | None = None) -> Pace:
    """The pace of a running task, by one query over its items; unknown, without a query, of any other."""
    if task.status != TaskStatus.RUNNING or task.planned_at is None or not task.processed_stocks:
        return UNKNOWN
    now = now or timezone.now()
    elapsed = max(now - task.planned_at, timedelta(seconds=1))
    ended = CollectionItem.objects.filter(task_id=task.pk, finished_at__gte=now - RECENT)
    counts = ended.aggregate(recent=Count("pk"), newest=Count("pk", filter=Q(finished_at__gte=now - NEWEST)))
    recent = _per_second(counts["recent"], min(elapsed, RECENT))
    rates = [recent, _per_second(task.processed_stocks, elapsed)]
    if counts["newest"] >= FEWEST:
        rates.append(_per_second(counts["newest"], min(elapsed, NEWEST)))
    left = task.total_stocks - task.processed_stocks
    return Pace(recent * 60, *_range(left, rates, counts["recent"]))


def throughput(task_id: UUID, buckets: int = 60, now: datetime | None = None) -> list[Bucket]:
    """How many stocks ended when: at most `buckets` intervals of one round width, empty ones included.

    From the task's plan to its end, or to now. Two queries; none of the intervals when nothing ended yet.
    """
    times = CollectionTask.objects.filter(pk=task_id).values_list("planned_at", "end_time").first()
    if times is None or times[0] is None:
        return []
    first, last = int(times[0].timestamp()), (times[1] or now or timezone.now()).timestamp()
    width = _width(last - first, buckets)
    counts = _counted(task_id, first, width)
    if not counts:
        return []
    many = max(int(last - first) // width, *counts) + 1
    return [
        Bucket(
            datetime.fromtimestamp(first + n * width, UTC), timedelta(seconds=width), *counts.get(n, (0, 0))
        )
        for n in range(many)
    ]


def _counted(task_id: UUID, first: int, width: int) -> dict[int, tuple[int, int]]:
    """(succeeded, failed) of each interval in which a stock ended, by its number."""
    ended = CollectionItem.objects.filter(task_id=task_id, finished_at__isnull=False)
    rows = (
        ended.annotate(bucket=(Epoch(F("finished_at")) - first) / width)
        .order_by()
        .values_list("bucket")
        .annotate(all=Count("pk"), failed=Count("pk", filter=Q(state=ItemState.FAILED)))
    )
    return {max(0, bucket): (count - failed, failed) for bucket, count, failed in rows}


def _width(span: float, buckets: int) -> int:
    """The least round width, in seconds, of which `buckets` cover the span."""
    for width in WIDTHS:
        if int(span) // width < buckets:
            return width
    return (int(span) // buckets // 86_400 + 1) * 86_400


def _per_second(count: int, length: timedelta) -> float:
    return count / max(length.total_seconds(), 1.0)


def _range(left: int, rates: list[float], seen: int) -> tuple[timedelta | None, timedelta | None]:
    """The shortest and the longest time by these rates, widened by the chance in a count of `seen`."""
    if not seen or min(rates) <= 0:
        return None, None
    chance = 1 / sqrt(seen)
    low, high = left / max(rates) / (1 + chance), left / min(rates) * (1 + chance)
    return min(timedelta(seconds=low), LONGEST), min(timedelta(seconds=high), LONGEST)
