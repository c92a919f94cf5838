"""Reads the records of who did what as one: tasks, queue, plans, exports, deletions, replays, all else.

Each record stays where it is written. A page merges the same page of all of them, newest first, by the
time, the number of the record in `RECORDS`, and the id; so it costs one range of an index for each of them,
the last page like the first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import chain
from typing import Any, NamedTuple

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import BigIntegerField, IntegerField, Model, QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _, pgettext_lazy

from tasks_app.db import keyset
from tasks_app.db.keyset import OrderColumn, Page, Position
from tasks_app.models import (
    AuditEvent,
    DataDeletion,
    Export,
    PlanEvent,
    QueueEvent,
    RawAnswerReplay,
    TaskEvent,
)
from tasks_app.models.audit import SESSION, AuditVerb
from tasks_app.models.events import EventKind
from tasks_app.models.plans import PlanEventKind
from tasks_app.models.queued_orders import QueueEventKind

TASK, PLAN, EXPORT, DELETION, REPLAY = "task", "plan", "export", "datadeletion", "rawanswerreplay"
QUEUED_ORDER = "queuedorder"
SUBJECTS: dict[str, Any] = {
    TASK: _("task"),
    QUEUED_ORDER: _("queued order"),
    PLAN: _("plan"),
    SESSION: _("sign-in"),
    "user": _("user"),
    "group": _("group"),
    "authtoken": _("API token"),
    "sourcesetting": _("setting of a source"),
    "target": _("target"),
    "noticechannel": _("notice channel"),
    "noticeping": _("dead man's switch"),
    "upload": _("uploaded file"),
    EXPORT: _("export"),
    DELETION: _("deletion of data"),
    REPLAY: _("replay of raw answers"),
    "calendarday": _("calendar"),
    "stock": _("stock"),
    "stockimport": _("import of stocks"),
    "codealias": _("alias of a code"),
    "codechange": _("change of a code"),
}
# How a verb is called as something that happened, where its kind's own word also names a state.
HAPPENED: dict[str, Any] = {
    "changed": pgettext_lazy("event", "changed"),
    "created": pgettext_lazy("event", "created"),
    "failed": pgettext_lazy("event", "failed"),
    "moved": pgettext_lazy("event", "moved"),
    "paused": pgettext_lazy("event", "paused"),
    "queued": pgettext_lazy("event", "queued"),
    "refused": pgettext_lazy("event", "refused"),
    "resumed": pgettext_lazy("event", "resumed"),
    "retried": pgettext_lazy("event", "retried"),
    "warned": pgettext_lazy("event", "warned"),
}
VERBS: dict[str, Any] = {
    verb: HAPPENED.get(verb, label)
    for kinds in (AuditVerb, PlanEventKind, QueueEventKind, EventKind)
    for verb, label in kinds.choices
}
LARGEST_ID = 2**63 - 1
BATCH = 1000


class Entry(NamedTuple):
    """What somebody did. `detail` is a text, or a dictionary of parameters; `at` is aware."""

    at: datetime
    user_name: str
    channel: str
    address: str
    subject: str
    verb: str
    object_id: str
    name: str
    detail: Any


@dataclass(frozen=True)
class Filters:
    """What is asked for; "" and None mean everything. `last` is included; days are the site's."""

    user_name: str = ""
    subject: str = ""
    verb: str = ""
    first: date | None = None
    last: date | None = None
    object_id: str = ""


@dataclass(frozen=True)
class Record:
    """A table of events: what its rows are about, and where it holds verb and object.

    Without a column of the verb all rows have the verb `only_verb`.
    """

    model: type[Model]
    subject: str  # "" if a column holds it
    describe: Callable[[Any], tuple[str, Any]]  # the object's name, and details
    verb_column: str = ""
    only_verb: str = ""
    object_column: str = "id"

    def rows(self, wanted: Filters) -> QuerySet[Any]:
        """Returns the rows that are wanted."""
        rows = self.model._default_manager.all()
        if wanted.subject:
            if not self.subject:
                rows = rows.filter(subject=wanted.subject)
            elif self.subject != wanted.subject:
                return rows.none()
        if wanted.verb:
            if self.verb_column:
                rows = rows.filter(**{self.verb_column: wanted.verb})
            elif self.only_verb != wanted.verb:
                return rows.none()
        if wanted.user_name:
            rows = rows.filter(user_name=wanted.user_name)
        if wanted.object_id:
            rows = self._of_object(rows, wanted.object_id)
        if wanted.first:
            rows = rows.filter(at__gte=_midnight(wanted.first))
        if wanted.last:
            rows = rows.filter(at__lt=_midnight(wanted.last + timedelta(days=1)))
        return rows

    def _of_object(self, rows: QuerySet[Any], key: str) -> QuerySet[Any]:
        field: Any = self.model._meta.get_field(self.object_column)
        try:
            value = field.target_field.to_python(key) if field.remote_field else field.to_python(key)
        except ValidationError:
            return rows.none()
        if isinstance(value, int) and abs(value) > LARGEST_ID:
            return rows.none()
        return rows.filter(**{self.object_column: value})

    def entry(self, row: Any) -> Entry:
        """Returns a fetched row as an entry."""
        name, detail = self.describe(row)
        key = getattr(row, self.model._meta.get_field(self.object_column).attname)  # type: ignore[union-attr]
        return Entry(
            at=row.at,
            user_name=row.user_name,
            channel=row.channel,
            address=getattr(row, "address", ""),
            subject=self.subject or row.subject,
            verb=getattr(row, self.verb_column) if self.verb_column else self.only_verb,
            object_id=str(key),
            name=name,
            detail=detail,
        )


def _of_data(row: Any, *names: str) -> tuple[str, dict[str, Any]]:
    values = {name: getattr(row, name) for name in names}
    name = f"{row.source} {row.market}".strip()
    return name, {key: str(value) if isinstance(value, date) else value for key, value in values.items()}


RECORDS = (
    Record(AuditEvent, "", lambda row: (row.object_name, row.detail), "verb", object_column="object_id"),
    Record(TaskEvent, TASK, lambda row: (str(row.task_id)[:8], row.params), "kind", object_column="task"),
    Record(PlanEvent, PLAN, lambda row: (row.plan_name, row.params), "kind", object_column="plan_id"),
    Record(
        Export,
        EXPORT,
        lambda row: (row.folder, {"layout": row.layout, **row.selection}),
        only_verb=EventKind.STARTED,
    ),
    Record(
        DataDeletion,
        DELETION,
        lambda row: _of_data(row, "first_day", "last_day", "series", "bars"),
        only_verb=AuditVerb.DELETED,
    ),
    Record(
        RawAnswerReplay,
        REPLAY,
        lambda row: _of_data(row, "codes", "since", "added", "corrected"),
        only_verb=EventKind.STARTED,
    ),
    Record(
        QueueEvent, QUEUED_ORDER, lambda row: (f"#{row.order_id}", row.params), "kind", object_column="order"
    ),
)


def page(wanted: Filters, position: Position, size: int) -> Page[Entry]:
    """Returns a page of what is wanted, newest first. One query for each of `RECORDS` that may hold some."""
    merged = list(_merge(wanted, position, size + 1))
    has_more, rows, has_key = len(merged) > size, merged[:size], position.key is not None
    if position.backwards and has_key and not has_more:  # the list must not begin with half a page
        return page(wanted, Position(), size)
    has_previous, has_next = (has_more, has_key) if position.backwards else (has_key, has_more)
    if position.backwards:
        rows.reverse()
    return Page(
        [entry for _key, entry in rows],
        before=_encode(rows[0][0]) if rows and has_previous else None,
        after=_encode(rows[-1][0]) if rows and has_next else None,
        is_first=not has_previous,
    )


def parse_position(after: str | None, before: str | None) -> Position:
    """Returns the position that an address names. Raises `ValidationError` for an invalid one."""
    position = keyset.parse_position(_columns(), after, before)
    if position.key and not 0 <= position.key[1] < len(RECORDS):
        raise ValidationError("This is not a key of this list.")
    return position


def entries(wanted: Filters) -> Iterator[Entry]:
    """Yields all that is wanted, newest first, in constant memory."""
    position: Position | None = Position()
    while position is not None:
        part = page(wanted, position, BATCH)
        yield from part.rows
        position = parse_position(part.after, None) if part.after else None


def subject_label(subject: str) -> "str | Promise":
    """Returns what a subject is called: in `SUBJECTS`, or by its model."""
    if subject in SUBJECTS:
        return SUBJECTS[subject]  # type: ignore[no-any-return]
    models = chain.from_iterable(config.get_models() for config in apps.get_app_configs())
    found = next((model for model in models if model._meta.model_name == subject), None)
    return found._meta.verbose_name or subject if found else subject


# ---------------------------------------------------------------- merging


def _merge(wanted: Filters, position: Position, count: int) -> list[tuple[tuple[Any, int, int], Entry]]:
    """Returns up to `count` entries with their keys from the position on, in the direction of travel."""
    found: list[tuple[tuple[Any, int, int], Entry]] = []
    for number, record in enumerate(RECORDS):
        columns = _columns_of(record.model)
        rows = record.rows(wanted)
        if rows.query.is_empty():
            continue
        fetched = keyset.fetch_rows(rows, columns, _position_in(number, position), count)
        found += [
            ((getattr(row, columns[0].attribute), number, row.pk), record.entry(row)) for row in fetched
        ]
    found.sort(key=lambda pair: pair[0], reverse=not position.backwards)
    return found[:count]


def _position_in(number: int, position: Position) -> Position:
    """Returns the position in one record: entries of the same moment are in the order of the records."""
    if position.key is None:
        return position
    at, of_key, row_id = position.key
    if number != of_key:
        row_id = LARGEST_ID if number < of_key else 0
    return Position((at, row_id), position.backwards)


def _columns_of(model: type[Model]) -> list[OrderColumn]:
    return keyset.order_columns(model, ["-at", "-id"])


def _columns() -> list[OrderColumn]:
    at, row_id = _columns_of(AuditEvent)
    number = OrderColumn("number", True, IntegerField(), False)
    return [at, number, row_id._replace(field=BigIntegerField())]


def _encode(key: tuple[Any, int, int]) -> str:
    columns = _columns()
    return keyset.encode_key(columns, {c.attribute: value for c, value in zip(columns, key, strict=True)})


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))
