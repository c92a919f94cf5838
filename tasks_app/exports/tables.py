"""The other tables of a whole export: which ones, why others are left out, and how their rows are written.

A file has a line with the names of the columns, then a line per row, as JSON lists in the order of the ids,
compressed by gzip: `tables/stock.jsonl.gz`. References to users are null: users are not exported.
"""

import gzip
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import models
from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from tasks_app import models as tables
from tasks_app.models.states import TaskStatus

FOLDER, SUFFIX = "tables", ".jsonl.gz"
CHUNK_IDS = 50_000
CHECKED_ROWS = 1000  # between two looks at the clock


EVERY = Q()


@dataclass(frozen=True)
class Table:
    """An exported table.

    `in_chunks`: its rows never change once they are exported, only come and go; so it is written in files of
    ids from n × CHUNK_IDS on, and a file whose number and ids of rows are the same is left alone. `ended`
    restricts it to rows that are final.
    """

    model: type[models.Model]
    in_chunks: bool = False
    ended: Q = EVERY

    @property
    def name(self) -> str:
        return str(self.model._meta.model_name)

    @property
    def rows(self) -> QuerySet[Any]:
        return self.model._default_manager.filter(self.ended)

    @property
    def columns(self) -> list["models.Field[Any, Any]"]:
        """The stored columns, without those that the database generates."""
        return [field for field in self.model._meta.concrete_fields if not field.generated]


NOT_RUNNING, OF_NOT_RUNNING = ~Q(status=TaskStatus.RUNNING), ~Q(task__status=TaskStatus.RUNNING)
HAS_ENDED, OF_AN_ENDED_RUN = Q(ended_at__isnull=False), Q(run__ended_at__isnull=False)
# In an order in which they can be imported. `DailyBar` is the dataset itself: see `exports.bars`.
EXPORTED = (
    Table(tables.SyntheticSource),  # first: triggers ask it where made-up quotes belong
    Table(tables.Stock),
    Table(tables.StockList),
    Table(tables.StockImport),
    Table(tables.CodeAlias),
    Table(tables.CodeChange),
    Table(tables.CalendarDay),
    Table(tables.ColumnMapping),
    Table(tables.AdjustmentTable),
    Table(tables.AdjustmentFactor, in_chunks=True),
    Table(tables.CorporateAction, in_chunks=True),
    Table(tables.CollectionTask, ended=NOT_RUNNING),
    Table(tables.CollectionItem, in_chunks=True, ended=OF_NOT_RUNNING),
    Table(tables.TaskEvent, in_chunks=True, ended=OF_NOT_RUNNING),
    Table(tables.CollectionPlan),
    Table(tables.PlanStep),
    Table(tables.PlanRun, in_chunks=True, ended=HAS_ENDED),
    Table(tables.StepAttempt, in_chunks=True, ended=OF_AN_ENDED_RUN),
    Table(tables.PlanEvent, in_chunks=True),
    Table(tables.Series),
    Table(tables.Correction, in_chunks=True),
    Table(tables.Finding, in_chunks=True),
    Table(tables.SilentAnswer),
    Table(tables.SourceAgreement),
    Table(tables.DataDeletion),
    Table(tables.RawAnswerReplay),
)
BARS = "tasks_app.dailybar"
_ACCESS = "who may sign in is decided by each installation"
_QUEUE = "a job of another installation's queue would run twice, or never"
_RUNNING = "it is the state of work that is going on, or of this installation"
_ASKED = "it counts what this installation asked of its sources"
_RAW = "raw answers are kept for a time only, and where they were collected"
_NUMBERED = "it tells what this database stored when; another one numbers what it imports anew"
NOT_EXPORTED = {  # by label: why
    "auth.user": _ACCESS,
    "auth.group": _ACCESS,
    "auth.permission": "migrations make it",
    "contenttypes.contenttype": "migrations make it",
    "sessions.session": _ACCESS,
    "admin.logentry": "it refers to users",
    "knox.authtoken": _ACCESS,
    "tasks_app.apitoken": _ACCESS,
    "tasks_app.auditevent": "it is about users of this installation",
    "tasks_app.userpreference": "it belongs to users",
    "tasks_app.usersession": _ACCESS,
    "axes.accessattempt": _ACCESS,
    "axes.accessattemptexpiration": _ACCESS,
    "axes.accesslog": _ACCESS,
    "axes.accessfailurelog": _ACCESS,
    "django_q.ormq": _QUEUE,
    "django_q.schedule": _QUEUE,
    "django_q.task": _QUEUE,
    "tasks_app.sourcesetting": "it holds secrets, encrypted with this installation's key",
    "tasks_app.noticechannel": "it holds addresses with secrets, encrypted with this installation's key",
    "tasks_app.noticeping": "it holds addresses with secrets, encrypted with this installation's key",
    "tasks_app.noticerule": "it belongs to a channel, which is not exported",
    "tasks_app.noticedelivery": "it belongs to a channel, which is not exported",
    "tasks_app.incident": _RUNNING,
    "tasks_app.executionslot": _RUNNING,
    "tasks_app.collectionlane": _RUNNING,
    "tasks_app.queuedorder": _RUNNING,
    "tasks_app.queueevent": _RUNNING,
    "tasks_app.sourcegate": _RUNNING,
    "tasks_app.sourcecheck": _ASKED,
    "tasks_app.workermachine": _RUNNING,
    "tasks_app.sourceday": _ASKED,
    "tasks_app.sourcerequests": _ASKED,
    "tasks_app.sourcerequesttotals": _ASKED,
    "tasks_app.tasktotals": "it adds up what this installation did",
    "tasks_app.upload": "it refers to files that wait in a folder of this installation",
    "tasks_app.dataimport": _RUNNING,
    "tasks_app.rawcontent": _RAW,
    "tasks_app.recordedcall": _RAW,
    "tasks_app.rawanswer": _RAW,
    "tasks_app.recordedstock": _RAW,
    "tasks_app.change": _NUMBERED,
    "tasks_app.barversion": _NUMBERED,
    "tasks_app.rowversion": _NUMBERED,
    "tasks_app.export": "it is about folders of this installation",
    "tasks_app.marketday": _NUMBERED,
    "tasks_app.changeposition": _NUMBERED,
    "tasks_app.target": "it is about when this installation is to have its data",
    "tasks_app.targetsession": "it is about when this installation had its data",
}


@dataclass(frozen=True)
class Chunk:
    """The rows of a table that make a part; `start` is the first id, None for the whole table."""

    table: Table
    start: int | None = None

    @property
    def key(self) -> str:
        number = "" if self.start is None else f"-{self.start // CHUNK_IDS:06d}"
        return f"{FOLDER}/{self.table.name}{number}"

    @property
    def rows(self) -> QuerySet[Any]:
        if self.start is None:
            return self.table.rows.order_by("pk")
        return self.table.rows.filter(pk__range=(self.start, self.start + CHUNK_IDS - 1)).order_by("pk")

    @property
    def version(self) -> str:
        """The version of the rows; "" where only reading them tells."""
        if self.start is None:
            return ""
        found = self.rows.order_by().aggregate(n=Count("pk"), first=Min("pk"), last=Max("pk"), ids=Sum("pk"))
        return f"{found['n']}:{found['first']}:{found['last']}:{found['ids']}" if found["n"] else ""


def chunks() -> Iterator[Chunk]:
    """Yields the parts of all tables, in the order of `EXPORTED`."""
    for table in EXPORTED:
        if not table.in_chunks:
            yield Chunk(table)
            continue
        bounds = table.model._default_manager.aggregate(first=Min("pk"), last=Max("pk"))
        if bounds["first"] is not None:
            first = bounds["first"] // CHUNK_IDS * CHUNK_IDS
            yield from (Chunk(table, start) for start in range(first, bounds["last"] + 1, CHUNK_IDS))


def write_chunk(chunk: Chunk, root: Path) -> Iterator[int]:
    """Writes the file of a part below `root`; yields how many rows each step wrote."""
    path = root / f"{chunk.key}{SUFFIX}"
    path.parent.mkdir(parents=True)
    columns = chunk.table.columns
    hidden = [isinstance(field, models.ForeignKey) and _is_user(field) for field in columns]
    names = [field.attname for field in columns]
    # Without name and time in its head: equal rows make equal files.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        file.write(orjson.dumps(names) + b"\n")
        count = 0
        for row in _ordered(chunk, names):
            values = [None if hide else _plain(value) for hide, value in zip(hidden, row, strict=True)]
            file.write(orjson.dumps(values, option=orjson.OPT_SORT_KEYS) + b"\n")
            count += 1
            if count % CHECKED_ROWS == 0:
                yield CHECKED_ROWS
    yield count % CHECKED_ROWS


def _ordered(chunk: Chunk, names: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    """Returns the rows in the order of their ids; texts are sorted here, as databases do it differently."""
    rows = chunk.rows.values_list(*names)
    key = chunk.table.model._meta.pk
    if isinstance(key, models.CharField):
        place = names.index(key.attname)
        return sorted(rows, key=lambda row: row[place])
    return rows.iterator(chunk_size=CHECKED_ROWS)


def read_rows(path: Path) -> Iterator[list[Any]]:
    """Yields the names of the columns, then the values of each row. Raises `OSError` and `ValueError`."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield orjson.loads(line)


def parsers(model: type[models.Model], names: Sequence[str]) -> list[Any]:
    """Returns the functions that make the values of these columns. Raises `KeyError` for an unknown one."""
    fields: dict[str, Any] = {field.attname: field for field in model._meta.concrete_fields}
    return [_parser(fields[name]) for name in names]


def _parser(field: Any) -> Any:
    target = field.target_field if field.remote_field else field
    if isinstance(target, models.JSONField):
        return lambda value: value
    if isinstance(target, models.BinaryField):
        return lambda value: value if value is None else b64decode(value)
    if isinstance(target, models.DateTimeField):
        return lambda value: value if value is None else datetime.fromisoformat(value)
    return target.to_python


def _is_user(field: "models.ForeignKey[Any, Any]") -> bool:
    related: Any = field.related_model
    return bool(related._meta.label == settings.AUTH_USER_MODEL)


def _plain(value: Any) -> Any:
    """Returns the JSON value of a column's value: both databases' are the same."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes | memoryview):
        return b64encode(bytes(value)).decode()
    return _canonical(value)


def _canonical(value: Any) -> Any:
    """Returns the one form of numbers within JSON: PostgreSQL gives 1e16 back as an int, and -0.0 as 0.0."""
    if isinstance(value, dict):
        return {key: _canonical(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    if isinstance(value, float):
        is_whole = 1e16 <= abs(value) < 2.0**63 and value.is_integer()
        return int(value) if is_whole else value + 0.0
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value)
    return value
