"""The grid of the task page: one cell per stock, all states in a few bytes, and the details of cells.

The states are sent whole as run lengths ("3210s14f2c1894p"), not as changes since a version: neighbours
mostly share a state, so 6,000 stocks are a few hundred bytes, and one response serves all readers.
"""

from itertools import groupby
from typing import Any
from uuid import UUID

from tasks_app import reasons
from tasks_app.admin.common import formatting
from tasks_app.models import CollectionItem, CollectionTask, Stock
from tasks_app.models.states import ItemState

STATE_LETTERS = {
    ItemState.PENDING: "p",
    ItemState.CLAIMED: "c",
    ItemState.SUCCEEDED: "s",
    ItemState.FAILED: "f",
    ItemState.SKIPPED: "k",
}
BLOCK = 100  # cells whose details are requested at once
FIELDS = (
    *("pk", "position", "code", "state", "attempts", "error_code", "error_message"),
    *("started_at", "finished_at", "rows_collected", "rows_corrected", "rows_skipped", "rows_refused"),
)


def encode_states(task_id: UUID) -> str:
    """Returns the states of the task's stocks in order, as run lengths. One query."""
    items = CollectionItem.objects.filter(task_id=task_id).order_by("position")
    runs = groupby(items.values_list("state", flat=True))
    return "".join(f"{sum(1 for _ in run)}{STATE_LETTERS[ItemState(state)]}" for state, run in runs)


def cell_details(task: CollectionTask, block: int) -> list[dict[str, Any]]:
    """Returns the details of the block's cells: positions block × 100 and the 99 after. Two queries."""
    first = block * BLOCK
    rows = CollectionItem.objects.filter(task_id=task.pk, position__gte=first, position__lt=first + BLOCK)
    items = list(rows.order_by("position").only(*FIELDS))
    stocks = Stock.objects.filter(market=task.market, code__in=[item.code for item in items])
    names = dict(stocks.values_list("code", "name"))
    return [
        {
            "position": item.position,
            "code": item.code,
            "name": names.get(item.code, ""),
            "state": STATE_LETTERS[ItemState(item.state)],
            "attempts": item.attempts,
            "rows": item.rows_collected + item.rows_corrected + item.rows_skipped,
            "refused": item.rows_refused,
            "ms": _milliseconds(item),
            "error_code": item.error_code,
            "error": reasons.translated_reason(item.error_code) or item.error_message,
            "url": formatting.admin_url("collectionitem", "change", item.pk),
        }
        for item in items
    ]


def _milliseconds(item: CollectionItem) -> int | None:
    """Returns the time from the first claim to the end, pauses between attempts included."""
    if item.started_at is None or item.finished_at is None:
        return None
    return round((item.finished_at - item.started_at).total_seconds() * 1000)
