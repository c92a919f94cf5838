"""What is asked before a task's verbs are done."""

from typing import Any
from uuid import UUID

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _, ngettext

from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.tasks import columns
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState

CANCEL, RETRY = "cancel_selected", "retry_selected"


def cancel(admin: ModelAdmin[Any], request: HttpRequest, task: CollectionTask) -> HttpResponse:
    """Ask on the task's own page."""
    return confirmation.render_confirmation(
        admin,
        request,
        title=_("Cancel the task"),
        question=_("Cancel this task?"),
        effects=_what_this_cancel_does(task),
        objects=[columns.line(task)],
        confirm_label=_("Yes, cancel it"),
        cancel_url=_page(task.pk),
        breadcrumbs=_trail(task),
    )


def cancel_selected(
    admin: ModelAdmin[Any], request: HttpRequest, tasks: list[CollectionTask]
) -> HttpResponse:
    """Ask for the list's action, which the answer then repeats, confirmed."""
    many = len(tasks)
    return confirmation.render_confirmation(
        admin,
        request,
        title=_("Cancel selected tasks"),
        question=ngettext("Cancel %(many)d task?", "Cancel %(many)d tasks?", many) % {"many": many},
        effects=[*_what_a_cancel_does(), _("A task that has ended stays as it is.")],
        objects=[columns.line(task) for task in tasks],
        confirm_label=ngettext("Yes, cancel it", "Yes, cancel them", many),
        cancel_url=formatting.admin_url("collectiontask"),
        breadcrumbs=_trail(),
        hidden={"action": CANCEL, ACTION_CHECKBOX_NAME: [task.pk for task in tasks], "confirmed": "yes"},
    )


def retry_selected(admin: ModelAdmin[Any], request: HttpRequest, tasks: list[CollectionTask]) -> HttpResponse:
    """Ask for the list's action, which the answer then repeats, confirmed."""
    many = len(tasks)
    return confirmation.render_confirmation(
        admin,
        request,
        title=_("Retry selected tasks"),
        question=ngettext("Retry %(many)d task?", "Retry %(many)d tasks?", many) % {"many": many},
        effects=[*_what_a_retry_does(), _("Of several tasks the first that can be retried is.")],
        objects=[columns.line(task) for task in tasks],
        confirm_label=_("Yes, start it"),
        cancel_url=formatting.admin_url("collectiontask"),
        breadcrumbs=_trail(),
        hidden={"action": RETRY, ACTION_CHECKBOX_NAME: [task.pk for task in tasks], "confirmed": "yes"},
        danger=False,
    )


def retry(
    admin: ModelAdmin[Any], request: HttpRequest, task: CollectionTask, error_code: str
) -> HttpResponse:
    """Ask for a retry of all that is left, or of one kind of failure."""
    question = _("Start a new task with all failed and unprocessed stocks of this one?")
    if error_code:
        question = _("Start a new task with the stocks of this one that failed with “%(code)s”?")
    return confirmation.render_confirmation(
        admin,
        request,
        title=_("Retry the task"),
        question=question % {"code": error_code},
        effects=[*_how_many(task, error_code), *_what_a_retry_does()],
        objects=[columns.line(task)],
        confirm_label=_("Yes, start it"),
        cancel_url=_page(task.pk),
        breadcrumbs=_trail(task),
        hidden={"error_code": error_code},
        danger=False,
    )


def _what_a_cancel_does() -> list[str]:
    return [
        _("Collecting stops at once and for good: a cancelled task never goes on. A retry starts a new one."),
        _("What is stored stays stored: not one bar is deleted."),
    ]


def _what_this_cancel_does(task: CollectionTask) -> list[str]:
    """What stops and what stays, in numbers; they are as of now, and workers go on while it is read."""
    params = {
        "done": formatting.number(task.processed_stocks),
        "failed": formatting.number(task.failed_count),
        "left": formatting.number(task.total_stocks - task.processed_stocks),
        "bars": formatting.number(task.collected_count + task.corrected_count),
    }
    stops = _("Stops: the stocks not yet collected (%(left)s).")
    stays = _(
        "Stays: the stocks that are done (%(done)s, of which failed: %(failed)s) and the bars stored "
        "(%(bars)s)."
    )
    counted = [stops % params, stays % params] if task.planned_at else []
    return [*counted, *_what_a_cancel_does()]


def _how_many(task: CollectionTask, error_code: str) -> list[str]:
    """How many stocks the retry collects; nothing for a task that never got its list."""
    if not task.planned_at:
        return []
    failed = task.items.filter(state=ItemState.FAILED, error_code=error_code) if error_code else None
    many = failed.count() if failed is not None else task.total_stocks - task.success_count
    text = ngettext("It collects %(count)s stock.", "It collects %(count)s stocks.", many)
    return [text % {"count": formatting.number(many)}]


def _what_a_retry_does() -> list[str]:
    return [
        _("The new task has the same source, days and modes, and is linked to this one."),
        _("This task stays as it is. Only one task runs at a time."),
    ]


def _page(task_id: UUID) -> str:
    return formatting.task_url(task_id)


def _trail(task: CollectionTask | None = None) -> list[Breadcrumb]:
    tasks = Breadcrumb(columns.TASKS, formatting.admin_url("collectiontask"))
    return [tasks, Breadcrumb(formatting.short_id(task.pk), _page(task.pk))] if task else [tasks]
