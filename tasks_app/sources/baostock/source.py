"""A-shares through BaoStock: unadjusted, qfq and hfq, by stock or a whole market's day at once.

The optional dependency is `requirements-baostock.txt`; without it this module can't be imported. The
vendor's client itself runs in a child process (`baostock_child`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Self, cast
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES, Conf
from tasks_app.sources.baostock.client_handle import Child
from tasks_app.sources.base import Bar, Permanent, Request, SourceError, Symbol, Transient, UnknownStock
from tasks_app.sources.cn_codes import SHORT, exchange_of

if find_spec("baostock") is None:
    raise ModuleNotFoundError("BaoStock is not installed: requirements-baostock.txt has it.", name="baostock")

FLAGS = {"": "3", "qfq": "2", "hfq": "1"}
NEEDED = ("open", "high", "low", "close", "volume")
NUMBERS = (*NEEDED, "preclose", "amount", "turn", "pctChg")
FIELDS = ("date", "code", *NUMBERS, "tradestatus")
LISTING = ("code", "code_name", "ipoDate", "outDate", "type")
STOCK = "1"
# Longer than any holiday: within it a listed stock has rows, since suspended days have rows, too.
LONGEST_REST = timedelta(days=15)
HOUR = 3600.0

# What the vendor's codes mean to us. Network errors, which begin with 10002, and codes that are not
# here are Transient.
_ERRORS: dict[str, Callable[[str], SourceError]] = {
    **dict.fromkeys(
        ("10001002", "10001003", "10001006", "10001007", "10001008", "10001009", "10001012"),
        partial(Permanent, code="login_refused"),
    ),
    "10001004": partial(Permanent, code="client_outdated"),
    "10001005": partial(Transient, code="throttled", retry_after=600.0),  # too many log-ins
    # Lifted at midnight or after a day, users report; asking meanwhile only prolongs it.
    "10001011": partial(Transient, code="blacklisted", retry_after=6 * HOUR),
    "10004011": UnknownStock,
    "10004012": partial(Permanent, code="columns_changed"),
    "10004015": UnknownStock,
    **dict.fromkeys((f"100040{n:02}" for n in (*range(5, 11), 13, 14, *range(16, 21))), Permanent),
}

Row = Mapping[str, str]


class BaostockSource:
    """Chinese stocks by day, since their listing. One request at a time, and one worker only.

    Several clients at once get an address blacklisted. Suspended days are left out. qfq and hfq are
    BaoStock's own: it adjusts by the change in percent, so its adjusted prices are not Eastmoney's.
    """

    name: ClassVar[str] = "baostock"
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    adjusts: ClassVar[tuple[str, ...]] = ("", "qfq", "hfq")
    day_adjusts: ClassVar[tuple[str, ...]] = ("",)
    rate: ClassVar[float] = 2.0
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1

    def __init__(self, address: str = "", *, timeout: float = 24.0, pause: float = 0.0) -> None:
        """`address` is host:port, BaoStock's own when empty; times in seconds, `pause` between requests."""
        self._child = Child(address, timeout)
        self._pause = pause

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """With COLLECTOR_BAOSTOCK_ADDRESS and _RATE; gives up a little before the engine would."""
        rate = 0.0 if conf.no_throttle else conf.baostock_rate
        return cls(conf.baostock_address, timeout=conf.fetch_timeout * 0.8, pause=1 / rate if rate else 0.0)

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Every stock that is or was listed; no indices, funds or bonds. Raises `Permanent` for HK, US."""
        self._check(market)
        rows = self._ask(LISTING, call="listings", code="")
        return [symbol for row in rows if row["type"] == STOCK and (symbol := _symbol(row))]

    def fetch(self, request: Request) -> Sequence[Bar]:
        """The days that the stock traded."""
        self._check(request.market)
        rows = self._ask(
            FIELDS,
            call="bars",
            code=vendor_code(request.code),
            fields=",".join(FIELDS),
            start=request.start.isoformat(),
            end=request.end.isoformat(),
            flag=FLAGS[request.adjust],
        )
        if not rows and request.end - request.start >= LONGEST_REST:
            self._doubt(request)
        return sorted(_bars(rows), key=lambda bar: bar.day)

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """All stocks that traded on the day, unadjusted, in one request."""
        self._check(market)
        if adjust not in self.day_adjusts:
            raise Permanent(
                f"BaoStock offers a whole day only unadjusted, not as {adjust}.", code="day_not_offered"
            )
        rows = self._ask(FIELDS, call="day", day=day.isoformat())
        return {row["code"].partition(".")[2]: bar for row in rows for bar in _bars([row])}

    def close(self) -> None:
        """End the child process; the next request starts another one."""
        self._child.close()

    def _check(self, market: str) -> None:
        if market not in self.markets:
            raise Permanent(f"BaoStock has Chinese stocks only, none of the market {market}.")

    def _doubt(self, request: Request) -> None:
        """Believe an empty answer only where the listing dates bear it out. Raises `SourceError`."""
        listing = self._ask(LISTING, call="listings", code=vendor_code(request.code))
        if not listing:
            raise UnknownStock(f"BaoStock knows no stock {request.code}.")
        since, until = _day(listing[0]["ipoDate"]), _day(listing[0]["outDate"])
        today = datetime.now(ZoneInfo(MARKET_TIME_ZONES[request.market])).date()
        first = max(request.start, since or request.start)
        last = min(request.end, until or today, today)
        if last - first >= LONGEST_REST:
            raise Transient(
                f"An empty answer for {request.code}, though it was listed from {first} to {last}.",
                code="empty_answer",
            )

    def _ask(self, wanted: Sequence[str], **question: Any) -> list[Row]:
        """The rows of an answer by column name. Raises `SourceError`."""
        answer = self._child.ask(**question, pause=self._pause)
        if "code" in answer:
            raise error_of(answer["code"], answer["message"])
        if not answer["rows"]:
            return []
        fields = answer["fields"]
        if missing := [name for name in wanted if name not in fields]:
            raise Permanent(
                f"BaoStock's columns have changed: {', '.join(missing)} missing in {', '.join(fields)}.",
                code="columns_changed",
            )
        return [dict(zip(fields, row, strict=False)) for row in answer["rows"]]


def error_of(code: str, message: str) -> SourceError:
    """The vendor's error as one of ours."""
    kind = _ERRORS.get(code, Transient)
    return kind(f"BaoStock says: {message} ({code})")


def vendor_code(code: str) -> str:
    """`sh.600000` for 600000. Raises `UnknownStock` for what is no Chinese code."""
    exchange = exchange_of(code)
    if not exchange:
        raise UnknownStock(f"{code} is no code of a Chinese stock.")
    return f"{SHORT[exchange]}.{code}"


def _symbol(row: Row) -> Symbol | None:
    code = row["code"].partition(".")[2]
    exchange = exchange_of(code)
    if not exchange:
        return None
    return Symbol(code, row["code_name"], exchange, _day(row["ipoDate"]), _day(row["outDate"]))


def _bars(rows: Sequence[Row]) -> list[Bar]:
    """The rows of days that it traded. Raises `Permanent` for a row that can't be read."""
    try:
        return [_bar(row) for row in rows if row["tradestatus"] != "0"]
    except (KeyError, ValueError) as error:
        raise Permanent(f"BaoStock sent a row that can't be read: {error}", code="bad_answer") from error


def _bar(row: Row) -> Bar:
    number = {name: _number(row[name]) for name in NUMBERS}
    # What is missing becomes NaN, which the engine refuses and counts.
    opened, high, low, close, volume = (
        math.nan if value is None else value for value in (number[name] for name in NEEDED)
    )
    return Bar(
        date.fromisoformat(row["date"]),
        opened,
        high,
        low,
        close,
        int(volume) if volume % 1 == 0 else cast(int, volume),
        prev_close=number["preclose"],
        amount=number["amount"],
        change_pct=number["pctChg"],
        turnover=number["turn"],
    )


def _number(text: str) -> float | None:
    """The vendor's text as a number; empty is missing."""
    return float(text) if text else None


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
