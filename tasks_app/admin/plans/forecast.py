"""What a plan would take if it started now, as its page shows it: as it is saved, or as the form has it."""

from collections.abc import Iterable

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.admin.common import formatting
from tasks_app.db.functions import database_now
from tasks_app.lifecycle import durations
from tasks_app.models import CollectionPlan
from tasks_app.orders import forecasts, order as orders, plans
from tasks_app.orders.forecasts import Forecast
from tasks_app.sentences import join_sentences


def describe(plan: CollectionPlan) -> SafeString:
    """Returns what the plan would take, in lines, or why it could not start."""
    order = plans.build_order(plan, database_now())
    try:
        resolved = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
        return _lines(_figures(forecasts.forecast(resolved, settings.COLLECTOR)))
    except errors.OrderError as error:
        return describe_problems([str(error)])


def describe_problems(problems: Iterable[str]) -> SafeString:
    """Returns why the plan could not start, in lines."""
    return _lines(formatting.badge("bad", "error", problem) for problem in problems)


def updating(plan: CollectionPlan) -> SafeString:
    """Returns the forecast of the plan, which follows what is entered into the form."""
    return format_html(
        '<div hx-post="{}" hx-trigger="load, input delay:400ms from:closest form" hx-include="closest form"'
        ' hx-sync="this:replace" aria-live="polite">{}</div>',
        reverse("admin:plan_forecast"),
        describe(plan) if plan.pk else "",
    )


def _figures(found: Forecast) -> list[str]:
    unknown, estimate = _("unknown"), found.estimate
    if estimate.stocks is None and estimate.requests is None and estimate.low is None:
        text = _("Unknown until the stock list of this market has been read.")
        return [text, *forecasts.describe(found)]
    requests = _("at most %(requests)s") % {"requests": formatting.number(estimate.requests)}
    figures = {
        _("Stocks:"): unknown if estimate.stocks is None else formatting.number(estimate.stocks),
        _("Requests:"): unknown if estimate.requests is None else requests,
        _("Duration:"): durations.format_estimate(estimate.low, estimate.high) or unknown,
    }
    return [*(join_sentences(name, value) for name, value in figures.items()), *forecasts.describe(found)]


def _lines(lines: Iterable[str]) -> SafeString:
    return format_html_join(mark_safe("<br>"), "{}", ((line,) for line in lines))
