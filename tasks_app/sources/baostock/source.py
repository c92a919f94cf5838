"""A-shares through BaoStock: unadjusted, qfq and hfq, by stock or a whole market's day at once.

The optional dependency is in requirements-baostock.txt; without it this module can't be imported. The
vendor's client itself runs in a process that the whole machine shares (`client_process`).
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Self, cast

from tasks_app.conf import Conf, address
from tasks_app.source_settings import gettext_noop
from tasks_app.sources import raw_answers
from tasks_app.sources.base import (
    Answer,
    Bar,
    CorporateAction,
    CorporateActions,
    DayAnswer,
    Factor,
    Permanent,
    Request,
    Setting,
    SourceError,
    Symbol,
    Transient,
    UnknownStock,
    check_served,
    unreachable,
)
from tasks_app.sources.cn_codes import SHORT, exchange_of, index_code, kind_of, split_index
from tasks_app.sources.market_time import market_now, market_today
from tasks_app.sources.shared_process.handle import ProcessHandle

if find_spec("baostock") is None:
    raise ModuleNotFoundError("BaoStock is not installed: requirements-baostock.txt has it.", name="baostock")

FLAGS = {"": "3", "qfq": "2", "hfq": "1"}
REQUIRED_NUMBERS = ("open", "high", "low", "close", "volume")
NUMBERS = (*REQUIRED_NUMBERS, "preclose", "amount", "turn", "pctChg")
BAR_FIELDS = ("date", "code", *NUMBERS, "tradestatus")
# The vendor documents only these for an index, whose volume it counts in shares (股), too.
INDEX_FIELDS = tuple(name for name in BAR_FIELDS if name not in ("turn", "tradestatus"))
LISTING_FIELDS = ("code", "code_name", "ipoDate", "outDate", "type")
FACTOR_FIELDS = ("dividOperateDate", "foreAdjustFactor", "backAdjustFactor")
DIVIDEND_DAYS = ("dividOperateDate", "dividPlanAnnounceDate", "dividRegistDate", "dividPayDate")
DIVIDEND_FIELDS = (
    *DIVIDEND_DAYS,
    *("dividCashPsBeforeTax", "dividStocksPs", "dividReserveToStockPs", "dividCashStock"),
)
FIRST_DAY = "1990-01-01"  # before the first stock was listed: the vendor's default is 2015
TYPES = {"stock": "1", "index": "2", "etf": "5"}
CLIENT = "tasks_app.sources.baostock.client_process"
END_SECONDS = 2.0  # to log out at the end of a slice
# Longer than any holiday: within it a listed stock has rows, since suspended days have rows, too.
MAX_GAP = timedelta(days=15)
HOUR = 3600.0
NETWORK = "10002"  # how the codes of network errors begin: the client's own, not the server's

# Our errors by the vendor's codes. Network errors, which begin with 10002, and unknown codes are Transient.
_ERRORS: dict[str, Callable[[str], SourceError]] = {
    **dict.fromkeys(
        ("10001002", "10001003", "10001006", "10001007", "10001008", "10001009", "10001012"),
        partial(Permanent, code="login_refused"),
    ),
    "10001004": partial(Permanent, code="client_outdated"),
    "10001005": partial(Transient, code="throttled", retry_after=600.0),  # too many log-ins
    # Lifted at midnight or after a day, users report; requests meanwhile only prolong it.
    "10001011": partial(Transient, code="blacklisted", retry_after=6 * HOUR),
    "10004011": UnknownStock,
    "10004012": partial(Permanent, code="columns_changed"),
    "10004015": UnknownStock,
    **dict.fromkeys((f"100040{n:02}" for n in (*range(5, 11), 13, 14, *range(16, 21))), Permanent),
}

Row = Mapping[str, str]


class BaostockSource:
    """Daily bars of Chinese stocks, ETFs and indices since their listing. One request at a time, one worker.

    Several sessions at once get an address blacklisted: all processes of a machine share one, and a slice
    ends it where other machines work, too. Suspended days have no bar and are named.
    qfq and hfq are its own: it adjusts by the change in percent, so its prices differ from Eastmoney's.
    """

    name: ClassVar[str] = "baostock"
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    adjusts: ClassVar[tuple[str, ...]] = ("", "qfq", "hfq")
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("address", address, gettext_noop("Another server than BaoStock's own, as host:port.")),
        Setting(
            "api_key",
            help=gettext_noop("The API key of your account at BaoStock."),
            secret=True,
        ),
    )
    kinds: ClassVar[tuple[str, ...]] = ("stock", "etf", "index")
    day_adjusts: ClassVar[tuple[str, ...]] = ("",)
    rate: ClassVar[float] = 2.0
    daily: ClassVar[int] = 40_000
    in_flight: ClassVar[int] = 1
    most_workers: ClassVar[int] = 1
    takes_first_permit: ClassVar[bool] = True
    ready_at: ClassVar[time] = time(17, 30)  # in Shanghai: until then it has no bar of the day, of no stock

    def __init__(
        self,
        address: str = "",
        *,
        timeout: float = 24.0,
        pause: float = 0.0,
        api_key: str = "",
        megabytes: int = 0,
        now: Callable[[str], datetime] = market_now,
    ) -> None:
        """`address` is host:port, by default BaoStock's own; times in seconds, `pause` between requests.

        `megabytes` limits the memory of the client's process; 0: no limit.
        """
        self._now, self._pause, self._api_key = now, pause, api_key
        self._client = ProcessHandle(CLIENT, address, vendor="BaoStock", timeout=timeout, megabytes=megabytes)

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        """Returns the source, with a timeout a little shorter than COLLECTOR_FETCH_TIMEOUT."""
        settings = conf.source_settings(cls)
        rate = 0.0 if conf.no_throttle else settings["rate"]
        return cls(
            settings["address"],
            timeout=conf.fetch_timeout * 0.8,
            pause=1 / rate if rate else 0.0,
            api_key=settings["api_key"],
            megabytes=conf.worker_memory,
        )

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns every stock that is or was listed, without indices, funds and bonds."""
        return self.symbols_of_kind(market, "stock")

    def symbols_of_kind(self, market: str, kind: str) -> Sequence[Symbol]:
        """Returns every stock, ETF or index that is or was listed; the same request for each kind."""
        check_served(self, market)
        rows = self._query(LISTING_FIELDS, call="listings", code="")
        return [symbol for row in rows if row["type"] == TYPES[kind] and (symbol := _parse_symbol(row, kind))]

    def fetch(self, request: Request) -> Answer:
        """Returns the bars of the days that the stock traded, and the suspended days.

        A response without any row of the first or of all days is believed only where the listing dates
        confirm it.
        """
        check_served(self, request.market, request.adjust)
        is_index = split_index(request.code) is not None
        required = INDEX_FIELDS if is_index else BAR_FIELDS
        rows = self._query(
            required,
            call="bars",
            code=vendor_code(request.code),
            fields=",".join(required if is_index else (*required, "isST")),
            start=request.start.isoformat(),
            end=request.end.isoformat(),
            flag=FLAGS[request.adjust],
        )
        first = min((row["date"] for row in rows), default="")
        if (_parse_day(first) or request.end) - request.start >= MAX_GAP:
            self._confirm_start(request, _parse_day(first))
        traded, paused = _parse_bars(rows)
        bars = sorted((bar for _, bar in traded), key=lambda bar: bar.day)
        suspended = [day for row in paused if (day := _parse_day(row["date"]))]
        return Answer(bars, suspended=suspended, is_whole=True)

    def offers_day(self, market: str, day: date) -> bool:
        """Returns whether `fetch_day` has this day: past ones, and today from 17:30 in Shanghai."""
        now = self._now(market)
        return day < now.date() or (day == now.date() and now.time() >= self.ready_at)

    def fetch_day(self, market: str, day: date, adjust: str) -> Mapping[str, Bar]:
        """Returns the bars of all stocks that traded on the day, unadjusted, in one request."""
        check_served(self, market)
        if adjust not in self.day_adjusts:
            raise Permanent(
                f"BaoStock offers a whole day only unadjusted, not as {adjust}.", code="day_not_offered"
            )
        rows = self._query(BAR_FIELDS, call="day", day=day.isoformat())
        traded, suspended = _parse_bars(rows)
        by_code = {_own_code(row): bar for row, bar in traded}
        return DayAnswer(by_code, suspended=map(_own_code, suspended))

    def fetch_factors(self, market: str, code: str) -> Sequence[Factor]:
        """Returns the vendor's factors, which adjust by the changes in percent (涨跌幅复权)."""
        check_served(self, market)
        span = {"start": FIRST_DAY, "end": market_today(market).isoformat()}
        rows = self._query(FACTOR_FIELDS, call="factors", code=vendor_code(code), **span)
        try:
            return [
                Factor(
                    date.fromisoformat(row["dividOperateDate"]),
                    Decimal(row["backAdjustFactor"]),
                    Decimal(row["foreAdjustFactor"]),
                )
                for row in rows
            ]
        except (ArithmeticError, ValueError) as error:
            raise Permanent(
                f"BaoStock sent a factor that can't be read: {error}", code="bad_answer"
            ) from error

    def fetch_actions(self, market: str, code: str, since: date | None) -> CorporateActions:
        """Returns dividends and bonus shares from the year of `since` on, else of this year only.

        The vendor is asked year by year, and one stock's past would cost thirty requests.
        """
        check_served(self, market)
        this_year = market_today(market).year
        first = since.year if since else this_year
        actions = CorporateActions(complete_from=date(first, 1, 1))
        for year in range(first, this_year + 1):
            rows = self._query(DIVIDEND_FIELDS, call="dividends", code=vendor_code(code), year=str(year))
            actions += [action for row in rows for action in _parse_dividend(row)]
        return actions

    def end_session(self) -> None:
        """Logs out, so that another machine may log in. Does nothing if this process sent no request."""
        if self._client.pid:
            self._client.send({"call": "end_session"}, seconds=END_SECONDS)

    def close(self) -> None:
        """Leaves the client's process, which ends if no other process uses it."""
        self._client.close()

    def _confirm_start(self, request: Request, first_row: date | None) -> None:
        """Raises `SourceError` unless the listing dates confirm that there are no rows before `first_row`.

        Without any row, none of the requested days may have had one.
        """
        listings = self._query(LISTING_FIELDS, call="listings", code=vendor_code(request.code))
        if not listings:
            raise UnknownStock(f"BaoStock knows no stock {request.code}.")
        listed_on, delisted_on = _parse_day(listings[0]["ipoDate"]), _parse_day(listings[0]["outDate"])
        today = market_today(request.market)
        first = max(request.start, listed_on or request.start)
        last = min(first_row or request.end, delisted_on or today, today)
        if last - first < MAX_GAP:
            return
        if first_row:
            message = f"{request.code} has no row before {first_row}, though it was listed from {first} on."
            raise Transient(f"The response for {message}", code="history_cut")
        message = f"An empty response for {request.code}, though it was listed from {first} to {last}."
        raise Transient(message, code="empty_answer")

    def _query(self, required: Sequence[str], **request: Any) -> list[Row]:
        """Returns the response's rows by column name. Raises `SourceError`."""
        response = self._send(request)
        if response.get("code") == "connection_closed":
            raise Transient("BaoStock closed the connection.", code="connection_closed")
        if response.get("code") == "no_permit":
            message, code, retry_after = response["error"]
            raise Transient(message, code=code, retry_after=retry_after)
        if response.get("code") == "unreachable":
            raise unreachable("BaoStock", response["message"])
        if "code" in response:
            raise vendor_error(response["code"], response["message"])
        if not response["rows"]:
            return []
        fields = response["fields"]
        if missing := [name for name in required if name not in fields]:
            raise Permanent(
                f"BaoStock's columns have changed: {', '.join(missing)} missing in {', '.join(fields)}.",
                code="columns_changed",
            )
        return [dict(zip(fields, row, strict=False)) for row in response["rows"]]

    def _send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the response of the client's process, recorded or replayed if the call is."""

        def send() -> Any:
            return self._client.send({**request, "pause": self._pause, "api_key": self._api_key})

        if not raw_answers.is_active():
            return cast(dict[str, Any], send())
        body = raw_answers.exchange(dict(request), lambda: json.dumps(send()).encode(), "application/json")
        return cast(dict[str, Any], json.loads(body))


def vendor_error(code: str, message: str) -> SourceError:
    """Returns the vendor's error as one of ours."""
    make_error = _ERRORS.get(code, Transient)
    speaker = "BaoStock's client reports" if code.startswith(NETWORK) else "BaoStock says"
    return make_error(f"{speaker}: {message} ({code})")


def vendor_code(code: str) -> str:
    """Returns `sh.600000` for 600000, `sh.000001` for the index 000001.SH.

    Raises `UnknownStock` for a code that is not Chinese, and for an index of CSI alone.
    """
    exchange, number = split_index(code) or (exchange_of(code), code)
    if exchange not in SHORT:
        raise UnknownStock(f"{code} is not the code of a stock, fund or index of a Chinese exchange.")
    return f"{SHORT[exchange]}.{number}"


def _own_code(row: Row) -> str:
    return row["code"].partition(".")[2]


def _parse_symbol(row: Row, kind: str) -> Symbol | None:
    mark, _, code = row["code"].partition(".")
    exchange = exchange_of(code)
    if kind == "index":
        exchange = next((name for name, short in SHORT.items() if short == mark), "")
        code = index_code(code, [exchange]) if exchange else ""
    if not (exchange and code):
        return None
    days = _parse_day(row["ipoDate"]), _parse_day(row["outDate"])
    return Symbol(code, row["code_name"], exchange, *days, kind)


def _parse_dividend(row: Row) -> Iterator[CorporateAction]:
    """Yields what the row tells: a cash dividend, bonus shares, or both."""
    cash = _parse_decimal(row["dividCashPsBeforeTax"])
    shares = [_parse_decimal(row[name]) for name in ("dividStocksPs", "dividReserveToStockPs")]
    ratio = sum(filter(None, shares), Decimal(0))
    try:
        ex_day, announced_on, record_day, paid_on = (_parse_day(row[name]) for name in DIVIDEND_DAYS)
    except ValueError as error:
        raise Permanent(f"BaoStock sent a dividend that can't be read: {error}", code="bad_answer") from error
    days, note = (ex_day, announced_on, record_day, paid_on), row["dividCashStock"]
    if cash:
        yield CorporateAction("dividend", *days, cash=cash, note=note)
    if ratio:
        yield CorporateAction("split", *days, ratio=ratio, note=note)


def _parse_decimal(text: str) -> Decimal | None:
    """Returns None for an empty text, or one such as “0.68或0.72”: the note has the vendor's words."""
    try:
        return Decimal(text) if text else None
    except ArithmeticError:
        return None


def _parse_bars(rows: Sequence[Row]) -> tuple[list[tuple[Row, Bar]], list[Row]]:
    """Returns the rows of traded days with their bars, and those of suspended days.

    Raises `Permanent` for a row that can't be read.
    """
    try:
        paused = [row for row in rows if row.get("tradestatus") == "0"]
        return [(row, _parse_bar(row)) for row in rows if row.get("tradestatus") != "0"], paused
    except (KeyError, ValueError) as error:
        raise Permanent(f"BaoStock sent a row that can't be read: {error}", code="bad_answer") from error


def _parse_bar(row: Row) -> Bar:
    numbers = {name: float(text) if (text := row.get(name)) else None for name in NUMBERS}
    # A missing required number becomes NaN, for which the engine refuses and counts the bar.
    opened, high, low, close, volume = (
        math.nan if value is None else value for value in (numbers[name] for name in REQUIRED_NUMBERS)
    )
    return Bar(
        date.fromisoformat(row["date"]),
        opened,
        high,
        low,
        close,
        int(volume) if volume % 1 == 0 else cast(int, volume),
        prev_close=numbers["preclose"],
        amount=numbers["amount"],
        change_pct=numbers["pctChg"],
        turnover=numbers["turn"],
        is_st={"0": False, "1": True}.get(row.get("isST", "")) if _is_stock(row) else None,
    )


def _is_stock(row: Row) -> bool:
    return kind_of(_own_code(row)) == "stock"


def _parse_day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
