"""What a source has, how fast it may be asked and up to which day, in words, for pages and forms."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from django.conf import settings
from django.utils.translation import gettext as _, ngettext, pgettext

from tasks_app import time_zones
from tasks_app.admin.common import formatting
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.lifecycle import durations
from tasks_app.market.calendars import Calendar
from tasks_app.models.quotes import short_name
from tasks_app.orders.estimates import least_seconds
from tasks_app.quotes.date_ranges import DAY
from tasks_app.quotes.trading_days import trading_days_for
from tasks_app.sentences import list_words
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tasks_app.throttle.source_list import SourceEntry
from tasks_app.throttle.status import LimiterStatus

SOME_STOCKS = 60  # by which the speed of a source is told


def capability_title(capability: str) -> str:
    """Returns what a request asks for, in words; `settings` and `session` are no requests."""
    names = {
        "list": _("stock list"),
        "bars": _("bars by stock"),
        "batch": _("many stocks at once"),
        "day": _("bars by day"),
        "factors": _("adjustment factors"),
        "actions": _("corporate actions"),
        "settings": _("settings"),
        "session": _("session"),
    }
    return names[capability]


def setting_title(name: str) -> str:
    """Returns the words for a setting of a built-in source; of another source's setting its name."""
    names = {
        "rate": pgettext("limit", "Rate"),
        "per_minute": _("Limit per minute"),
        "per_hour": _("Limit per hour"),
        "daily": _("Daily limit"),
        "token": _("Token"),
        "api_key": _("API key"),
        "address": _("Server"),
        "cookie": _("Browser cookie"),
        "user_agent": _("Browser User-Agent"),
    }
    return names.get(name, name)


def capability_names(entry: SourceEntry) -> str:
    """Returns what the source can be asked for, as a list in words."""
    return list_words(map(capability_title, entry.capabilities))


def are_limits_off(name: str) -> bool:
    """Returns whether the available source would have limits, were they not switched off."""
    conf = settings.COLLECTOR
    if not conf.no_throttle:
        return False
    return bool(describe_limits(registry.limits(name, replace(conf, no_throttle=False))))


def limits_in_force(entry: SourceEntry) -> str:
    """Returns how many requests the source is sent at most, or that nothing limits them, and why."""
    if are_limits_off(entry.name):
        return limits_off()
    return describe_limits(entry.limits) or _("no limit")


def limits_off() -> str:
    """Returns the words for a row. The pages name the variable once, see `explain_limits_off`."""
    return _("limits switched off")


def explain_limits_off() -> str:
    """Returns which variable has switched off the limits."""
    return _("limits switched off (%(variable)s)") % {"variable": "COLLECTOR_NO_THROTTLE"}


def describe_limits(limits: Limits) -> str:
    """Returns how many requests the source is sent at most, in words; "" for no limit."""
    parts = []
    if limits.rate >= 1:
        text = ngettext("%(count)s request per second", "%(count)s requests per second", round(limits.rate))
        parts.append(text % {"count": f"{limits.rate:g}"})
    elif limits.rate:
        parts.append(_("1 request every %(seconds)s s") % {"seconds": f"{1 / limits.rate:g}"})
    if limits.per_minute:
        parts.append(_("%(count)s a minute") % {"count": formatting.number(limits.per_minute)})
    if limits.per_hour:
        parts.append(_("%(count)s an hour") % {"count": formatting.number(limits.per_hour)})
    if limits.daily:
        parts.append(_("%(count)s a day") % {"count": formatting.number(limits.daily)})
    return list_words(parts, clauses=True)


def describe_speed(entry: SourceEntry) -> str:
    """Returns how long 60 stocks take at least, by the limits; "" without a limit that takes time."""
    traits = registry.traits(entry.name, settings.COLLECTOR)
    capability = "batch" if entry.batch_size > 1 else "bars"
    requests = math.ceil(SOME_STOCKS / entry.batch_size)
    seconds = least_seconds(requests, entry.limits, traits.cost(capability))
    if not seconds:
        return ""
    time = durations.format_estimate(timedelta(seconds=seconds), None)
    return _("%(count)d stocks: %(time)s") % {"count": SOME_STOCKS, "time": time}


def describe_allowance(entry: SourceEntry, status: LimiterStatus) -> str:
    """Returns how much of the day's quota is left, and when the day ends; "" without one."""
    if not entry.limits.daily:
        return ""
    left = formatting.number(max(entry.limits.daily - status.requests_today, 0))
    text = _("%(count)s left today (until 00:00 %(zone)s)")
    return text % {"count": left, "zone": time_zones.name_of(entry.limits.time_zone)}


def describe_days(entry: SourceEntry, calendars: Mapping[str, Calendar]) -> str:
    """Returns which days the source has: the first, if it declares one, and the newest that is due by now."""
    traits = registry.traits(entry.name, settings.COLLECTOR)
    parts = []
    if traits.first_day:
        parts.append(_("from %(day)s") % {"day": traits.first_day.isoformat()})
    if traits.last_day:
        parts.append(_("up to %(day)s") % {"day": traits.last_day.isoformat()})
    elif not traits.history_may_grow:  # of a folder of files nobody knows which days are due
        due = {market: newest_day(entry.name, calendars[market]).isoformat() for market in entry.markets}
        is_one_day = len(set(due.values())) == 1
        days = (
            due[entry.markets[0]]
            if is_one_day
            else list_words(f"{short_name(market)} {day}" for market, day in due.items())
        )
        parts.append(_("due up to %(day)s") % {"day": days})
    if entry.ready_at:
        zones = {MARKET_TIME_ZONES[market] for market in entry.markets}
        zone = time_zones.name_of(zones.pop()) if len(zones) == 1 else _("market time")
        parts.append(_("a day’s bars from %(time)s on (%(zone)s)") % {"time": entry.ready_at, "zone": zone})
    return list_words(parts, clauses=True)


def newest_day(source: str, calendar: Calendar) -> date:
    """Returns the newest session of which the source should have the bars by now."""
    days = trading_days_for(calendar.market, source, calendar)
    return days.expected_before(days.last_closed + DAY)
