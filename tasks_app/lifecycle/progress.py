"""A task's pace, its estimated time left, and its throughput over time. For display: by this host's clock."""

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
FEWEST = 10  # stocks; with fewer in the newest minute, its rate is too uncertain to use
LONGEST = timedelta(days=365)
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


@dataclass(frozen=True)
class Pace:
    """Stocks per minute in the last five minutes, and the time left, `low` to `high`. None means unknown."""

    per_minute: float | None = None
    low: timedelta | None = None
    high: timedelta | None = None


@dataclass(frozen=True)
class Bucket:
    """How many stocks ended in the interval that starts at `at` (UTC). Skipped stocks count as succeeded."""

    at: datetime
    width: timedelta
    succeeded: int = 0
    failed: int = 0


UNKNOWN = Pace()


def estimate_pace(task: CollectionTask, now: datetime | None = None) -> Pace:
    """Returns the pace of a running task with one query; `UNKNOWN`, without a query, for any other task.

    The time left ranges over the rates of the whole run, the last five minutes and the last minute, and is
    widened by the statistical error of the number of stocks in the last five minutes. It is unknown while the
    task is paused, and the time of pauses does not count.
    """
    is_collecting = task.status == TaskStatus.RUNNING and not task.paused_at
    if not is_collecting or task.planned_at is None or not task.processed_stocks:
        return UNKNOWN
    now = now or timezone.now()
    elapsed = now - task.planned_at - timedelta(seconds=task.paused_seconds)
    recent, newest = (min(window, now - (task.resumed_at or task.planned_at)) for window in (RECENT, NEWEST))
    ended = CollectionItem.objects.filter(task_id=task.pk, finished_at__gte=now - recent)
    counts = ended.aggregate(recent=Count("pk"), newest=Count("pk", filter=Q(finished_at__gte=now - newest)))
    windows = [(counts["recent"], recent), (task.processed_stocks, elapsed)]
    if counts["newest"] >= FEWEST:
        windows.append((counts["newest"], newest))
    rates = [count / max(1.0, min(window, elapsed).total_seconds()) for count, window in windows]
    if not counts["recent"]:
        return Pace(0.0)
    stocks_left = task.total_stocks - task.processed_stocks
    error = 1 / sqrt(counts["recent"])
    low, high = stocks_left / max(rates) / (1 + error), stocks_left / min(rates) * (1 + error)
    return Pace(rates[0] * 60, *(min(timedelta(seconds=seconds), LONGEST) for seconds in (low, high)))


def throughput(task_id: UUID, buckets: int = 60, now: datetime | None = None) -> list[Bucket]:
    """Returns how many stocks ended when, in at most `buckets` intervals of one round width.

    From the task's plan to its end, or until now; empty intervals are included. [] while no stock has
    ended. Two queries.
    """
    times = CollectionTask.objects.filter(pk=task_id).values_list("planned_at", "end_time").first()
    if times is None or times[0] is None:
        return []
    first, last = int(times[0].timestamp()), (times[1] or now or timezone.now()).timestamp()
    span = int(last - first)
    width = next((width for width in WIDTHS if span // width < buckets), None)
    width = width or (span // buckets // 86_400 + 1) * 86_400
    rows = (
        CollectionItem.objects.filter(task_id=task_id, finished_at__isnull=False)
        .annotate(bucket=(Epoch(F("finished_at")) - first) / width)
        .order_by()
        .values_list("bucket")
        .annotate(all=Count("pk"), failed=Count("pk", filter=Q(state=ItemState.FAILED)))
    )
    counts = {max(0, bucket): (count - failed, failed) for bucket, count, failed in rows}
    if not counts:
        return []
    return [
        Bucket(
            datetime.fromtimestamp(first + n * width, UTC), timedelta(seconds=width), *counts.get(n, (0, 0))
        )
        for n in range(max(span // width, *counts) + 1)
    ]
