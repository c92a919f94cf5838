"""How tasks are shown: cells of the list, fields of the page, a summary line, links to their items."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.admin.common import formatting
from tasks_app.admin.common.filters import TASK_PARAMETER
from tasks_app.lifecycle import chains, comparisons, durations
from tasks_app.lifecycle.chains import Chain
from tasks_app.market import synthetic
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.orders.order import WHOLE
from tasks_app.sentences import list_words

TASKS = gettext_lazy("Tasks")
START = "admin:start"
MAX_CODES_SHOWN = 12
MODES = {
    "test_mode": gettext_lazy("test mode"),
    "full_collection_mode": gettext_lazy("skips completely collected stocks"),
    "force_update": gettext_lazy("force update"),
}


def status_label(task: CollectionTask) -> SafeString:
    return formatting.badge(*formatting.task_style(task), task.get_result_display())


def status_with_chain(task: CollectionTask) -> SafeString:
    """Returns the status; of a part of a chain also which one it is, with links to those before and after it.

    The list sets the task's `chain`.
    """
    label, chain = status_label(task), _chain_of(task)
    if chain is None:
        return label
    number = _("part %(number)s of %(parts)s") % {"number": chain.number, "parts": chain.parts}
    parts: list[Any] = [number] if chain.parts > 1 else []
    if task.continues_id:
        known = (
            formatting.task_link(chain.previous)
            if chain.previous
            else formatting.deleted_task(task.continues_id)
        )
        parts.append(format_html(_("continues {}"), known))
    if task.has_yielded:
        parts.append(_("to the plan “%(plan)s”") % {"plan": task.yields_to_name})
        parts.append(_how_it_goes_on(chain))
    return formatting.two_lines(label, format_html_join(" · ", "{}", ((part,) for part in parts)))


def _how_it_goes_on(chain: Chain) -> SafeString | str:
    if chain.continued_by:
        return format_html(_("continued by {}"), formatting.task_link(chain.continued_by))
    return _("the rest waits in the queue") if chain.goes_on else _("does not go on")


def progress_with_chain(task: CollectionTask) -> SafeString:
    """Returns the progress; below that of the last part of a chain, the progress of the whole run."""
    bar, chain = formatting.progress_bar(task), _chain_of(task)
    if chain is None or chain.parts == 1 or chain.number < chain.parts:
        return bar
    values = {"done": formatting.number(chain.processed), "total": formatting.number(chain.total)}
    values["percent"] = formatting.percent(chain.percent, 0)
    return formatting.two_lines(bar, _("whole run: %(percent)s %(done)s/%(total)s") % values)


def _chain_of(task: CollectionTask) -> Chain | None:
    return getattr(task, "chain", None)


def continued_task(task: CollectionTask) -> SafeString | str:
    """Returns a link to the task that this one continues."""
    return formatting.task_link(task.continues_id) if task.continues_id else formatting.EMPTY


def failed(task: CollectionTask) -> SafeString | str:
    """Returns the number of failures, linked to them."""
    text = formatting.number(task.failed_count)
    return (
        formatting.link(items_url(task, state__exact=ItemState.FAILED), text) if task.failed_count else text
    )


def bars(task: CollectionTask) -> SafeString | str:
    """Returns how many bars are new, and how many differ from the second source's."""
    collected = formatting.number(task.collected_count)
    comparison = comparisons.describe_comparison(task)
    return formatting.two_lines(collected, comparison) if comparison else collected


def compared_with(task: CollectionTask) -> str:
    """Returns the second source, and its sample unless that is the whole."""
    if task.verify_sample == WHOLE or not task.verify_with:
        return task.verify_with or formatting.EMPTY
    return _("%(source)s, %(percent)s of the stocks") % {
        "source": task.verify_with,
        "percent": formatting.percent(task.verify_sample, 0),
    }


def scope(task: CollectionTask) -> SafeString:
    """Returns market, source and days."""
    return formatting.two_lines(
        f"{synthetic.mark(task.market)} · {task.source}",
        formatting.date_range(task.start_date, task.end_date),
    )


def started(task: CollectionTask) -> SafeString | str:
    """Returns when the task was started, and by whom or by which plan."""
    time = formatting.timestamp(task.start_time, seconds=False)
    if task.plan_id:
        return formatting.two_lines(time, plan_link(task))
    if task.created_by:
        return formatting.two_lines(time, _("by %(user)s") % {"user": task.created_by})
    return time


def plan_link(task: CollectionTask) -> SafeString | str:
    """Returns a link to the plan that ordered the task, with its name of then."""
    if not task.plan_id:
        return formatting.EMPTY
    page = formatting.admin_url("collectionplan", "change", task.plan_id)
    return formatting.link(page, _("plan “%(name)s”") % {"name": task.plan_name})


def duration(task: CollectionTask) -> SafeString:
    return formatting.nowrap(durations.format_duration(durations.task_duration(task)))


def codes(task: CollectionTask) -> str:
    return shorten_codes(task.stock_codes) if task.stock_codes else _("the whole market")


def shorten_codes(codes: list[str]) -> str:
    """Returns the first codes, and the total if there are more."""
    shown = ", ".join(codes[:MAX_CODES_SHOWN]) or formatting.EMPTY
    if len(codes) <= MAX_CODES_SHOWN:
        return shown
    return _("%(codes)s … (%(count)s in all)") % {"codes": shown, "count": formatting.number(len(codes))}


def modes(task: CollectionTask) -> str:
    return list_words(name for mode, name in MODES.items() if getattr(task, mode)) or formatting.EMPTY


def retried_from(task: CollectionTask) -> SafeString | str:
    """Returns a link to the task that this one retries; its id if that was deleted."""
    if not task.retry_of_id:
        return formatting.EMPTY
    is_kept = CollectionTask.objects.filter(pk=task.retry_of_id).exists()
    return formatting.task_link(task.retry_of_id) if is_kept else formatting.deleted_task(task.retry_of_id)


def summary_line(task: CollectionTask) -> SafeString:
    """Returns a task in one line, linked."""
    return format_html(
        "{} {} <span>{} · {} · {}</span> <span>{}</span>",
        formatting.task_link(task.pk),
        status_label(task),
        synthetic.mark(task.market),
        task.source,
        formatting.date_range(task.start_date, task.end_date),
        formatting.percent(task.progress, 0),
    )


def can_be_retried(task: CollectionTask) -> bool:
    """Whether a retry of the ended task has stocks to collect: its own, or those of the tasks before it."""
    if task.status == TaskStatus.RUNNING or chains.goes_on(task):
        return False
    if task.planned_at is None or task.success_count < task.total_stocks:
        return True
    return task.continues_id is not None and chains.chains_of([task])[task.pk].failed > 0


def retry_name(task: CollectionTask) -> str:
    """Returns what a retry's button says: a task without a complete plan begins anew, as a whole."""
    return _("Retry the task") if task.planned_at is None else _("Retry failed and remaining")


def trail(task_id: UUID) -> list[formatting.Breadcrumb]:
    """Returns the steps from the list of tasks to a task, for pages of what belongs to it."""
    return [
        formatting.Breadcrumb(TASKS, formatting.admin_url("collectiontask")),
        formatting.Breadcrumb(formatting.short_id(task_id), formatting.task_url(task_id)),
    ]


def items_url(task: CollectionTask, **query: Any) -> str:
    """Returns the address of the task's items, filtered by the query."""
    return formatting.admin_url("collectionitem", **{TASK_PARAMETER: task.pk, **query})


def start_again_url(task: CollectionTask) -> str:
    """Returns the address of the start form, filled in as for this task."""
    return f"{reverse(START)}?{urlencode({'from': task.pk})}"
