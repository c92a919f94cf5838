"""Metrics of the job queue, the queued orders, the worker machines, the plans and what is stored."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import Metric

from tasks_app.db.functions import database_now
from tasks_app.lifecycle import order_queue
from tasks_app.metrics.families import Row, counter, epoch, gauge
from tasks_app.models import CollectionPlan
from tasks_app.models.priorities import Priority
from tasks_app.models.states import TaskStatus
from tasks_app.queue import dispatch
from tasks_app.quotes import coverage


def collect() -> Iterator[Metric]:
    """Yields the metrics of the system. Takes four queries, and once a minute those of the coverage."""
    now = database_now()
    yield from _queue()
    yield from _orders(now)
    yield from _workers()
    yield from _plans(now)
    yield from _stored()


def _queue() -> Iterator[Metric]:
    queue = dispatch.queue_status()
    jobs: list[Row] = [(("waiting",), queue.waiting), (("taken",), queue.taken)]
    yield gauge("queue_jobs", "Jobs in the queue.", jobs, "state")
    yield gauge(
        "queue_oldest_job_age_seconds",
        "How long the oldest waiting job has waited; 0 without one.",
        [((), queue.oldest_seconds)],
    )


def _orders(now: datetime) -> Iterator[Metric]:
    """Yields the metrics of the orders that wait until no task runs; their number is bounded."""
    counts, oldest = dict.fromkeys(map(Priority.name_of, Priority), 0), now
    for priority, queued_at in order_queue.waiting().values_list("priority", "queued_at"):
        counts[Priority.name_of(priority)] += 1
        oldest = min(oldest, queued_at)
    rows = [((name,), count) for name, count in counts.items()]
    yield gauge("queued_orders", "Orders that wait until no task runs.", rows, "priority")
    yield gauge(
        "queued_orders_oldest_age_seconds",
        "How long the oldest of these orders has waited; 0 without one.",
        [((), (now - oldest).total_seconds())],
    )


def _workers() -> Iterator[Metric]:
    hosts: dict[str, int] = defaultdict(int)
    clusters = dispatch.live_clusters()
    for cluster in clusters:
        hosts[cluster.host] += cluster.workers
    rows = [((host,), count) for host, count in hosts.items()]
    yield gauge("workers", "Worker processes of a host with a live supervisor.", rows, "host")
    yield gauge("worker_machines", "Live supervisors of workers.", [((), len(clusters))])


def _plans(now: datetime) -> Iterator[Metric]:
    """Yields the metrics of the plans that are switched on."""
    plans = list(
        CollectionPlan.objects.filter(enabled=True)
        .select_related("last_task")
        .only("name", "next_at", "waiting_since", "last_at", "late_runs", "error_code", "last_task__status")
    )

    def of(*values: float) -> list[Row]:
        return [((plan.name,), value) for plan, value in zip(plans, values, strict=True)]

    yield gauge(
        "plan_lateness_seconds",
        "Time since when a plan has been due without having started.",
        of(*(max((now - plan.next_at).total_seconds(), 0.0) if plan.next_at else 0.0 for plan in plans)),
        "plan",
    )
    yield gauge(
        "plan_waiting",
        "Whether a plan that is due waits for another task.",
        of(*(bool(plan.waiting_since) for plan in plans)),
        "plan",
    )
    yield gauge(
        "plan_failed",
        "Whether a plan's last run did not start or failed.",
        of(*(_has_failed(plan) for plan in plans)),
        "plan",
    )
    yield counter(
        "plan_late_runs",
        "Runs that had to wait for another task.",
        of(*(plan.late_runs for plan in plans)),
        "plan",
    )
    yield gauge(
        "plan_next_run_timestamp_seconds",
        "When a plan is due next.",
        of(*(epoch(plan.next_at) for plan in plans)),
        "plan",
    )
    ran = [((plan.name,), epoch(plan.last_at)) for plan in plans if plan.last_at]
    yield gauge("plan_last_run_timestamp_seconds", "When a plan last started, or was refused.", ran, "plan")


def _has_failed(plan: CollectionPlan) -> bool:
    task = plan.last_task  # None as well where it was deleted
    return bool(plan.error_code) or (task is not None and task.status == TaskStatus.FAILED)


def _stored() -> Iterator[Metric]:
    """Yields what the overview shows of the stored data, as old as there: a minute at most."""
    bars: dict[tuple[str, str], int] = defaultdict(int)
    stocks: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in coverage.cached_coverage():
        bars[row.market, row.adjust] += row.bars
        for state in ("complete", "behind", "empty"):
            stocks[row.market, row.adjust, state] += getattr(row, state)
    yield gauge("stored_bars", "Stored bars.", bars.items(), "market", "adjust")
    yield gauge(
        "stored_stocks",
        "Stocks by whether they have the bars of their market's latest session.",
        stocks.items(),
        *("market", "adjust", "state"),
    )
