"""The incidents that the end of a task or a refused order opens, and what ends them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Now

from tasks_app import notices
from tasks_app.lifecycle import chains
from tasks_app.lifecycle.chains import Chain
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionPlan, CollectionTask, QueuedOrder
from tasks_app.models.events import Channel
from tasks_app.models.notices import NoticeEvent
from tasks_app.models.states import TaskOutcome, TaskStatus
from tasks_app.notices import Cause

EVENTS: dict[str | None, NoticeEvent] = {
    TaskStatus.FAILED: NoticeEvent.TASK_FAILED,
    TaskOutcome.WITH_FAILURES: NoticeEvent.TASK_WITH_FAILURES,
    TaskOutcome.NO_BARS: NoticeEvent.TASK_WITHOUT_BARS,
}
LONGEST_CHAIN = 50  # retries of retries that are followed to the first task
FIELDS = (
    *("status", "outcome", "market", "source", "retry_of_id", "total_stocks", "failed_count"),
    *("error_code", "error_message", "continues_id", "first_part_id", "processed_stocks", "success_count"),
)


def report_end(task_id: UUID) -> None:
    """Opens the incident of how a task ended, and ends what its plan's earlier run or first try opened.

    Call it in the transaction that ends the task. A cancelled task changes nothing: somebody knows of it, or
    its rest goes on. The last task of a chain tells of the whole run.
    """
    task = CollectionTask.objects.only(*FIELDS).get(pk=task_id)
    if task.status == TaskStatus.CANCELLED:
        return
    chain = chains.chains_of([task]).get(task.pk)
    event = EVENTS.get(task.status) or EVENTS.get(_outcome(task, chain))
    _report(task, chain, event, task.error_code, task.error_message)


def report_refused_order(row: QueuedOrder, code: str, reason: str) -> None:
    """Opens the incident of a queued order that can't start; of a task that yielded, if it was its rest.

    Call it in the transaction that refuses the order. Of the rest of a deleted task it opens none.
    """
    if row.continues_id is None:
        facts = {"order": row.pk, "source": row.source, "user": row.user_name, "channel": row.channel}
        cause = Cause(f"order:{row.pk}", market=row.market, params={**facts, "code": code, "reason": reason})
        notices.open_incident(NoticeEvent.ORDER_REFUSED, cause)
        return
    task = CollectionTask.objects.only(*FIELDS).filter(pk=row.continues_id).first()
    if task is not None:
        _report(task, chains.chains_of([task]).get(task.pk), NoticeEvent.TASK_FAILED, code, reason)


def end_refusals(actor: Actor, market: str, ordered_at: datetime | None) -> None:
    """Ends the incidents of refused orders of whoever has ordered a task of the market since then.

    `ordered_at` is when they did so; None is now. Nobody orders what the schedule starts for them.
    """
    if actor.channel == Channel.SCHEDULE:
        return
    by: dict[str, Any] = {"user": actor.name} if actor.name else {"user": "", "channel": actor.channel.value}
    notices.close_matching(NoticeEvent.ORDER_REFUSED, market, by, opened_until=ordered_at or Now())


def _report(
    task: CollectionTask, chain: Chain | None, event: NoticeEvent | None, code: str, reason: str
) -> None:
    """Opens the incident of this event, and ends those of the other events that have the same cause."""
    first = _first_try(task)
    plan = CollectionPlan.objects.filter(last_task_id__in={task.pk, first}).only("name").first()
    key = f"plan:{plan.pk}" if plan else f"task:{first}"
    notices.close_incidents([other for other in EVENTS.values() if other != event], key)
    if event is None:
        return
    facts: dict[str, Any] = {"task": str(task.pk), "source": task.source, "plan": plan.name if plan else ""}
    facts |= {"total": chain.total, "failed": chain.failed} if chain else _figures(task)
    facts |= {"code": code, "reason": reason}
    notices.open_incident(event, Cause(key, market=task.market, params=facts), again=True)


def _figures(task: CollectionTask) -> dict[str, int]:
    return {"total": task.total_stocks, "failed": task.failed_count}


def _outcome(task: CollectionTask, chain: Chain | None) -> Any:
    """Returns the outcome of a task, with that of the tasks which it continues."""
    if chain is None or task.status != TaskStatus.COMPLETED:
        return task.outcome
    if chain.failed:
        return TaskOutcome.WITH_FAILURES
    has_bars = Q(collected_count__gt=0) | Q(corrected_count__gt=0) | Q(skipped_count__gt=0)
    is_without = task.outcome == TaskOutcome.NO_BARS and chains.parts_of(task).filter(has_bars).exists()
    return TaskOutcome.COMPLETE if is_without else task.outcome


def _first_try(task: CollectionTask) -> UUID:
    """Returns the id of the task that this one retries in the end; that of its chain's first, if none."""
    first = task.chain_id
    earlier = task.retry_of_id
    if task.first_part_id:
        earlier = _retried_by(first)
    for _ in range(LONGEST_CHAIN):
        if earlier is None:
            break
        retried = CollectionTask.objects.filter(pk=earlier).only("retry_of_id", "first_part_id").first()
        first = retried.chain_id if retried else earlier
        earlier = _retried_by(first)
    return first


def _retried_by(task_id: UUID) -> UUID | None:
    """Returns the id of the task that this one retries."""
    return CollectionTask.objects.filter(pk=task_id).values_list("retry_of_id", flat=True).first()
