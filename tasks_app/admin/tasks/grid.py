"""One cell per stock: the states of all of them in a few bytes, and what a cell says when it is looked at.

The states travel whole, as runs ("3210s14f2c1894p"), not as changes since a version: neighbours mostly
share a state, so 6,000 stocks are a few hundred bytes, every answer is complete in itself, and one
answer serves all who look.
"""

from itertools import groupby
from typing import Any
from uuid import UUID

from tasks_app import errors
from tasks_app.admin.common import formatting
from tasks_app.models import CollectionItem, CollectionTask, Stock
from tasks_app.models.states import ItemState

LETTERS = {
    ItemState.PENDING: "p",
    ItemState.CLAIMED: "c",
    ItemState.SUCCEEDED: "s",
    ItemState.FAILED: "f",
    ItemState.SKIPPED: "k",
}
BLOCK = 100  # cells whose details are asked for at once
FIELDS = (
    *("pk", "position", "code", "state", "attempts", "error_code", "error_message"),
    *("started_at", "finished_at", "rows_collected", "rows_corrected", "rows_skipped", "rows_refused"),
)


def cells(task_id: UUID) -> str:
    """The states of the task's stocks in their order, as runs of equal ones. One query."""
    states = (
        CollectionItem.objects.filter(task_id=task_id).order_by("position").values_list("state", flat=True)
    )
    return "".join(f"{sum(1 for _ in run)}{LETTERS[ItemState(state)]}" for state, run in groupby(states))


def details(task: CollectionTask, block: int) -> list[dict[str, Any]]:
    """What the cells of the block say: positions block × 100 and the 99 after. Two queries."""
    first = block * BLOCK
    rows = CollectionItem.objects.filter(task_id=task.pk, position__gte=first, position__lt=first + BLOCK)
    items = list(rows.order_by("position").only(*FIELDS))
    known = Stock.objects.filter(market=task.market, code__in=[item.code for item in items])
    names = dict(known.values_list("code", "name"))
    return [_detail(item, names.get(item.code, "")) for item in items]


def _detail(item: CollectionItem, name: str) -> dict[str, Any]:
    return {
        "position": item.position,
        "code": item.code,
        "name": name,
        "state": LETTERS[ItemState(item.state)],
        "attempts": item.attempts,
        "rows": item.rows_collected + item.rows_corrected + item.rows_skipped,
        "refused": item.rows_refused,
        "ms": _milliseconds(item),
        "error_code": item.error_code,
        "error": errors.reason(item.error_code) or item.error_message,
        "url": formatting.admin_url("collectionitem", "change", item.pk),
    }


def _milliseconds(item: CollectionItem) -> int | None:
    """From its first claim to its end, pauses between attempts included."""
    if item.started_at is None or item.finished_at is None:
        return None
    return round((item.finished_at - item.started_at).total_seconds() * 1000)
