"""A marked area: which days are missing in it, what collecting them would cost, and the order for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _, ngettext

from tasks_app.admin.common import formatting
from tasks_app.lifecycle import durations
from tasks_app.market.codes import read_codes
from tasks_app.orders import estimates, order as orders
from tasks_app.orders.order import Order
from tasks_app.quotes import heat_map
from tasks_app.quotes.heat_map import Listed, MissingDays, Months


@dataclass(frozen=True)
class Area:
    """The marked stocks, of them those with `missing` days, and the order of these; None without any.

    The order has one range of days for all: a stock is asked for its own missing days only, as long as
    nothing is forced.
    """

    stocks: int
    missing: Sequence[MissingDays]
    order: Order | None

    @property
    def sessions(self) -> int:
        return sum(one.sessions for one in self.missing)


def find_area(data: dict[str, Any]) -> Area:
    """Returns the area of a valid form's data. Raises `OrderError`, as for codes that are none."""
    market, adjust = data["market"], data["adjust"]
    stocks = _marked(market, data["boards"], data["codes"])
    missing = heat_map.missing_days(market, adjust, stocks, Months(market, data["since"], data["until"]))
    if not missing:
        return Area(len(stocks), missing, None)
    order = Order(
        start_date=min(one.first for one in missing),
        end_date=max(one.last for one in missing),
        stock_codes=tuple(one.code for one in missing),
        market=market,
        source=data["source"],
        adjust=adjust,
    )
    resolved = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
    orders.require_market(order, resolved)
    return Area(len(stocks), missing, resolved)


def _marked(market: str, boards: Sequence[str], codes: Sequence[str]) -> list[Listed]:
    if codes:
        known = heat_map.stocks_of(market, codes=(wanted := read_codes(market, codes)))
        found = {one.code for one in known}
        return [*known, *(Listed(code, "", "stock", "", None, None) for code in wanted if code not in found)]
    stocks = heat_map.stocks_of(market)
    return [one for one in stocks if not boards or heat_map.board(market, one) in boards]


def describe(area: Area) -> dict[str, Any]:
    """Returns the area's numbers in words. Raises `OrderError`."""
    if area.order is None:
        return {"nothing": _("Nothing is missing here that a source has not answered already.")}
    estimate = estimates.estimate(area.order, settings.COLLECTOR)
    stocks = ngettext("%(count)s stock", "%(count)s stocks", len(area.missing))
    days = ngettext("%(count)s day missing", "%(count)s days missing", area.sessions)
    parts = [
        stocks % {"count": formatting.number(len(area.missing))},
        days % {"count": formatting.number(area.sessions)},
    ]
    if estimate.requests is not None:
        requests = ngettext("at most %(count)s request", "at most %(count)s requests", estimate.requests)
        parts.append(requests % {"count": formatting.number(estimate.requests)})
    parts.append(durations.format_estimate(estimate.low, estimate.high) or _("duration unknown"))
    return {
        "sentence": _(", ").join(parts),
        "days": formatting.date_range(area.order.start_date, area.order.end_date),
        "source": area.order.source,
        "left": area.stocks - len(area.missing),
    }
