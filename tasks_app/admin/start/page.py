"""What the start page shows: the sources and what they can do, what the order would mean, what runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors
from tasks_app.admin.access.permissions import VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.start import initial
from tasks_app.admin.start.forms import MODES, OrderForm
from tasks_app.admin.tasks import columns
from tasks_app.lifecycle import durations, selectors
from tasks_app.models import Stock
from tasks_app.models.quotes import Adjust
from tasks_app.orders import code_lists, estimates
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle import status
from tasks_app.throttle.status import LimiterStatus

NAMED = 10


def build_start_context(request: HttpRequest, form: OrderForm) -> dict[str, Any]:
    """The context of the page."""
    title = _("Start a collection")
    market = form["market"].value() or ""
    filled_in = form if form.is_bound else OrderForm(_as_posted(form.initial))
    return {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(columns.TASKS, formatting.admin_url("collectiontask")), Breadcrumb(title)],
        "form": form,
        "sources": _sources(form),
        "presets": initial.presets(market),
        "first_days": initial.FIRST_DAYS,
        "has_list": Stock.objects.filter(market=market).exists(),
        "limit_kb": code_lists.MAX_BYTES // 1000,
        **build_estimate_context(request, filled_in),
    }


def build_estimate_context(request: HttpRequest, form: OrderForm) -> dict[str, Any]:
    """What the form would mean, or what is still in its way; and what runs already."""
    running = selectors.get_running_task()
    may_look = request.user.has_perm(VIEW_TASKS)
    shown: dict[str, Any] = {
        "running": running,
        "running_line": running and may_look and columns.summary_line(running),
    }
    if not form.is_valid():
        return {**shown, "problems": [problem for found in form.errors.values() for problem in found]}
    try:
        words = _words(estimates.estimate(form.order, settings.COLLECTOR))
        return {**shown, **words, "fallbacks": ", ".join(form.order.fallbacks or ())}
    except errors.OrderError as error:
        return {**shown, "problems": [str(error)]}


def describe_unknown_codes(unknown: Sequence[str]) -> str:
    """Which codes are not collected, the first ten by name."""
    codes = ", ".join(unknown[:NAMED]) + (", …" if len(unknown) > NAMED else "")
    text = ngettext(
        "%(count)s code is unknown in this market and left out: %(codes)s",
        "%(count)s codes are unknown in this market and left out: %(codes)s",
        len(unknown),
    )
    return text % {"count": formatting.number(len(unknown)), "codes": codes}


def _words(estimate: estimates.Estimate) -> dict[str, Any]:
    return {
        "estimate": estimate,
        "stocks": "" if estimate.stocks is None else formatting.number(estimate.stocks),
        "requests": "" if estimate.requests is None else formatting.number(estimate.requests),
        "duration": durations.format_estimate(estimate.low, estimate.high),
        "limit": describe_limits(estimate.limits),
        "left_out": describe_unknown_codes(estimate.unknown) if estimate.unknown else "",
    }


def _sources(form: OrderForm) -> list[dict[str, Any]]:
    """The sources as choices that say what they can do."""
    conf, chosen = settings.COLLECTOR, form["source"].value()
    pauses = {gate.source: _pause(gate) for gate in status.all_statuses() if gate.is_blocked}
    return [
        {
            "name": name,
            "markets": source.markets,
            "adjusts": source.adjusts,
            "adjust_names": [Adjust(adjust).label for adjust in source.adjusts],
            "rate": describe_limits(registry.limits(name, conf)),
            "pause": pauses.get(name, ""),
            "made_up": registry.traits(name, conf).is_synthetic,
            "checked": name == chosen,
        }
        for name, source in registry.available(conf).items()
    ]


def _pause(gate: LimiterStatus) -> str:
    until = f"{timezone.localtime(gate.paused_until):%Y-%m-%d %H:%M:%S}"
    return _("Paused until %(time)s: %(reason)s") % {"time": until, "reason": gate.reason}


def describe_limits(limits: Limits) -> str:
    """How often the source is asked at most, in words; "" for no limit."""
    parts = [_rate(limits.rate)] if limits.rate else []
    if limits.daily:
        parts.append(_("%(count)s a day") % {"count": formatting.number(limits.daily)})
    return ", ".join(parts)


def _rate(per_second: float) -> str:
    if per_second >= 1:
        return _("%(count)s requests per second") % {"count": f"{per_second:g}"}
    return _("a request every %(seconds)s s") % {"seconds": f"{1 / per_second:g}"}


def _as_posted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Initial values as if they had been posted: an unticked box is absent."""
    return {name: value for name, value in values.items() if name not in MODES or value}
