"""A-shares from Tushare Pro. The optional dependency is in requirements-tushare.txt."""

from collections.abc import Mapping, Sequence
from datetime import date, time
from importlib.util import find_spec
from typing import ClassVar, Self

from tasks_app.conf import Conf
from tasks_app.source_settings import gettext_noop
from tasks_app.sources.base import (
    Answer,
    CorporateAction,
    DayAnswer,
    Factor,
    Request,
    Setting,
    Symbol,
    UnknownStock,
    check_served,
    take_permit,
)
from tasks_app.sources.tushare import rows
from tasks_app.sources.tushare.client import TushareClient

if find_spec("tushare") is None:
    raise ModuleNotFoundError("pip install -r requirements-tushare.txt", name="tushare")

PAGE = 6000  # rows, one for each stock and day


class TushareSource:
    name: ClassVar[str] = "tushare"
    markets: ClassVar[tuple[str, ...]] = ("CN",)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    rate: ClassVar[float] = 3.0  # an account with 2,000 points has 200 requests a minute
    batch_size: ClassVar[int] = 20
    ready_at: ClassVar[time] = time(17)
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "token", help=gettext_noop("Your account's token at tushare.pro."), secret=True, required=True
        ),
    )

    def __init__(self, token: str, timeout: float = 24.0) -> None:
        self._client = TushareClient(token, timeout)

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls(conf.source_settings(cls)["token"], conf.fetch_timeout * 0.8)

    def symbols(self, market: str) -> Sequence[Symbol]:
        check_served(self, market)
        return [rows.parse_symbol(row) for row in self._client.listings()]

    def fetch(self, request: Request) -> Answer:
        if answers := self.fetch_many([request]):
            return answers[request.code]
        take_permit()
        if not (found := self._client.listings(ts_code=rows.vendor_code(request.code))):
            raise UnknownStock(f"Tushare knows no stock {request.code}.")
        return Answer(is_whole=not rows.is_listed_within(found[0], request.start, request.end))

    def fetch_many(self, requests: Sequence[Request]) -> Mapping[str, Answer]:
        first = requests[0]
        check_served(self, first.market, first.adjust)
        weekdays = (first.end - first.start).days * 5 // 7 + 1
        fitting = requests[: max(1, PAGE // weekdays)]  # the others are asked for one by one
        which = {"ts_code": ",".join(rows.vendor_code(request.code) for request in fitting)}
        which |= {"start_date": f"{first.start:%Y%m%d}", "end_date": f"{first.end:%Y%m%d}"}
        bars = rows.grouped(self._client.query("daily", rows.BAR, **which), rows.parse_bar)
        suspended = rows.grouped(self._client.suspensions(**which), rows.trading_day)
        codes = bars.keys() | suspended.keys()
        return {
            code: Answer(rows.by_day(bars[code]), suspended=suspended[code], is_whole=True) for code in codes
        }

    def fetch_day(self, market: str, day: date, adjust: str) -> DayAnswer:
        check_served(self, market, adjust)
        bars = self._client.query("daily", rows.BAR, trade_date=f"{day:%Y%m%d}")
        suspended = map(rows.own_code, self._client.suspensions(trade_date=f"{day:%Y%m%d}"))
        return DayAnswer({rows.own_code(row): rows.parse_bar(row) for row in bars}, suspended=suspended)

    def fetch_factors(self, market: str, code: str) -> Sequence[Factor]:
        found = self._client.query("adj_factor", rows.FACTOR, ts_code=rows.vendor_code(code))
        return list(rows.parse_factors(found))

    def fetch_actions(self, market: str, code: str, since: date | None) -> Sequence[CorporateAction]:
        found = self._client.query("dividend", rows.DIVIDEND, ts_code=rows.vendor_code(code))
        return list(dict.fromkeys(action for row in found for action in rows.parse_dividend(row)))
