"""Columns of a plan: in its list, on its page and on the overview."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import time_zones
from tasks_app.admin.common import formatting
from tasks_app.admin.tasks import columns
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market import synthetic
from tasks_app.models import CollectionPlan
from tasks_app.models.plans import Rhythm
from tasks_app.models.priorities import Priority
from tasks_app.models.quotes import InstrumentKind
from tasks_app.orders import plan_steps, plans
from tasks_app.sentences import join_sentences, list_words

SWITCH_FORM = "plan-switch"  # it follows the list: a form within the list's own is none


def state(plan: CollectionPlan) -> SafeString:
    """Returns a badge: on, off, or waiting for another task to end."""
    if not plan.enabled:
        return formatting.status_badge("cancelled", _("off"))
    if plan.waiting_since:
        return formatting.status_badge("pending", _("waiting for another task"))
    return formatting.badge("good", "check_circle", _("on"))


def state_and_problem(plan: CollectionPlan) -> SafeString:
    """Returns the state, and below it why the plan is not valid any more."""
    problem = plan_steps.find_problem(plan)
    return formatting.two_lines(state(plan), invalid_badge(problem)) if problem else state(plan)


def invalid_badge(problem: str) -> SafeString:
    """Returns why a plan can't run as it is, as a badge with a sentence."""
    text = join_sentences(_("Not valid any more."), problem)
    return format_html('<span class="pl-problem">{}</span>', formatting.badge("bad", "error", text))


def scope(plan: CollectionPlan) -> SafeString:
    """Returns market, source and number of days, and of stocks if it names them."""
    what = ngettext("the last day", "the last %(days)s days", plan.days) % {
        "days": formatting.number(plan.days)
    }
    if codes := plan.stock_codes:
        stocks = ngettext("%(count)s stock", "%(count)s stocks", len(codes))
        what += f" · {stocks % {'count': formatting.number(len(codes))}}"
    kind = "" if plan.kind == InstrumentKind.STOCK else f" · {plan.get_kind_display()}"
    return formatting.two_lines(f"{synthetic.mark(plan.market)}{kind} · {plan.source}", what)


def schedule(plan: CollectionPlan) -> SafeString:
    """Returns how often it runs, at what time of day, and in which time zone."""
    often = plan.get_weekday_display() if plan.rhythm == Rhythm.WEEKLY else plan.get_rhythm_display()
    zone = time_zones.name_of(MARKET_TIME_ZONES[plan.market])
    if plan.priority != Priority.NORMAL:
        zone += f" · {_('priority')}: {plan.get_priority_display()}"
    return formatting.two_lines(list_words([often, f"{plan.at:%H:%M}"], clauses=True), zone)


def next_runs(plan: CollectionPlan) -> SafeString | str:
    """Returns when it runs next, in the market's time zone and from now, and the runs after it on demand."""
    now = timezone.now()
    runs = [run_time(run, plan.market, now) for run in plans.following_runs(plan, now)]
    if not runs:
        return formatting.EMPTY
    lines = format_html_join("", "<li>{}</li>", ((run,) for run in runs[1:]))
    return format_html(
        '{}<details class="pl-more"><summary>{}</summary><ol>{}</ol></details>', runs[0], _("then"), lines
    )


def run_time(at: datetime, market: str, now: datetime) -> SafeString:
    """Returns a time of day in the market's time zone, and how far it is from now."""
    local = at.astimezone(ZoneInfo(MARKET_TIME_ZONES[market]))
    time = format_html(
        '<time datetime="{}" title="{}" class="sc-nowrap">{}</time>',
        local.isoformat(),
        MARKET_TIME_ZONES[market],
        f"{local:%Y-%m-%d %H:%M}",
    )
    return formatting.two_lines(time, formatting.time_until(at, now))


def run_button(plan: CollectionPlan) -> SafeString:
    """Returns the link to the page that asks whether to run the plan now."""
    address = formatting.admin_url("collectionplan", "run", plan.pk)
    text = _("Run now")
    label = _verb_label(text, plan)
    return format_html(
        '<a href="{}" class="pl-button" title="{}" aria-label="{}">{}{}</a>',
        *(address, label, label, formatting.icon("play_arrow"), text),
    )


def switch_button(plan: CollectionPlan) -> SafeString:
    """Returns the button that switches the plan on or off, by the form that follows the list."""
    text, value = (_("Switch off"), 0) if plan.enabled else (_("Switch on"), 1)
    label = _verb_label(text, plan)
    return format_html(
        '<button type="submit" form="{}" formaction="{}" name="enabled" value="{}"'
        ' class="pl-button" title="{}" aria-label="{}">{}{}</button>',
        *(SWITCH_FORM, formatting.admin_url("collectionplan", "switch", plan.pk), value),
        *(label, label, formatting.icon("toggle_on" if plan.enabled else "toggle_off"), text),
    )


def _verb_label(text: str, plan: CollectionPlan) -> str:
    """Returns the name of a verb's button: it begins with what is written on the button."""
    return _("%(verb)s: %(name)s") % {"verb": text, "name": plan.name}


def last_result(plan: CollectionPlan) -> SafeString | str:
    """Returns the last task and its status, or why none was started."""
    if plan.error_code:
        return formatting.two_lines(formatting.status_badge("failed", _("not started")), plan.error_message)
    if plan.last_task is None:
        return formatting.deleted_task(plan.last_task_id) if plan.last_task_id else formatting.EMPTY
    return formatting.two_lines(columns.status_label(plan.last_task), formatting.task_link(plan.last_task.pk))
