"""The database tables."""

from tasks_app.models.deletions import DataDeletion
from tasks_app.models.plans import CollectionPlan
from tasks_app.models.quotes import (
    CalendarDay,
    Correction,
    DailyBar,
    Finding,
    Series,
    SilentAnswer,
    SourceGate,
    Stock,
    StockList,
    SyntheticSource,
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
    "DataDeletion",
    "ExecutionSlot",
    "Finding",
    "Series",
    "SilentAnswer",
    "SourceGate",
    "Stock",
    "StockList",
    "SyntheticSource",
    "TaskEvent",
]
