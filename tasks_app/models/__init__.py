"""The database tables."""

from tasks_app.models.plans import CollectionPlan
from tasks_app.models.quotes import (
    CalendarDay,
    Correction,
    DailyBar,
    Finding,
    Series,
    SourceGate,
    Stock,
    StockList,
)
from tasks_app.models.tasks import CollectionItem, CollectionLane, CollectionTask, ExecutionSlot, TaskEvent

__all__ = [
    "CalendarDay",
    "CollectionItem",
    "CollectionLane",
    "CollectionPlan",
    "CollectionTask",
    "Correction",
    "DailyBar",
    "ExecutionSlot",
    "Finding",
    "Series",
    "SourceGate",
    "Stock",
    "StockList",
    "TaskEvent",
]
