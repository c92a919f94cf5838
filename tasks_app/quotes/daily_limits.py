"""Price limits and special treatment per day: as the source told them, else by the board's rules, on read.

Computed limits are marked as such, and absent where the rules do not tell them for certain
(`market.price_limits.LimitRules`). They belong to unadjusted prices.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from typing import Any

from tasks_app.history.versions import Moment, known_bars, known_rows
from tasks_app.market.calendars import Calendar, load_calendar
from tasks_app.market.price_limits import DayPrices, LimitRules, limit_rules_for
from tasks_app.models import DailyBar, Series, Stock
from tasks_app.models.quotes import Adjust, Market

SOURCE, COMPUTED, NAMES = "source", "computed", "names"
UP, DOWN = "up", "down"
COLUMNS = ("is_st", "st_from", "limit_up", "limit_down", "limits_from", "at_limit")
_NAMES = (
    *("market", "adjust", "day", "high", "low", "close", "prev_close"),
    *("is_st", "limit_up", "limit_down"),
)


class DailyLimits:
    """Adds `COLUMNS` to rows; it looks up the rules of each code once, as they were known at the moment."""

    def __init__(self, moment: Moment | None = None) -> None:
        self.moment = moment
        self._rules: dict[tuple[str, str], LimitRules | None] = {}

    @cached_property
    def _calendar(self) -> Calendar:
        return load_calendar(Market.CN, self.moment)

    def add(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yields rows of stored bars with the columns added.

        Rows are dicts with a bar's columns, `code` for its symbol.
        """
        for row in rows:
            yield {**row, **self.of(row)}

    def load(self, keys: Iterable[tuple[str, str]]) -> "DailyLimits":
        """Looks the rules of many markets' codes up at once, in three queries."""
        codes = {code for market, code in keys if market == Market.CN}
        stocks, first_bars = self._present(codes) if self.moment is None else self._known(codes, self.moment)
        for code in codes:
            rules = limit_rules_for(Market.CN, code, stocks.get(code), first_bars.get(code), self._calendar)
            self._rules[Market.CN.value, code] = rules
        return self

    def _present(self, codes: set[str]) -> tuple[dict[str, Stock], dict[str, date | None]]:
        stored = Series.objects.filter(market=Market.CN, adjust=Adjust.NONE, symbol__in=codes)
        stocks = Stock.objects.filter(market=Market.CN, code__in=codes)
        return {stock.code: stock for stock in stocks}, dict(stored.values_list("symbol", "first_day"))

    def _known(self, codes: set[str], moment: Moment) -> tuple[dict[str, Stock], dict[str, date | None]]:
        stocks: dict[str, Stock] = {}
        first_bars: dict[str, date | None] = {}
        for code in codes:
            stocks |= {stock.code: stock for stock in known_rows(Stock, moment, Market.CN.value, code)}
            bars = known_bars(Market.CN.value, code, Adjust.NONE.value, moment)
            first_bars[code] = bars[0]["day"] if bars else None
        return stocks, first_bars

    def of_bar(self, bar: DailyBar) -> dict[str, Any]:
        """Returns the columns of a stored bar, whose prices must be as they are stored."""
        return self.of({**{name: getattr(bar, name) for name in _NAMES}, "code": bar.symbol})

    def of(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns the columns of one row."""
        rules = self.rules_of(row["market"], row["code"])
        told, is_st, st_from = row["is_st"], row["is_st"], SOURCE
        if told is None and rules is not None:
            is_st, st_from = rules.names.is_st(row["day"]), NAMES
        up, down, limits_from = row["limit_up"], row["limit_down"], SOURCE
        if up is None and down is None and row["adjust"] == Adjust.NONE and rules is not None:
            prices = DayPrices(row["day"], row["high"], row["low"], row["prev_close"], told)
            (up, down), limits_from = rules.limits_on(prices), COMPUTED
        return {
            "is_st": is_st,
            "st_from": None if is_st is None else st_from,
            "limit_up": up,
            "limit_down": down,
            "limits_from": None if up is None and down is None else limits_from,
            "at_limit": at_limit(row["close"], up, down),
        }

    def rules_of(self, market: str, code: str) -> LimitRules | None:
        """Returns the rules of a code, None in a market without limits."""
        if market == Market.CN and (market, code) not in self._rules:
            self.load([(market, code)])
        return self._rules.get((market, code))


def at_limit(close: float, up: float | None, down: float | None) -> str | None:
    """Returns whether the day closed at its upper (up) or lower limit (down); None for neither."""
    if up is not None and close >= up - 1e-6:
        return UP
    return DOWN if down is not None and close <= down + 1e-6 else None
