"""The start form's initial values and its presets of dates."""

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from tasks_app.admin.access.permissions import VIEW_TARGETS, VIEW_TASKS
from tasks_app.admin.start.forms import values_from_order
from tasks_app.conf import ADJUSTS, ALL_MARKETS, SYNTHETIC_MARKET
from tasks_app.errors import TargetNotFound
from tasks_app.market import benchmarks
from tasks_app.models import CollectionTask
from tasks_app.orders import code_lists, order
from tasks_app.orders.order import Order
from tasks_app.sources import registry
from tasks_app.targets.selectors import get_target
from tasks_app.targets.shortfall import read_shortfall

# About when each market's electronic records begin, such as the first session of Shanghai's exchange.
FIRST_DAYS = {
    "CN": date(1990, 12, 19),
    "HK": date(1986, 4, 2),
    "US": date(1970, 1, 2),
    SYNTHETIC_MARKET: date(1990, 12, 19),
}


def initial_values(request: HttpRequest) -> dict[str, Any]:
    """Returns the parameters of the task in `?from=`, else those of the newest task for the last year.

    With `?target=` and `?session=` those that collect what the session lacks.

    `?market=`, `?source=`, `?codes=` and `?adjust=` override the newest task's, `?start_date=` with
    `?end_date=` its days. The first collection is of all days, and so is every one of a source whose data do
    not go on.
    """
    if earlier := _earlier_task(request):
        codes = tuple(earlier.stock_codes or ()) or None
        values = values_from_order(replace(order.order_from_task(earlier), stock_codes=codes))
        return values | {"priority": earlier.priority_name}
    if missing := _missing_of_target(request):
        return values_from_order(missing)
    newest = CollectionTask.objects.order_by("-start_time", "-id").first()
    market, source = _market_and_source(request, newest)
    is_whole = newest is None or source in _ended_sources(timezone.localdate())
    preset = {preset["name"]: preset for preset in presets(market, source)}["all" if is_whole else "1y"]
    codes = tuple(code_lists.split_codes(request.GET.get("codes", ""))[: order.MAX_CODES]) or None
    adjust = newest.adjust if newest and newest.source == source else ""
    if request.GET.get("adjust") in ADJUSTS:
        adjust = request.GET["adjust"]
    start, end = _requested_days(request) or (preset["start"], preset["end"])
    return values_from_order(Order(start, end, codes, market, source, adjust))


def presets(market: str, source: str = "") -> list[dict[str, Any]]:
    """Returns the ranges of dates to choose from: `start` and `end` of this market and source.

    For the page's script also `starts` by market, which go up to `today`, and `of_sources`: the ranges of
    sources whose data do not go on, which end at their last day.
    """
    today = timezone.localdate()
    ended = _ended_sources(today)
    found = []
    for name, title, years in (("1y", _("Last year"), 1), ("5y", _("Five years"), 5), ("all", _("All"), 0)):
        starts = dict.fromkeys(FIRST_DAYS, _years_before(today, years)) if years else FIRST_DAYS
        of_sources = {
            one: (max(first, _years_before(last, years)) if years else first, last)
            for one, (first, last) in ended.items()
        }
        start, end = of_sources.get(source, (starts.get(market, starts["CN"]), today))
        found.append(
            {
                "name": name,
                "title": title,
                "starts": starts,
                "start": start,
                "end": end,
                "today": today,
                "of_sources": of_sources,
            }
        )
    return found


def _ended_sources(today: date) -> dict[str, tuple[date, date]]:
    """Returns the first and last day of the sources that have no bars of today, by name."""
    traits = {
        name: registry.traits(name, settings.COLLECTOR) for name in registry.available(settings.COLLECTOR)
    }
    return {
        name: (one.first_day or min(FIRST_DAYS.values()), one.last_day)
        for name, one in traits.items()
        if one.last_day and one.last_day < today
    }


def apply_preset(posted: QueryDict) -> QueryDict:
    """Returns the posted data with what the pressed button fills in: dates, or the codes of benchmarks."""
    data = posted.copy()
    if data.get("preset") == "benchmarks":
        codes = code_lists.split_codes(data.get("stock_codes", ""))
        codes += [one.code for one in benchmarks.of_market(data.get("market", "")) if one.is_common]
        data["stock_codes"], data["scope"] = " ".join(dict.fromkeys(codes)), "some"
    for preset in presets(data.get("market", ""), data.get("source", "")):
        if preset["name"] == data.get("preset"):
            data["start_date"], data["end_date"] = preset["start"].isoformat(), preset["end"].isoformat()
    return data


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)


def _earlier_task(request: HttpRequest) -> CollectionTask | None:
    """Returns the task in `?from=`, for users who may view tasks."""
    try:
        task_id = UUID(request.GET.get("from", ""))
    except ValueError:
        return None
    if not request.user.has_perm(VIEW_TASKS):
        return None
    return CollectionTask.objects.filter(pk=task_id).first()


def _requested_days(request: HttpRequest) -> tuple[date, date] | None:
    """Returns the days in the address; None without both."""
    try:
        start, end = (date.fromisoformat(request.GET.get(name, "")) for name in ("start_date", "end_date"))
    except ValueError:
        return None
    return start, end


def _missing_of_target(request: HttpRequest) -> Order | None:
    """Returns the order for what the session in the address lacks, for users who may view targets."""
    try:
        day = date.fromisoformat(request.GET.get("session", ""))
        target = get_target(request.GET.get("target", ""))
    except (ValueError, TargetNotFound):
        return None
    row = target.sessions.select_related("target").filter(session=day).first()
    return read_shortfall(row).order if row and request.user.has_perm(VIEW_TARGETS) else None


def _market_and_source(request: HttpRequest, newest: CollectionTask | None) -> tuple[str, str]:
    """Returns the requested market and source, else the newest task's, else the defaults.

    Made-up quotes are never proposed unless the address names their source or their market. "" is a market's
    source where there is none.
    """
    conf = settings.COLLECTOR
    sources = registry.available(conf)
    market, source = request.GET.get("market", ""), request.GET.get("source", "")
    if newest and newest.market == SYNTHETIC_MARKET != market:
        newest = None
    if not source and newest and market in ("", newest.market):
        market, source = newest.market, newest.source
    if source not in sources:
        if market in ALL_MARKETS:
            return market, registry.choose_source(market, conf) or ""
        source = conf.default_source
    served = sources[source].markets
    if market in served:
        return market, source
    return ("CN" if "CN" in served and market not in ALL_MARKETS else served[0]), source
