"""Which tables are kept as they were at every moment, and why the others are not."""

from typing import Any, NamedTuple

from django.apps import apps

from tasks_app.models.changes import ChangeKind


class Recorded(NamedTuple):
    """A table whose rows are kept as they were: the kind of its changes, its code and its day."""

    model: str
    kind: str  # an SQL expression on the row {0}
    symbol: str = ""
    day: str = ""
    columns: tuple[str, ...] = ()  # that matter; all by default

    @property
    def table(self) -> str:
        return str(self.meta.db_table)

    @property
    def meta(self) -> Any:
        return apps.get_model("tasks_app", self.model)._meta


_OF_CONTENT = (
    f"CASE {{0}}.content WHEN 'factors' THEN '{ChangeKind.FACTOR.value}' ELSE '{ChangeKind.EVENT.value}' END"
)
_STOCK = ("name", "kind", "exchange", "listed_on", "delisted_on", "former_names")
RECORDED = (
    Recorded("Stock", f"'{ChangeKind.CODE.value}'", "code", columns=_STOCK),
    Recorded("CodeAlias", f"'{ChangeKind.CODE.value}'", "code"),
    Recorded("CodeChange", f"'{ChangeKind.CODE.value}'", "new_code", "changed_on"),
    Recorded("AdjustmentTable", _OF_CONTENT, "symbol"),
    Recorded("AdjustmentFactor", f"'{ChangeKind.FACTOR.value}'", "symbol", "ex_day"),
    Recorded("CorporateAction", f"'{ChangeKind.EVENT.value}'", "symbol", "ex_day"),
    Recorded("CalendarDay", f"'{ChangeKind.CALENDAR.value}'", "", "day"),
)
# Tables that are no data of the markets, or say how data came to be: they are read as they are now.
NOT_RECORDED = {
    "ApiToken": "who may use the API",
    "AuditEvent": "who did what",
    "BarVersion": "holds the versions itself",
    "Change": "holds the numbers itself",
    "ChangePosition": "how far a reader of the numbers has come",
    "CollectionItem": "a task's work",
    "CollectionLane": "a task's work",
    "CollectionPlan": "what is collected when",
    "CollectionTask": "a task's work",
    "ColumnMapping": "how files are read",
    "Correction": "a list of changes of bars, which have numbers themselves",
    "DailyBar": "recorded by triggers of its own",
    "DataImport": "how an import goes on",
    "DataDeletion": "a list of deletions of bars, which have numbers themselves",
    "ExecutionSlot": "a task's work",
    "Export": "how an export goes on",
    "Finding": "what validation said of an answer; a refusal that is withdrawn has a number",
    "Incident": "what went wrong, and whether it is over",
    "NoticeChannel": "where messages go",
    "NoticeDelivery": "messages",
    "NoticePing": "where pings go",
    "NoticeRule": "where messages go",
    "PlanEvent": "who did what to a plan",
    "PlanRun": "how a plan ran",
    "PlanStep": "what is collected when",
    "QueueEvent": "who did what to a queued order",
    "QueuedOrder": "what is collected when",
    "RawAnswer": "what vendors answered",
    "RawAnswerReplay": "who replayed raw answers; what that changed has numbers itself",
    "RawContent": "what vendors answered",
    "RecordedCall": "what vendors answered",
    "RecordedStock": "what vendors answered",
    "MarketDay": "says which days are complete, and tells its own sealings as changes",
    "RowVersion": "holds the versions itself",
    "Series": "counts the bars, and says what was asked of sources; its withdrawn reasons have numbers",
    "SilentAnswer": "what was asked of sources; one that is withdrawn has a number",
    "SourceAgreement": "counts how often sources agreed",
    "SourceCheck": "whether a source worked",
    "SourceDay": "counts what was asked of sources",
    "SourceGate": "limits of requests",
    "SourceRequestTotals": "sums for the metrics",
    "SourceRequests": "counts what was asked of sources",
    "SourceSetting": "how sources are reached",
    "StepAttempt": "how a plan ran",
    "StockImport": "a list of changes of stocks, which have numbers themselves",
    "StockList": "which codes a source offers",
    "SyntheticSource": "names of sources",
    "Target": "by when a session is to be complete",
    "TargetSession": "when sessions were complete",
    "TaskEvent": "a task's work",
    "Upload": "files to be read",
    "TaskTotals": "sums for the metrics",
    "WorkerMachine": "which worker machines run",
    "UserPreference": "how pages look to a user",
    "UserSession": "where users are signed in",
}
