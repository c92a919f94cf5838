"""Days of which a source has no quotes of any stock: holidays that the calendar does not know, mostly.

They are settled by the stocks of a task itself. A stock that had a bar on the session before must have one on
the next, unless it was suspended just then; once five of them have none and no stock has one, the source has
no quotes of that day, and the other stocks are not requested for it there. Each fallback is asked in this
way before a stock is not requested for the day at all.

This holds for the task: the source may only have been late. It holds for all later ones where the answers
had a later bar. Every answer is a row of its own, so workers add to one evidence without reading it first.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db.models import Count, Max, Q
from django.db.models.functions import Now

from tasks_app.models import CollectionTask, SilentAnswer

WITNESSES = 5


@dataclass(frozen=True)
class SilentDay:
    """A day without quotes at a source: how many stocks it was asked for, and when last."""

    day: date
    source: str
    stocks: int
    asked_at: datetime
    is_proven: bool


def add_answers(
    task: CollectionTask, code: str, days: Iterable[date], last_bar: date | None, source: str = ""
) -> None:
    """Stores that a stock's answer from a source (the task's) lacks these days, in the caller's transaction.

    `last_bar` is the day of the answer's last bar.
    """
    SilentAnswer.objects.bulk_create(
        [
            SilentAnswer(
                market=task.market,
                source=source or task.source,
                day=day,
                symbol=code,
                is_proven=last_bar is not None and last_bar > day,
                task=task,
                asked_at=Now(),
            )
            for day in sorted(days)  # the same order in every transaction, so that none waits for another
        ],
        update_conflicts=True,
        unique_fields=["market", "source", "day", "symbol"],
        update_fields=["is_proven", "task", "asked_at"],
    )


def forget(market: str, source: str, days: Collection[date]) -> None:
    """Deletes the answers without a bar of these days: a bar of them has come."""
    SilentAnswer.objects.filter(market=market, source=source, day__in=days).delete()


def settled_days(market: str, source: str, task_id: UUID, *, with_proven: bool) -> frozenset[date]:
    """Returns the days without quotes at the source: found by this task, and those proven before."""
    holds = Q(is_proven=True) | Q(task_id=task_id) if with_proven else Q(task_id=task_id)
    answers = SilentAnswer.objects.filter(holds, market=market, source=source)
    counts = answers.values("day").annotate(stocks=Count("pk")).filter(stocks__gte=WITNESSES)
    return frozenset(counts.order_by().values_list("day", flat=True))


def find(market: str, first: date, last: date) -> Sequence[SilentDay]:
    """Returns the settled days of a market from `first` to `last`, of every source, the newest first."""
    rows = SilentAnswer.objects.filter(market=market, day__range=(first, last)).values("day", "source")
    proven = Count("pk", filter=Q(is_proven=True))
    counts = rows.annotate(stocks=Count("pk"), asked=Max("asked_at"), proven=proven)
    return [
        SilentDay(row["day"], row["source"], row["stocks"], row["asked"], row["proven"] >= WITNESSES)
        for row in counts.filter(stocks__gte=WITNESSES).order_by("-day", "source")
    ]
