"""Cancel, pause, resume and retry from the staff pages, with messages about their results."""

from collections import Counter
from collections.abc import Callable, Iterable
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
from tasks_app.models.events import Channel
from tasks_app.models.states import TaskStatus
from tasks_app.sentences import list_words

MISSING = "missing"


@dataclass(frozen=True)
class CancelResult:
    """The result of a cancel: the status in which it found the task, and a line that describes it."""

    task_id: UUID
    status: str
    line: str

    @property
    def is_cancelled(self) -> bool:
        return self.status == TaskStatus.RUNNING


def actor_for(user: AbstractBaseUser | AnonymousUser) -> Actor:
    """Returns the signed-in user as the actor of the admin channel."""
    return Actor(Channel.ADMIN, user if isinstance(user, User) else None)


def cancel(task_id: UUID, by: Actor) -> CancelResult:
    """Cancels the task if it is running, and reports what happened in any case."""
    short_id = formatting.short_id(task_id)
    try:
        task = lifecycle.cancel(task_id, by)
    except errors.TaskNotFound:
        return CancelResult(task_id, MISSING, _("Task %(id)s no longer exists.") % {"id": short_id})
    except errors.TaskNotRunning as error:
        status = error.params["status"]
        text = _("Task %(id)s was already %(status)s; nothing was changed.")
        return CancelResult(task_id, status, text % {"id": short_id, "status": TaskStatus(status).label})
    text = _(
        "Task %(id)s was cancelled. "
        "Stocks processed: %(processed)s of %(total)s. Bars collected: %(bars)s; they stay."
    )
    counts = {
        "processed": formatting.number(task.processed_stocks),
        "total": formatting.number(task.total_stocks),
        "bars": formatting.number(task.collected_count),
    }
    return CancelResult(task_id, TaskStatus.RUNNING, text % {"id": short_id, **counts})


def report_cancelled(request: HttpRequest, results: Iterable[CancelResult]) -> None:
    """Adds one message: the totals in its first line, then a line per task."""
    results = list(results)
    lines = [one.line for one in results]
    level = messages.SUCCESS if any(one.is_cancelled for one in results) else messages.WARNING
    messages.add_message(request, level, lines[0] if len(lines) == 1 else _summary_with_lines(results))


def pause(request: HttpRequest, task_id: UUID) -> None:
    """Pauses the task and adds a message, which says why if it could not be."""
    _report(request, lifecycle.pause, task_id, _("Task %(id)s is paused. It goes on once it is resumed."))


def resume(request: HttpRequest, task_id: UUID) -> None:
    """Resumes the task and adds a message, which says why if it could not be."""
    _report(request, lifecycle.resume, task_id, _("Task %(id)s goes on."))


def _report(
    request: HttpRequest, verb: Callable[[UUID, Actor], CollectionTask], task_id: UUID, done: str
) -> None:
    try:
        verb(task_id, actor_for(request.user))
    except errors.CollectorError as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, done % {"id": formatting.short_id(task_id)})


def retry(request: HttpRequest, task_id: UUID, error_code: str) -> CollectionTask | None:
    """Starts the retry and adds a message. Returns None if it was refused."""
    try:
        task = lifecycle.retry(task_id, actor_for(request.user), error_code)
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


def _summary_with_lines(results: list[CancelResult]) -> SafeString:
    counts = Counter(one.status for one in results)
    running_first = sorted(counts.items(), key=lambda pair: (pair[0] != TaskStatus.RUNNING, pair[0]))
    total = list_words(_count_by_status(status, count) for status, count in running_first)
    lines = format_html_join("", "<li>{}</li>", ([one.line] for one in results))
    return format_html('<strong>{}</strong><ul class="sc-lines">{}</ul>', total, lines)


def _count_by_status(status: str, count: int) -> str:
    params = {"count": formatting.number(count)}
    if status == TaskStatus.RUNNING:
        return ngettext("%(count)s cancelled", "%(count)s cancelled", count) % params
    if status == MISSING:
        return ngettext("%(count)s no longer exists", "%(count)s no longer exist", count) % params
    text = ngettext("%(count)s was already %(status)s", "%(count)s were already %(status)s", count)
    return text % {**params, "status": TaskStatus(status).label}
