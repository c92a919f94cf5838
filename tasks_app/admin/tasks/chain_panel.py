"""The chain of a task on its page: its parts, the progress of the whole run, and how the rest goes on."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app.admin.common import formatting
from tasks_app.admin.tasks import columns
from tasks_app.lifecycle import chains, order_queue, selectors, yielding
from tasks_app.lifecycle.chains import Chain
from tasks_app.models import CollectionTask
from tasks_app.models.queued_orders import QueuedOrderState

MAX_PARTS = 20


def build_chain_context(task: CollectionTask) -> dict[str, Any]:
    """Returns the context of the chain's template; no query for a task that belongs to none."""
    chain = chains.chains_of([task]).get(task.pk)
    if chain is None:
        return {"chain": None}
    parts = chains.parts_of(task).defer(*selectors.HEAVY_COLUMNS).order_by("-start_time", "-pk")[:MAX_PARTS]
    total = max(1, chain.total)
    return {
        "chain": {
            "sentence": progress_sentence(chain),
            "bar": {
                "succeeded": 1000 * chain.completed // total,
                "failed": -(-1000 * chain.failed // total),
            },
            "parts": [columns.summary_line(part) for part in reversed(parts)],
            "rest": describe_rest(task, chain),
            "continued_by": chain.continued_by,
        }
    }


def progress_sentence(chain: Chain) -> str:
    """Returns the progress of the whole run as text."""
    return formatting.stocks_done(chain.processed, chain.total, chain.percent, chain.failed)


def describe_rest(task: CollectionTask, chain: Chain) -> SafeString | str:
    """Returns how what a yielded task left goes on, with links; "" for one that has not yielded."""
    if not task.has_yielded:
        return ""
    if chain.continued_by:
        text = _("It goes on as task {}.") if chain.is_continuing else _("It was continued as task {}.")
        return format_html(text, formatting.task_link(chain.continued_by))
    order = chains.queued_rest(task)
    if order is None:
        return _("It does not go on: its order has left the queue.")
    link = formatting.link(formatting.admin_url("queuedorder", "change", order.pk), f"#{order.pk}")
    if order.state == QueuedOrderState.WAITING:
        text = _("It waits in the queue as order {}, at position {}, and starts by itself.")
        return format_html(text, link, order_queue.position_of(order) or formatting.EMPTY)
    if order.state == QueuedOrderState.WITHDRAWN:
        return format_html(_("It does not go on: the order {} was withdrawn from the queue."), link)
    return format_html(_("It does not go on: the order {} was refused. {}"), link, order.error_message)


def yield_sentence(task: CollectionTask) -> str:
    """Returns for which plan a running task yields; "" for one that does not."""
    if task.yielding_at is None:
        return ""
    return _("It is yielding to the plan “%(plan)s”") % {"plan": task.yields_to_name}


def describe_wait(task: CollectionTask) -> str:
    """Returns what a yielding task still waits for, and what follows."""
    held = yielding.count_held(task.pk)
    text = ngettext(
        "No further stock begins; %(count)s is under way. What is left goes on by itself after the plan.",
        "No further stock begins; %(count)s are under way. What is left goes on by itself after the plan.",
        held,
    )
    return text % {"count": formatting.number(held)}
