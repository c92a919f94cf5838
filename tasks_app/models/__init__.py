"""The database tables."""

from tasks_app.models.adjustments import AdjustmentFactor, AdjustmentTable, CorporateAction
from tasks_app.models.deletions import DataDeletion
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
    SyntheticSource,
)
from tasks_app.models.tasks import CollectionItem, CollectionLane, CollectionTask, ExecutionSlot, TaskEvent

__all__ = [
    "AdjustmentFactor",
    "AdjustmentTable",
    "CalendarDay",
    "CollectionItem",
    "CollectionLane",
    "CollectionPlan",
    "CollectionTask",
    "CorporateAction",
    "Correction",
    "DailyBar",
    "DataDeletion",
    "ExecutionSlot",
    "Finding",
    "Series",
    "SourceGate",
    "Stock",
    "StockList",
    "SyntheticSource",
    "TaskEvent",
]
