"""Metrics of the targets that are switched on: how each one's last session is kept."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models.functions import Now
from prometheus_client.core import Metric

from tasks_app.metrics.families import Row, gauge
from tasks_app.models import TargetSession
from tasks_app.models.targets import TargetState
from tasks_app.targets.selectors import newest_sessions


def collect() -> Iterator[Metric]:
    """Yields the metrics of the sessions whose deadline has passed last. Takes one query."""
    due = newest_sessions(due_by=Now()).filter(target__enabled=True)
    rows = list(due.order_by("target__name").annotate(now=Now()))

    def of(*values: float) -> list[Row]:
        labels = [(row.target.name, row.target.market) for row in rows]
        return list(zip(labels, values, strict=True))

    yield gauge(
        "target_met",
        "Whether the session of a target whose deadline passed last was complete by then.",
        of(*(row.state == TargetState.MET for row in rows)),
        *("target", "market"),
    )
    yield gauge(
        "target_missing_stocks",
        "Stocks that were missing of that session at the last look.",
        of(*(row.missing or 0 for row in rows)),
        *("target", "market"),
    )
    yield gauge(
        "target_lateness_seconds",
        "How long after the deadline that session was complete, or for how long it has not been; 0 if met.",
        of(*(_lateness(row, row.now) for row in rows)),
        *("target", "market"),
    )


def _lateness(row: TargetSession, now: datetime) -> float:
    return max(((row.complete_at or now) - row.deadline).total_seconds(), 0.0)
