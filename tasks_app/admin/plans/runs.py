"""The runs of a plan, as its page shows them."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import reasons
from tasks_app.admin.common import formatting
from tasks_app.lifecycle import plan_runs, selectors, yielding
from tasks_app.lifecycle.plan_runs import RunStep
from tasks_app.models import CollectionPlan, PlanRun, StepAttempt
from tasks_app.models.plan_runs import AttemptState, RunState, StepKind

SHOWN = 20
STYLES = {
    "running": ("info", "sync"),
    "waiting": ("plain", "schedule"),
    "pending": ("plain", "more_horiz"),
    "skipped": ("plain", "skip_next"),
    "completed": ("good", "check_circle"),
    "with_failures": ("warn", "error_outline"),
    "failed": ("bad", "error"),
    "cancelled": ("plain", "block"),
    "refused": ("bad", "block"),
}


def describe(plan: CollectionPlan) -> list[dict[str, Any]]:
    """Returns the last runs of a plan, the newest first, in three queries."""
    return [_describe_run(run) for run in plan_runs.history(plan.pk)[:SHOWN]]


def _describe_run(run: PlanRun) -> dict[str, Any]:
    by = _("for %(user)s") % {"user": run.user_name} if run.user_name else ""
    return {
        "at": formatting.timestamp(run.started_at, seconds=False),
        "by": by if run.due_at else f"{_('run now')} {by}".strip(),
        "state": _badge(run.state, RunState(run.state).label),
        "notes": _notes(run),
        "steps": [_describe_step(step) for step in plan_runs.run_steps(run)],
        "reason": reasons.translated_reason(run.error_code) or run.error_message,
    }


def _notes(run: PlanRun) -> list[Any]:
    notes: list[Any] = []
    if run.due_at and run.started_at and run.due_at.replace(second=0) != run.started_at.replace(second=0):
        due = formatting.timestamp(run.due_at, seconds=False)
        notes.append(format_html(_("due {}"), due))
    if run.is_late:
        notes.append(_("late: it waited for another task"))
    if run.skipped:
        text = ngettext("%(count)s later time was skipped", "%(count)s later times were skipped", run.skipped)
        notes.append(text % {"count": formatting.number(run.skipped)})
    if run.waiting_since:
        notes.append(_("step %(step)s waits for another task") % {"step": run.position})
        notes += filter(None, [describe_wait(run.plan)])
    if run.not_before:
        notes.append(_("retry of step %(step)s is due later") % {"step": run.position})
    return notes


def describe_wait(plan: CollectionPlan | None) -> str:
    """Returns why a plan that may overtake the running task still waits; "" if it does not."""
    task = selectors.get_running_task()
    if plan is None or task is None or plan.priority <= task.priority:
        return ""
    names = {"id": formatting.short_id(task.pk)}
    if task.paused_at:
        return _("task %(id)s is paused, and keeps its place") % names
    if task.yielding_at is None:
        return ""
    held = yielding.count_held(task.pk)
    text = ngettext(
        "task %(id)s yields once %(count)s request has ended",
        "task %(id)s yields once %(count)s requests have ended",
        held,
    )
    return text % {**names, "count": formatting.number(held)}


def _describe_step(step: RunStep) -> dict[str, Any]:
    return {
        "name": f"{step.position}. {StepKind(step.kind).label}",
        "state": _badge(step.state, _label(step.state)),
        "attempts": format_html_join(" ", "{}", ((_link(attempt),) for attempt in step.attempts)),
    }


def _label(state: str) -> Any:
    others = {"pending": _("to come"), "skipped": _("skipped"), "waiting": RunState.WAITING.label}
    return others.get(state) or AttemptState(state).label


def _link(attempt: StepAttempt) -> SafeString | str:
    if attempt.task_id:
        task = attempt.task
        link = formatting.task_link(attempt.task_id) if task else formatting.deleted_task(attempt.task_id)
        if attempt.overtook_id:
            text = _("{}, task {} yielded to it")
            both = format_html(text, link, formatting.task_link(attempt.overtook_id))
            return format_html("<span>{}</span>", both)  # one item of the row: no gap before the comma
        return link
    if attempt.export_id:
        return formatting.link(reverse("admin:exports"), _("export %(id)s") % {"id": attempt.export_id})
    if attempt.result:
        text = ngettext(
            "%(size)s stock, %(added)s new", "%(size)s stocks, %(added)s new", attempt.result["size"]
        )
        text %= attempt.result
        return format_html("<span>{}</span>", text)
    return ""


def _badge(state: str, text: Any) -> SafeString:
    return formatting.badge(*STYLES[state], text)
