"""The start page's context: the sources and their abilities, the estimate, the running task."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors, lifecycle, time_zones
from tasks_app.admin.access.permissions import VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.sources import descriptions
from tasks_app.admin.start import initial
from tasks_app.admin.start.forms import MODES, OrderForm
from tasks_app.admin.tasks import columns
from tasks_app.lifecycle import durations
from tasks_app.market import benchmarks
from tasks_app.market.calendars import Calendar, load_calendars
from tasks_app.market.codes import name_codes
from tasks_app.models import Stock
from tasks_app.models.quotes import Adjust, Market, short_name
from tasks_app.orders import code_lists, forecasts
from tasks_app.reasons import sanitize_message
from tasks_app.sentences import join_sentences, list_words
from tasks_app.sources import registry
from tasks_app.throttle import source_list, status
from tasks_app.throttle.source_list import SourceEntry
from tasks_app.throttle.status import LimiterStatus


def build_start_context(request: HttpRequest, form: OrderForm) -> dict[str, Any]:
    title = _("Start a collection")
    market = form["market"].value() or ""
    posted = {name: value for name, value in form.initial.items() if name not in MODES or value}
    bound = form if form.is_bound else OrderForm(posted)  # a browser does not post an unticked box
    return {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(columns.TASKS, formatting.admin_url("collectiontask")), Breadcrumb(title)],
        "form": form,
        "date_fields": [form["start_date"], form["end_date"]],
        "mode_fields": [form[name] for name in (*MODES, "queue")],
        "sources": _sources(form),
        "presets": initial.presets(market, form["source"].value() or ""),
        "benchmarks": [
            (one.code, benchmarks.display_name(one))
            for one in benchmarks.of_market(Market.CN)
            if one.is_common
        ],
        "has_list": Stock.objects.filter(market=market).exists(),
        "limit_kb": code_lists.MAX_BYTES // 1000,
        **build_estimate_context(request, bound),
    }


def build_estimate_context(request: HttpRequest, form: OrderForm) -> dict[str, Any]:
    """Returns the estimate for the form, or the form's errors; and the running task, if any."""
    running = lifecycle.get_running_task()
    context: dict[str, Any] = {
        "running": running,
        "queues": bool(form["queue"].value()),
        "running_line": running and request.user.has_perm(VIEW_TASKS) and columns.summary_line(running),
    }
    if not form.is_valid():
        return {**context, "problems": [message for messages in form.errors.values() for message in messages]}
    try:
        forecast = forecasts.forecast(form.order, settings.COLLECTOR)
    except errors.OrderError as error:
        return {**context, "problems": [str(error)]}
    estimate = forecast.estimate
    return {
        **context,
        "estimate": estimate,
        "forecast": forecasts.describe(forecast),
        "stocks": "" if estimate.stocks is None else formatting.number(estimate.stocks),
        "requests": "" if estimate.requests is None else formatting.number(estimate.requests),
        "adjustments": formatting.number(estimate.adjustments) if estimate.adjustments else "",
        "by_day": formatting.number(estimate.by_day) if estimate.by_day else "",
        "duration": durations.format_estimate(estimate.low, estimate.high),
        "limit": descriptions.describe_limits(estimate.limits),
        "limits_off": descriptions.explain_limits_off()
        if descriptions.are_limits_off(form.order.source)
        else "",
        "unknown_codes": describe_unknown_codes(estimate.unknown) if estimate.unknown else "",
        "fallbacks": ", ".join(form.order.fallbacks or ()),
        "verify_with": form.order.verify_with,
        "verify_sample": formatting.percent(form.order.verify_sample, 0),
    }


def describe_unknown_codes(unknown: Sequence[str]) -> str:
    """Returns which codes are left out; only the first ten are named."""
    text = ngettext(
        "%(count)s code is unknown in this market and left out: %(codes)s",
        "%(count)s codes are unknown in this market and left out: %(codes)s",
        len(unknown),
    )
    return text % {"count": formatting.number(len(unknown)), "codes": name_codes(unknown)}


def _sources(form: OrderForm) -> list[dict[str, Any]]:
    """Returns the sources as choices that say what they can do."""
    conf, selected = settings.COLLECTOR, form["source"].value()
    limiters = {limiter.source: limiter for limiter in status.all_statuses()}
    calendars = load_calendars()
    return [
        {
            "name": name,
            "markets": source.markets,
            "adjusts": source.adjusts,
            "kinds": registry.traits(name, conf).kinds,
            "kind_markets": registry.traits(name, conf).kind_markets,
            "market_names": list_words(map(short_name, source.markets)),
            "adjust_names": list_words(Adjust(adjust).label for adjust in source.adjusts),
            **_describe(source_list.describe(name, conf), limiters[name], calendars),
            "is_unusable": bool(source_list.why_unusable(name, conf)),
            "problem": _describe_problem(limiters[name]),
            "is_synthetic": registry.traits(name, conf).is_synthetic,
            "checked": name == selected,
        }
        for name, source in registry.available(conf).items()
    ]


def _describe(
    entry: SourceEntry, limiter: LimiterStatus, calendars: Mapping[str, Calendar]
) -> dict[str, str]:
    """Returns what the source has, of which days, how fast it may be asked, and what is left of its day."""
    speed, left = descriptions.describe_speed(entry), descriptions.describe_allowance(entry, limiter)
    return {
        "capabilities": descriptions.capability_names(entry),
        "days": descriptions.describe_days(entry, calendars),
        "limits": descriptions.limits_in_force(entry),
        "speed": list_words(filter(None, (speed, left)), clauses=True),
    }


def _describe_problem(limiter: LimiterStatus) -> str:
    """Returns why the source can't be used now; "" if it can."""
    if reason := source_list.why_unusable(limiter.source, settings.COLLECTOR):
        return join_sentences(_("Can't be used."), sanitize_message(reason))
    if limiter.refusal_code:
        return _("It refused every request: %(reason)s A new task asks it once more.") % {
            "reason": limiter.reason
        }
    if limiter.paused_until is None:
        return ""
    until = time_zones.write(limiter.paused_until, seconds=True)
    return _("Paused until %(time)s: %(reason)s") % {"time": until, "reason": limiter.reason}
