"""Daily price limits (涨跌停) of mainland stocks.

Hong Kong and the United States have none: a large move there says nothing about the data. `PriceLimits` is
for validation and knows the widest band; `LimitRules` computes the exact prices, or says that it can't.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market.calendars import Calendar
from tasks_app.market.codes import kind_of
from tasks_app.models import Stock
from tasks_app.models.quotes import InstrumentKind

MAIN_LIMIT, GROWTH_LIMIT, BEIJING_LIMIT, ST_LIMIT = 0.10, 0.20, 0.30, 0.05  # share of the previous close
STAR_CODES = ("688", "689")
CHINEXT_CODES = ("300", "301", "302")
BEIJING_CODES = ("4", "8", "92")
FUND_CODES = ("15", "16", "18", "5")  # 10 or 20 %
ST_PREFIXES = ("ST", "*ST", "S*ST", "SST")
CHINEXT_REFORM = date(2020, 8, 24)  # 20 % since then, 10 % before
NEW_LISTING = timedelta(days=10)  # the first five sessions have other limits, or none
LIMITS_BEGIN, ST_BEGINS = date(1996, 12, 16), date(1998, 4, 22)
# The exchanges proposed 10 % for ST stocks of the main boards; since when that holds is not known here.
ST_UNCERTAIN = date(2025, 6, 27)
BEIJING_OPENS = date(2021, 11, 15)
MAIN_REGISTRATION = date(2023, 4, 10)  # since then five sessions without limits there, too; before the first
STAR_FUNDS = ("588", "589")
CENT, MILL = Decimal("0.01"), Decimal("0.001")
MAIN, ST, GROWTH, BEIJING = (Decimal(text) for text in ("0.1", "0.05", "0.2", "0.3"))
LONGEST_START = timedelta(days=20)  # holds five sessions, whatever the holidays


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
        is_narrow = self.st_since and self.st_since <= day < ST_UNCERTAIN
        return ST_LIMIT if is_narrow else MAIN_LIMIT


def price_limit_for(market: str, code: str, stock: Stock | None) -> PriceLimits | None:
    """Returns the price limits of a stock, None in a market without limits.

    Without a renaming on record it is unknown since when a stock is ST: the narrow limit is then not applied.
    """
    if market != "CN" or kind_of(market, code) in (InstrumentKind.INDEX, InstrumentKind.OTHER):
        return None
    if stock is None:
        return PriceLimits(code)
    is_st = stock.name.upper().startswith(ST_PREFIXES) and stock.former_names
    st_since = date.fromisoformat(stock.former_names[-1]["until"]) if is_st else None
    return PriceLimits(code, stock.listed_on, st_since)


@dataclass(frozen=True)
class DayPrices:
    """What a day's limits depend on; `is_st` None: not known."""

    day: date
    high: float
    low: float
    prev_close: float | None
    is_st: bool | None = None


@dataclass(frozen=True)
class NameHistory:
    """The names of a stock, oldest first, each with the first day on which a list had it.

    The first name's day is that on which the stock became known here: what it was called before is unknown.
    """

    names: tuple[tuple[date, str], ...] = ()

    @classmethod
    def of(cls, stock: Stock) -> "NameHistory":
        """Returns the recorded names of a stock."""
        if not stock.name:
            return cls()
        since, names = stock.created_at.astimezone(ZoneInfo(MARKET_TIME_ZONES[stock.market])).date(), []
        for former in stock.former_names:
            if until := former.get("until"):
                names.append((since, str(former["name"])))
                since = date.fromisoformat(until)
        return cls((*names, (since, stock.name)))

    def is_st(self, day: date) -> bool | None:
        """Returns whether the name said so; None before the first name, and of an ST name without a start."""
        place = self._place(day)
        if place is None:
            return None
        is_st = self.names[place][1].upper().startswith(ST_PREFIXES)
        return None if is_st and place == 0 else is_st

    def is_special(self, day: date) -> bool:
        """Returns whether a name tells of other rules: before a delisting (退), or without reform (S)."""
        place = self._place(day)
        name = "" if place is None else self.names[place][1].upper()
        return (
            "退" in name or name.startswith(("SST", "S*ST")) or (name[:1] == "S" and not name[1:2].isascii())
        )

    def _place(self, day: date) -> int | None:
        known = [place for place, (since, _) in enumerate(self.names) if since <= day]
        return known[-1] if known else None


@dataclass(frozen=True)
class LimitRules:
    """The rules of one security's board.

    `first_bar` is the first stored day: without a day of listing, the security is at least that old.
    """

    code: str
    listed_on: date | None = None
    first_bar: date | None = None
    names: NameHistory = NameHistory()
    free_until: date | None = None  # the last of the first sessions, which have no limits or other ones

    def limits_on(self, prices: DayPrices) -> tuple[float | None, float | None]:
        """Returns the day's upper and lower limit, each None where the rules do not tell it for certain.

        They do not tell it for the first sessions of a new listing, of a stock that may have been under
        special treatment, in the period before a delisting, or from a previous close that is no price of the
        exchange. A limit that the day's own prices exceed was another one.
        """
        if not prices.prev_close or prices.prev_close < 0 or self._is_new(prices.day):
            return None, None
        before, tick = Decimal(repr(prices.prev_close)), self._tick
        if before % tick:
            return None, None
        share = self._share(prices)
        if share is None and self._exceeds(prices, before, ST):
            share = MAIN if self._is_main and self._has_usual_rules(prices.day) else None
        if share is None or self._exceeds(prices, before, share):
            return None, None
        down, up = self._band(before, share)
        return (
            float(up) if self._is_certain(before * (1 + share), up, ROUND_FLOOR) else None,
            float(down) if self._is_certain(before * (1 - share), down, ROUND_CEILING) else None,
        )

    @property
    def _is_main(self) -> bool:
        return self.code.startswith(("60", "00", "90", "20"))

    @property
    def _tick(self) -> Decimal:
        return MILL if self.code.startswith(("900", *STAR_FUNDS)) else CENT

    def _share(self, prices: DayPrices) -> Decimal | None:
        """Returns the limit as a share of the previous close, None where it is not known."""
        code, day = self.code, prices.day
        if not self._has_usual_rules(day):
            return None
        if code.startswith((*STAR_CODES, *STAR_FUNDS)):
            return GROWTH
        if code.startswith(CHINEXT_CODES):
            return GROWTH if day >= CHINEXT_REFORM else MAIN
        if code.startswith(BEIJING_CODES):
            return BEIJING if day >= BEIJING_OPENS else None
        is_st = self.names.is_st(day) if prices.is_st is None else prices.is_st
        return self._main_share(day, is_st) if self._is_main else None

    def _main_share(self, day: date, is_st: bool | None) -> Decimal | None:
        if is_st is None or not is_st:
            return None if is_st is None else MAIN
        return ST if ST_BEGINS <= day < ST_UNCERTAIN else None

    def _has_usual_rules(self, day: date) -> bool:
        return day >= LIMITS_BEGIN and not self.names.is_special(day)

    def _band(self, before: Decimal, share: Decimal) -> tuple[Decimal, Decimal]:
        """Returns the lower and upper limit in whole ticks, rounded half up, at least a tick away."""
        tick = self._tick
        down, up = (
            (before * (1 + by) / tick).quantize(Decimal(1), ROUND_HALF_UP) * tick for by in (-share, share)
        )
        return min(down, before - tick), max(up, before + tick)

    def _exceeds(self, prices: DayPrices, before: Decimal, share: Decimal) -> bool:
        """Returns whether the day's own prices lie outside of these limits."""
        down, up = self._band(before, share)
        slack = self._tick / 2
        return prices.high > up + slack or prices.low < down - slack

    def _is_certain(self, price: Decimal, rounded: Decimal, inward: str) -> bool:
        """How Beijing's exchange rounds is not certain: there False where rounding inward differs."""
        if not self.code.startswith(BEIJING_CODES):
            return True
        return (price / self._tick).quantize(Decimal(1), inward) * self._tick == rounded

    def _is_new(self, day: date) -> bool:
        """Returns whether the day may be one of the first sessions, which have no limits or other ones."""
        if self.listed_on is None:
            return self.first_bar is None or day - self.first_bar <= LONGEST_START
        return day <= (self.free_until or self.listed_on + LONGEST_START)


def _free_sessions(code: str, listed_on: date) -> int:
    """Returns how many sessions of a stock that was listed then have no limits, or those of a first day."""
    since = MAIN_REGISTRATION
    if code.startswith(STAR_CODES):
        since = date.min
    elif code.startswith(CHINEXT_CODES):
        since = CHINEXT_REFORM
    elif code.startswith((*BEIJING_CODES, *STAR_FUNDS)):
        since = date.max
    return 5 if listed_on >= since else 1


def limit_rules_for(
    market: str, code: str, stock: Stock | None, first_bar: date | None, calendar: Calendar
) -> LimitRules | None:
    """Returns the rules of a security; None where there are no limits, or none that a code tells."""
    is_stock = kind_of(market, code) == InstrumentKind.STOCK
    if market != "CN" or not (is_stock or code.startswith(STAR_FUNDS)):
        return None
    if stock is None:
        return LimitRules(code, None, first_bar)
    listed_on, free_until = stock.listed_on, None
    if listed_on:
        sessions = calendar.sessions(listed_on, listed_on + LONGEST_START).days
        free_until = next(iter(sessions[_free_sessions(code, listed_on) - 1 :]), None)
    return LimitRules(code, listed_on, first_bar, NameHistory.of(stock), free_until)
