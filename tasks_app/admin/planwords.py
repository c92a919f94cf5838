"""A plan in words: how it stands, when it runs, what came of it."""

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from tasks_app.admin.common import formatting
from tasks_app.admin.tasks import columns
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.models import CollectionPlan
from tasks_app.models.plans import Rhythm


def state(plan: CollectionPlan) -> SafeString:
    """On, off, or waiting for another task to end."""
    if not plan.enabled:
        return formatting.status_badge("cancelled", _("off"))
    if plan.waiting_since:
        return formatting.status_badge("pending", _("waits its turn"))
    return formatting.status_badge("completed", _("on"))


def rhythm(plan: CollectionPlan) -> SafeString:
    """How often, and when in which time zone."""
    often = plan.get_weekday_display() if plan.rhythm == Rhythm.WEEKLY else plan.get_rhythm_display()
    return formatting.two_lines(f"{often}, {plan.at:%H:%M}", MARKET_TIME_ZONES[plan.market])


def result(plan: CollectionPlan) -> SafeString | str:
    """The last task and how it stands, or why none was started."""
    if plan.error_code:
        return formatting.two_lines(formatting.status_badge("failed", _("refused")), plan.error_message)
    if plan.last_task is None:
        return formatting.deleted_task(plan.last_task_id) if plan.last_task_id else formatting.EMPTY
    return formatting.two_lines(columns.label(plan.last_task), formatting.task_link(plan.last_task.pk))


def scope(plan: CollectionPlan) -> SafeString:
    """Market, source and how many days."""
    span = _("the last %(days)s days") % {"days": formatting.number(plan.days)}
    return formatting.two_lines(f"{plan.market} · {plan.source}", span)
