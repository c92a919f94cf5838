"""The verbs as the staff pages do them, and what they did in words."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors, lifecycle
from tasks_app.admin.common import formatting
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus
from tasks_app.models.tasks import Channel

MISSING = "missing"


@dataclass(frozen=True)
class Cancelled:
    """What a cancel did to one task: it ended it, or found it with the status `found`."""

    task_id: UUID
    found: str
    line: str

    @property
    def done(self) -> bool:
        return self.found == TaskStatus.RUNNING


def actor(user: AbstractBaseUser | AnonymousUser) -> Actor:
    """The signed-in user, acting through these pages."""
    return Actor(Channel.ADMIN, user if isinstance(user, User) else None)


def cancel(task_id: UUID, by: Actor) -> Cancelled:
    """Cancel the task, whatever its status; the line says what happened."""
    try:
        task = lifecycle.cancel(task_id, by)
    except errors.TaskNotRunning as error:
        return _not_cancelled(task_id, error.params["status"])
    except errors.TaskNotFound:
        line = _("Task %(id)s no longer exists.") % {"id": formatting.short_id(task_id)}
        return Cancelled(task_id, MISSING, line)
    return Cancelled(task_id, TaskStatus.RUNNING, _cancelled_line(task))


def say_cancelled(request: HttpRequest, done: Iterable[Cancelled]) -> None:
    """One message: the sum in its first line, then a line for each task."""
    done = list(done)
    lines = [one.line for one in done]
    level = messages.SUCCESS if any(one.done for one in done) else messages.WARNING
    messages.add_message(request, level, lines[0] if len(lines) == 1 else _with_sum(done))


def retry(request: HttpRequest, task_id: UUID, error_code: str) -> CollectionTask | None:
    """Start the retry and say so; None, and a message with the reason, when it is refused."""
    try:
        task = lifecycle.retry(task_id, actor(request.user), error_code)
    except errors.CollectorError as error:
        messages.error(request, str(error))
        return None
    text = ngettext(
        "Retry started: task %(id)s collects %(stocks)s stock.",
        "Retry started: task %(id)s collects %(stocks)s stocks.",
        task.total_stocks,
    )
    messages.success(
        request, text % {"id": formatting.short_id(task.pk), "stocks": formatting.number(task.total_stocks)}
    )
    return task


def retry_each(request: HttpRequest, task_ids: Iterable[UUID]) -> None:
    """Retry one task after the other, and say for each what came of it."""
    for task_id in task_ids:
        retry(request, task_id, "")


def _not_cancelled(task_id: UUID, status: str) -> Cancelled:
    text = _("Task %(id)s was already %(status)s; nothing was changed.")
    name = TaskStatus(status).label
    return Cancelled(task_id, status, text % {"id": formatting.short_id(task_id), "status": name})


def _cancelled_line(task: CollectionTask) -> str:
    text = _(
        "Task %(id)s was cancelled. "
        "Stocks processed: %(processed)s of %(total)s. Bars stored: %(bars)s; they stay."
    )
    return text % {
        "id": formatting.short_id(task.pk),
        "processed": formatting.number(task.processed_stocks),
        "total": formatting.number(task.total_stocks),
        "bars": formatting.number(task.collected_count),
    }


def _with_sum(done: list[Cancelled]) -> SafeString:
    counts = Counter(one.found for one in done)
    total = ", ".join(_summed(found, count) for found, count in _running_first(counts))
    lines = format_html_join("", "<li>{}</li>", ([one.line] for one in done))
    return format_html('<strong>{}</strong><ul class="sc-lines">{}</ul>', total, lines)


def _running_first(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (pair[0] != TaskStatus.RUNNING, pair[0]))


def _summed(found: str, count: int) -> str:
    params = {"count": formatting.number(count)}
    if found == TaskStatus.RUNNING:
        return ngettext("%(count)s cancelled", "%(count)s cancelled", count) % params
    if found == MISSING:
        return ngettext("%(count)s no longer exists", "%(count)s no longer exist", count) % params
    text = ngettext("%(count)s was already %(status)s", "%(count)s were already %(status)s", count)
    return text % {**params, "status": TaskStatus(found).label}
