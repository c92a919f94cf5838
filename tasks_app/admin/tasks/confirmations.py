"""The confirmation pages of cancel, pause, resume and retry."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _, ngettext

from tasks_app import reasons
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.tasks import columns
from tasks_app.lifecycle import chains
from tasks_app.models import CollectionTask

CANCEL, PAUSE, RESUME, RETRY = "cancel_selected", "pause_selected", "resume_selected", "retry_selected"


def confirm_cancel(admin: ModelAdmin[Any], request: HttpRequest, task: CollectionTask) -> HttpResponse:
    """Returns the confirmation page of a cancel."""
    return _render(
        admin,
        request,
        [task],
        title=_("Cancel the task"),
        question=_("Cancel this task?"),
        effects=[*_cancel_counts(task), *_cancel_effects()],
        confirm_label=_("Yes, cancel it"),
        cancel_label=_("Keep it running"),
    )


def confirm_cancel_selected(
    admin: ModelAdmin[Any], request: HttpRequest, tasks: list[CollectionTask]
) -> HttpResponse:
    """Returns the confirmation page of the list's action."""
    many = len(tasks)
    return _render(
        admin,
        request,
        tasks,
        action=CANCEL,
        title=_("Cancel selected tasks"),
        question=ngettext("Cancel %(many)d task?", "Cancel %(many)d tasks?", many) % {"many": many},
        effects=[*_cancel_effects(), _("Tasks that have already ended are not changed.")],
        confirm_label=ngettext("Yes, cancel it", "Yes, cancel them", many),
        cancel_label=_("Keep it running") if many == 1 else _("Keep them running"),
    )


def confirm_pause(
    admin: ModelAdmin[Any], request: HttpRequest, tasks: list[CollectionTask], action: str = ""
) -> HttpResponse:
    """Returns the confirmation page of a pause, or of the list's action."""
    many = len(tasks)
    return _render(
        admin,
        request,
        tasks,
        action=action,
        title=_("Pause the task"),
        question=_("Pause this task?")
        if many == 1
        else ngettext("Pause %(many)d task?", "Pause %(many)d tasks?", many) % {"many": many},
        effects=[
            _("Within seconds the source gets no further request. Nothing that is stored is lost."),
            _("It keeps its place: no other task starts, and plans wait, until it is resumed or cancelled."),
            *([_("Tasks that are not running are not changed.")] if action else []),
        ],
        confirm_label=_("Yes, pause it"),
        cancel_label=_("Keep it running") if many == 1 else _("Keep them running"),
    )


def confirm_resume(
    admin: ModelAdmin[Any], request: HttpRequest, tasks: list[CollectionTask], action: str = ""
) -> HttpResponse:
    """Returns the confirmation page of a resume, or of the list's action."""
    many = len(tasks)
    return _render(
        admin,
        request,
        tasks,
        action=action,
        title=_("Resume the task"),
        question=_("Let this task go on?")
        if many == 1
        else ngettext("Let %(many)d task go on?", "Let %(many)d tasks go on?", many) % {"many": many},
        effects=[
            _("It continues with the stocks not yet processed; no finished stock is requested again."),
            *([_("Tasks that are not paused are not changed.")] if action else []),
        ],
        confirm_label=_("Yes, resume it"),
        danger=False,
    )


def confirm_retry_selected(
    admin: ModelAdmin[Any], request: HttpRequest, tasks: list[CollectionTask]
) -> HttpResponse:
    """Returns the confirmation page of the list's action."""
    many = len(tasks)
    return _render(
        admin,
        request,
        tasks,
        action=RETRY,
        title=_("Retry selected tasks"),
        question=ngettext("Retry %(many)d task?", "Retry %(many)d tasks?", many) % {"many": many},
        effects=[*_retry_effects(), _("Of several tasks, only the first that can be retried is started.")],
        confirm_label=_("Yes, start it"),
        danger=False,
    )


def confirm_retry(
    admin: ModelAdmin[Any], request: HttpRequest, task: CollectionTask, error_code: str
) -> HttpResponse:
    """Returns the confirmation page of a retry, of all that is left or of one kind of failure."""
    many = count_to_retry(task, error_code) if task.planned_at else 0
    question = ngettext(
        "Retry the %(count)s failed or unprocessed stock of this task?",
        "Retry the %(count)s failed and unprocessed stocks of this task?",
        many,
    )
    if task.planned_at is None:
        question = _("Start a new task with the request of this one, whose plan was not completed?")
    if error_code:
        question = ngettext(
            "Retry the %(count)s stock of this task that failed with “%(code)s”?",
            "Retry the %(count)s stocks of this task that failed with “%(code)s”?",
            many,
        )
    return _render(
        admin,
        request,
        [task],
        title=_("Retry the task"),
        question=question % {"code": reasons.meaning(error_code), "count": formatting.number(many)},
        effects=_retry_effects(),
        confirm_label=_("Yes, start it"),
        hidden={"error_code": error_code},
        danger=False,
    )


def _render(
    admin: ModelAdmin[Any],
    request: HttpRequest,
    tasks: list[CollectionTask],
    *,
    action: str = "",
    hidden: dict[str, Any] | None = None,
    **content: Any,
) -> HttpResponse:
    """`action` names an action of the list, which the page's form submits again as confirmed."""
    breadcrumbs = [Breadcrumb(columns.TASKS, formatting.admin_url("collectiontask"))]
    if action:
        hidden = {"action": action, ACTION_CHECKBOX_NAME: [task.pk for task in tasks], "confirmed": "yes"}
    else:
        task_id = tasks[0].pk
        breadcrumbs.append(Breadcrumb(formatting.short_id(task_id), formatting.task_url(task_id)))
    return confirmation.render_confirmation(
        admin,
        request,
        objects=[columns.summary_line(task) for task in tasks],
        cancel_url=breadcrumbs[-1].link,
        breadcrumbs=breadcrumbs,
        hidden=hidden,
        **content,
    )


def _cancel_effects() -> list[str]:
    return [
        _("Collecting stops at once and for good: a cancelled task never resumes. A retry starts a new one."),
        _("Stored bars stay: none is deleted."),
    ]


def _cancel_counts(task: CollectionTask) -> list[str]:
    """Returns what stops and what stays, in numbers as of now: workers continue while the page is read."""
    if not task.planned_at:
        return []
    left = task.total_stocks - task.processed_stocks
    params = {
        "done": formatting.number(task.processed_stocks),
        "failed": formatting.number(task.failed_count),
        "left": formatting.number(left),
        "bars": formatting.number(task.collected_count),
    }
    stops = ngettext("%(left)s stock will not be collected.", "%(left)s stocks will not be collected.", left)
    stays = _(
        "Stays: the processed stocks (%(done)s, of which failed: %(failed)s) "
        "and the bars collected (%(bars)s)."
    )
    return [stops % params, stays % params]


def count_to_retry(task: CollectionTask, error_code: str) -> int:
    """Returns how many stocks the retry collects."""
    is_alone = not (error_code or task.continues_id)
    return (
        task.total_stocks - task.success_count
        if is_alone
        else chains.items_to_retry(task, error_code).count()
    )


def _retry_effects() -> list[str]:
    return [
        _("A new task with the same source, days and modes collects them; this task does not change."),
        _("While another task runs, the start is refused: only one runs at a time."),
    ]
