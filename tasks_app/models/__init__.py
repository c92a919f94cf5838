"""The database tables."""

from tasks_app.models.access import ApiToken
from tasks_app.models.adjustments import AdjustmentFactor, AdjustmentTable, CorporateAction
from tasks_app.models.agreement import SourceAgreement
from tasks_app.models.audit import AuditEvent
from tasks_app.models.changes import BarVersion, Change, RowVersion
from tasks_app.models.deletions import DataDeletion
from tasks_app.models.events import TaskEvent
from tasks_app.models.market_days import ChangePosition, MarketDay
from tasks_app.models.notices import Incident, NoticeChannel, NoticeDelivery, NoticePing, NoticeRule
from tasks_app.models.plan_runs import PlanRun, PlanStep, StepAttempt
from tasks_app.models.plans import CollectionPlan, PlanEvent
from tasks_app.models.preferences import UserPreference
from tasks_app.models.queued_orders import QueuedOrder, QueueEvent
from tasks_app.models.quotes import (
    CalendarDay,
    Correction,
    DailyBar,
    Finding,
    Series,
    SilentAnswer,
    SourceGate,
    SyntheticSource,
)
from tasks_app.models.raw_answers import RawAnswer, RawAnswerReplay, RawContent, RecordedCall, RecordedStock
from tasks_app.models.sources import SourceCheck, SourceDay, SourceRequests, SourceSetting
from tasks_app.models.stocks import CodeAlias, CodeChange, Stock, StockImport, StockList
from tasks_app.models.targets import Target, TargetSession
from tasks_app.models.tasks import CollectionItem, CollectionLane, CollectionTask, ExecutionSlot
from tasks_app.models.totals import SourceRequestTotals, TaskTotals
from tasks_app.models.transfers import DataImport, Export
from tasks_app.models.uploads import ColumnMapping, Upload
from tasks_app.models.user_sessions import UserSession
from tasks_app.models.worker_machines import WorkerMachine

__all__ = [
    "AdjustmentFactor",
    "AdjustmentTable",
    "ApiToken",
    "AuditEvent",
    "BarVersion",
    "CalendarDay",
    "Change",
    "ChangePosition",
    "CodeAlias",
    "CodeChange",
    "CollectionItem",
    "CollectionLane",
    "CollectionPlan",
    "CollectionTask",
    "ColumnMapping",
    "CorporateAction",
    "Correction",
    "DailyBar",
    "DataDeletion",
    "DataImport",
    "ExecutionSlot",
    "Export",
    "Finding",
    "Incident",
    "MarketDay",
    "NoticeChannel",
    "NoticeDelivery",
    "NoticePing",
    "NoticeRule",
    "PlanEvent",
    "PlanRun",
    "PlanStep",
    "QueueEvent",
    "QueuedOrder",
    "RawAnswer",
    "RawAnswerReplay",
    "RawContent",
    "RecordedCall",
    "RecordedStock",
    "RowVersion",
    "Series",
    "SilentAnswer",
    "SourceAgreement",
    "SourceCheck",
    "SourceDay",
    "SourceGate",
    "SourceRequestTotals",
    "SourceRequests",
    "SourceSetting",
    "StepAttempt",
    "Stock",
    "StockImport",
    "StockList",
    "SyntheticSource",
    "Target",
    "TargetSession",
    "TaskEvent",
    "TaskTotals",
    "Upload",
    "UserPreference",
    "UserSession",
    "WorkerMachine",
]
