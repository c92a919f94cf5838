"""Daily price limits (涨跌停) of mainland stocks.

Hong Kong and the United States have none: a large move there says nothing about the data.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from tasks_app.models import Stock

MAIN_LIMIT, GROWTH_LIMIT, BEIJING_LIMIT, ST_LIMIT = 0.10, 0.20, 0.30, 0.05  # share of the previous close
STAR_CODES = ("688", "689")
CHINEXT_CODES = ("300", "301", "302")
BEIJING_CODES = ("4", "8", "92")
FUND_CODES = ("15", "16", "18", "5")  # 10 or 20 %
ST_PREFIXES = ("ST", "*ST", "S*ST", "SST")
CHINEXT_REFORM = date(2020, 8, 24)  # 20 % since then, 10 % before
NEW_LISTING = timedelta(days=10)  # the first five sessions have other limits, or none


@dataclass(frozen=True)
class PriceLimits:
    """The price limits of one stock.

    `st_since`: the first day under its ST name (special treatment), as far as the recorded renamings tell.
    """

    code: str
    listed_on: date | None = None
    st_since: date | None = None

    @property
    def narrowest(self) -> float:
        """The limit that no day's limit is below."""
        return ST_LIMIT if self.st_since else MAIN_LIMIT

    def limit_on(self, day: date) -> float | None:
        """Returns the day's limit as a share of the previous close (0.1 is 10 %), None for no limit."""
        if self.listed_on and day - self.listed_on <= NEW_LISTING:
            return None
        if self.code.startswith(BEIJING_CODES):
            return BEIJING_LIMIT
        if self.code.startswith((*STAR_CODES, *FUND_CODES)):
            return GROWTH_LIMIT
        if self.code.startswith(CHINEXT_CODES) and day >= CHINEXT_REFORM:
            return GROWTH_LIMIT
        return ST_LIMIT if self.st_since and day >= self.st_since else MAIN_LIMIT


def price_limit_for(market: str, code: str, stock: Stock | None) -> PriceLimits | None:
    """Returns the price limits of a stock, None in a market without limits.

    Without a renaming on record it is unknown since when a stock is ST: the narrow limit is then not applied.
    """
    if market != "CN":
        return None
    if stock is None:
        return PriceLimits(code)
    is_st = stock.name.upper().startswith(ST_PREFIXES) and stock.former_names
    st_since = date.fromisoformat(stock.former_names[-1]["until"]) if is_st else None
    return PriceLimits(code, stock.listed_on, st_since)
