"""How far a price may move in a session, by the rules of the mainland's boards.

Hong Kong and the United States have no such limit: a move there says nothing about the data.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from tasks_app.models import Stock

CHINEXT_WIDER = date(2020, 8, 24)  # 10 % before
NEW = timedelta(days=10)  # the first five sessions have other limits, or none
SPECIAL = ("ST", "*ST", "S*ST", "SST")
MAIN, GROWTH, BEIJING, SPECIAL_LIMIT = 0.10, 0.20, 0.30, 0.05


@dataclass(frozen=True)
class PriceLimits:
    """What is known of a stock that its limits depend on."""

    code: str
    listed_on: date | None = None
    special_since: date | None = None  # special treatment, as far as its name and renaming tell

    @property
    def narrowest(self) -> float:
        """No limit of any day is narrower."""
        return SPECIAL_LIMIT if self.special_since else MAIN

    def limit(self, day: date) -> float | None:
        """The share of the previous close that the price may move by; None when there is no limit."""
        if self.listed_on and day - self.listed_on <= NEW:
            return None
        wide = _wide(self.code, day)
        if wide is None and self.special_since and day >= self.special_since:
            return SPECIAL_LIMIT
        return wide or MAIN


def price_limit_for(market: str, code: str, stock: Stock | None) -> PriceLimits | None:
    """The board of a stock; None in a market without limits."""
    if market != "CN":
        return None
    if stock is None:
        return PriceLimits(code)
    return PriceLimits(code, stock.listed_on, _special_since(stock))


def _wide(code: str, day: date) -> float | None:
    """The limit of the boards that have one of their own."""
    if code.startswith(("688", "689")):
        return GROWTH
    if code.startswith(("300", "301", "302")):
        return GROWTH if day >= CHINEXT_WIDER else None
    if code.startswith(("4", "8", "92")):
        return BEIJING
    return GROWTH if code.startswith(("15", "16", "18", "5")) else None  # funds: 10 or 20 %


def _special_since(stock: Stock) -> date | None:
    """Since when the stock has its present name, if that marks special treatment.

    Without a rename on record nobody knows since when: no bar is measured by the narrow limit then.
    """
    if not stock.name.upper().startswith(SPECIAL) or not stock.former_names:
        return None
    return date.fromisoformat(stock.former_names[-1]["until"])
