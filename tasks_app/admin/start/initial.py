"""What the start form holds before anybody fills it in, and its presets of days."""

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from tasks_app.admin.access.permissions import VIEW_TASKS
from tasks_app.admin.start.forms import values_from_order
from tasks_app.conf import MARKETS
from tasks_app.models import CollectionTask
from tasks_app.orders import code_lists, order
from tasks_app.orders.order import Order
from tasks_app.sources import registry

# About when each market's electronic records begin: Shanghai's first session, Hong Kong's one exchange.
FIRST_DAYS = {"CN": date(1990, 12, 19), "HK": date(1986, 4, 2), "US": date(1970, 1, 2)}


def initial_values(request: HttpRequest) -> dict[str, Any]:
    """By `?from=<task>`: its parameters again. Else like the newest task, for the last year.

    `?market=`, `?source=` and `?codes=` go before that. The first collection of a site is of all days.
    """
    again = _task(request)
    if again:
        return values_from_order(
            replace(order.order_from_task(again), stock_codes=tuple(again.stock_codes or ()) or None)
        )
    newest = CollectionTask.objects.order_by("-start_time", "-id").first()
    market, source = _route(request, newest)
    span = {preset["name"]: preset for preset in presets(market)}["1y" if newest else "all"]
    codes = tuple(code_lists.split_codes(request.GET.get("codes", ""))[: order.MAX_CODES])
    adjust = newest.adjust if newest and newest.source == source else ""
    return values_from_order(Order(span["start"], span["end"], codes or None, market, source, adjust))


def presets(market: str) -> list[dict[str, Any]]:
    """The ranges of days to choose from, up to today."""
    today = timezone.localdate()
    spans = (
        ("1y", _("Last year"), _years_before(today, 1)),
        ("5y", _("Five years"), _years_before(today, 5)),
        ("all", _("All"), FIRST_DAYS.get(market, FIRST_DAYS["CN"])),
    )
    return [{"name": name, "title": title, "start": start, "end": today} for name, title, start in spans]


def apply_preset(posted: QueryDict) -> QueryDict:
    """What was posted, with the days of the preset that was pressed, if one was."""
    data = posted.copy()
    for preset in presets(data.get("market", "")):
        if preset["name"] == data.get("preset"):
            data["start_date"], data["end_date"] = preset["start"].isoformat(), preset["end"].isoformat()
    return data


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)


def _task(request: HttpRequest) -> CollectionTask | None:
    """The task of `?from=`, for those who may see tasks."""
    try:
        asked = UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    if not request.user.has_perm(VIEW_TASKS):
        return None
    return CollectionTask.objects.filter(pk=asked).first()


def _route(request: HttpRequest, newest: CollectionTask | None) -> tuple[str, str]:
    """Market and source to begin with: those asked for, else those of the newest task, else the default."""
    conf = settings.COLLECTOR
    sources = registry.available(conf)
    market, source = request.GET.get("market", ""), request.GET.get("source", "")
    if not source and newest and market in ("", newest.market):
        market, source = newest.market, newest.source
    if source not in sources:
        source = (registry.choose_source(market, conf) if market in MARKETS else None) or conf.default_source
    served = sources[source].markets
    if market in served:
        return market, source
    return ("CN" if "CN" in served and market not in MARKETS else served[0]), source
