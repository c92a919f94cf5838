"""What a task's comparison with its second source found, in one sentence."""

from django.utils.translation import gettext as _, ngettext

from tasks_app.models import CollectionTask
from tasks_app.orders.order import WHOLE


def describe_comparison(task: CollectionTask) -> str:
    """Returns the comparison as text: "3 of 52,192 bars differ from baostock"; "" without one."""
    if not task.verify_with:
        return ""
    text = ngettext(
        "%(differing)s of %(compared)s bar differs from %(source)s",
        "%(differing)s of %(compared)s bars differ from %(source)s",
        task.compared_count,
    )
    sentence = text % {
        "differing": f"{task.differing_count:,}",
        "compared": f"{task.compared_count:,}",
        "source": task.verify_with,
    }
    if task.verify_sample < WHOLE:
        sentence += _(", in a sample of %(percent)s%%") % {"percent": task.verify_sample}
    if task.uncompared_count:
        text = ngettext(
            ", %(count)s stock not compared", ", %(count)s stocks not compared", task.uncompared_count
        )
        sentence += text % {"count": f"{task.uncompared_count:,}"}
    if task.skipped_count and not task.force_update:
        sentence += _("; bars that were stored before are not compared")
    return sentence
