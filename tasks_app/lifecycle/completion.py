"""How stocks and tasks end. Only this module writes a task's counters and its final status."""

from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now

from tasks_app import errors, reasons
from tasks_app.db.functions import Epoch
from tasks_app.lifecycle import chains, events, selectors, task_incidents
from tasks_app.lifecycle.claims import BAR_COUNTS, CLAIMED, RELEASED, RUNNING, Claim, Outcome, items_of
from tasks_app.lifecycle.events import WORKER
from tasks_app.models import CollectionLane, CollectionTask, TaskTotals
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState, TaskStatus, statuses_before
from tasks_app.models.tasks import YIELDED
from tasks_app.quotes import coverage

TOTALS, TASKS = TaskTotals._meta.db_table, CollectionTask._meta.db_table
NOT_YIELDING: dict[str, Any] = {"yielding_at": None, "yields_to": None, "yields_to_name": ""}
COUNTERS = [field.name for field in TaskTotals._meta.fields if field.name.endswith("_count")]
ADD_TO_TOTALS = f"""INSERT INTO {TOTALS}
    (market, source, status, outcome, tasks, last_end_time, {", ".join(COUNTERS)})
    SELECT market, source, status,
    CASE WHEN error_code = '{YIELDED}' THEN error_code ELSE COALESCE(outcome, '') END,
    1, end_time, {", ".join(COUNTERS)}
    FROM {TASKS} WHERE id = %s
    ON CONFLICT (market, source, status, outcome) DO UPDATE SET
    tasks = {TOTALS}.tasks + 1, last_end_time = EXCLUDED.last_end_time,
    {", ".join(f"{name} = {TOTALS}.{name} + EXCLUDED.{name}" for name in COUNTERS)}"""


def record(claim: Claim, outcome: Outcome) -> bool:
    """Records a stock's end and adds it to the task's counters. Returns True if it ended the task.

    Call it last in the transaction that wrote the bars. Raises `StaleClaim` when the task is no longer
    running or the claim is no longer valid: that transaction must roll back.
    """
    bars = {name: getattr(outcome, name) for name in BAR_COUNTS}
    increments = {f"{name}_count": count for name, count in bars.items()}
    increments |= {"compared_count": outcome.compared or 0, "differing_count": outcome.differing}
    increments["uncompared_count"] = int(bool(outcome.not_compared))
    increments = {name: count for name, count in increments.items() if count}
    increments["failed_count" if outcome.state == ItemState.FAILED else "success_count"] = 1
    task = CollectionTask.objects.filter(pk=claim.lane.task_id, status=RUNNING)
    is_counted = task.update(
        processed_stocks=F("processed_stocks") + 1,
        heartbeat_at=Now(),
        **{name: F(name) + number for name, number in increments.items()},
    )
    if not is_counted or not claim.item.update(
        state=outcome.state,
        lane=None,
        lease_until=None,
        finished_at=Now(),
        source=outcome.source,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        note=outcome.note,
        rows_compared=outcome.compared,
        rows_differing=None if outcome.compared is None else outcome.differing,
        not_compared=outcome.not_compared or None,
        **claim.attempts_to_store(),
        **{f"rows_{name}": count for name, count in bars.items()},
    ):
        raise errors.StaleClaim(what=claim.code)
    return end_if_done(claim.lane.task_id)


def end_if_done(task_id: UUID) -> bool:
    """Ends a task whose stocks are all processed: completed, or failed if not one of them succeeded.

    Those of the tasks that it continues count: they are of the same run.
    """
    task = CollectionTask.objects.filter(
        pk=task_id, status=RUNNING, planned_at__isnull=False, processed_stocks=F("total_stocks")
    )
    if (counts := task.values_list("success_count", "total_stocks", "first_part").first()) is None:
        return False
    succeeded, total, first_part = counts
    if succeeded or not total or (first_part and _has_success(first_part)):
        end(task_id, TaskStatus.COMPLETED)
        events.record_event(task_id, EventKind.COMPLETED, WORKER)
        return True
    first = items_of(task_id).order_by("position").values_list("code", "error_message").first()
    message = reasons.stored_reason("all_failed", total=total, first=": ".join(first or ()))
    end(task_id, TaskStatus.FAILED, "all_failed", message)
    events.record_event(task_id, EventKind.FAILED, WORKER, code="all_failed")
    return True


def _has_success(first_part: UUID) -> bool:
    """Whether a task of the chain has collected a stock."""
    return chains.parts_of_chains([first_part]).filter(success_count__gt=0).exists()


def end_pause(task_id: UUID) -> bool:
    """Ends a task's pause, and adds it to those before. Returns False if it is not paused.

    Its row must be locked. A silence of workers counts from now on.
    """
    paused = CollectionTask.objects.filter(pk=task_id, status=RUNNING, paused_at__isnull=False)
    seconds = Greatest(Epoch(Now()) - Epoch(F("paused_at")), 0)
    return bool(
        paused.update(
            paused_seconds=F("paused_seconds") + seconds,
            paused_at=None,
            paused_by="",
            resumed_at=Now(),
            heartbeat_at=Now(),
        )
    )


def end(task_id: UUID, status: TaskStatus, code: str = "", message: str = "", **yields: Any) -> None:
    """Moves a running task to a final status. Its row must be locked. Raises `StaleClaim`.

    `yields` are the columns that name the plan for which it ends; by default it does not yield any more.

    Claimed items are released first: the items of a final task can't be changed. A task with fallbacks
    stores what came from which source. A pause ends. The task is added to the totals, which remain when it is
    deleted.
    """
    items_of(task_id).filter(state=CLAIMED).update(**RELEASED)
    end_pause(task_id)
    task = CollectionTask.objects.filter(pk=task_id)
    fallbacks = task.values_list("fallbacks", flat=True).first()
    is_moved = task.filter(status__in=statuses_before(status)).update(
        status=status,
        end_time=Now(),
        error_code=code,
        error_message=message,
        shares=selectors.count_shares(task_id) if fallbacks else None,
        **NOT_YIELDING | yields,
    )
    if not is_moved:
        raise errors.StaleClaim(what=f"task {task_id}")
    with connection.cursor() as cursor:
        cursor.execute(ADD_TO_TOTALS, [CollectionTask._meta.pk.get_db_prep_value(task_id, connection)])
    CollectionLane.objects.filter(task_id=task_id).update(lease_until=None, begun=False, worker="")
    task_incidents.report_end(task_id)
    transaction.on_commit(coverage.forget_cached, robust=True)  # without a cache the task ends, too
