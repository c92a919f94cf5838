"""The tables."""

from tasks_app.models.quotes import DailyBar, Stock, StockList
from tasks_app.models.tasks import (
    CollectionItem,
    CollectionLane,
    CollectionTask,
    ExecutionSlot,
    TaskEvent,
)

__all__ = [
    "CollectionItem",
    "CollectionLane",
    "CollectionTask",
    "DailyBar",
    "ExecutionSlot",
    "Stock",
    "StockList",
    "TaskEvent",
]
