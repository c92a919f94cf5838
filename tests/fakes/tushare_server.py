"""A fake Tushare Pro on loopback: the quotes of `eastmoney_server`, in thousands of yuan.

The vendor's client reaches it through `HTTP_PROXY` (`FakeTushare.environment`).
"""

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from tasks_app.sources.cn_codes import SHORT, exchange_of
from tests.fakes.eastmoney_server import NONE, Handler, Security, listings, market_of, run_proxy, sessions

TOKEN = "a-token-of-56-letters"
PAGE = 6000
FIELDS = {
    "stock_basic": "ts_code,symbol,name,list_date,delist_date",
    "daily": "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount",
    "suspend_d": "ts_code,trade_date,suspend_timing,suspend_type",
    "adj_factor": "ts_code,trade_date,adj_factor",
    "dividend": "ts_code,end_date,ann_date,div_proc,stk_div,cash_div_tax,record_date,ex_date,pay_date",
}
MESSAGES = {
    40101: "您的token不对，请确认。",
    40203: "抱歉，您没有接口访问权限，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。",
    -2001: "参数校验失败",
    50101: "系统内部错误",
}


def compact(day: date | str) -> str:
    return str(day).replace("-", "")


@dataclass
class FakeTushare:
    """What it lists, how it fails, and the requests that it received.

    `failures` maps an interface or a ts_code to a mode: an HTTP status, `ban` (close without answer), `page`
    (a web page), `columns` (renamed), a code of `MESSAGES`, or the text of a message for 40203.
    """

    listings: dict[str, Security] = field(default_factory=listings)
    failures: dict[str, str | int] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    page: int = PAGE
    environment: dict[str, str] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        self.failures, self.listings, self.page = {}, listings(), PAGE
        self.requests.clear()

    def count(self, interface: str) -> int:
        return sum(name == interface for name, _ in self.requests)

    def securities(self, parameters: dict[str, str]) -> Iterator[tuple[str, Security]]:
        """Yields the A-shares asked for, by ts_code."""
        for security in self.listings.values():
            exchange = exchange_of(security.code)
            if market_of(security.security_id) != "CN" or not security.stock or not exchange:
                continue
            ts_code = f"{security.code}.{SHORT[exchange].upper()}"
            if ts_code in parameters.get("ts_code", ts_code).split(","):
                yield ts_code, security

    def rows(self, interface: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        """Returns the rows of an interface, the newest day first."""
        only = parameters.get("trade_date")
        first, last = only or parameters.get("start_date", "0"), only or parameters.get("end_date", "9")
        make = getattr(self, f"{interface}_rows")
        rows = [
            {"ts_code": code, **row}
            for code, security in self.securities(parameters)
            for row in make(security)
            if interface not in ("daily", "suspend_d", "adj_factor") or first <= row["trade_date"] <= last
        ]
        return rows[::-1]

    def stock_basic_rows(self, security: Security) -> Iterator[dict[str, Any]]:
        if not security.gone:
            names = {"symbol": security.code, "name": security.name}
            yield {**names, "list_date": compact(security.listed), "delist_date": None}

    def daily_rows(self, security: Security) -> Iterator[dict[str, Any]]:
        for day, opened, close, high, low, lots, amount, _, moved, change, _ in security.klines(NONE):
            prices = {"open": opened, "high": high, "low": low, "close": close, "change": change}
            numbers = {name: float(price) for name, price in prices.items()}
            last = round(numbers["close"] - numbers["change"], 2)
            # As the vendor does: lots with a fraction, and three digits after thousands of yuan.
            traded = {"vol": float(lots), "amount": round(float(amount) / 1000, 5), "pct_chg": float(moved)}
            yield {"trade_date": compact(day), **numbers, "pre_close": last, **traded}

    def suspend_d_rows(self, security: Security) -> Iterator[dict[str, Any]]:
        kind = {"suspend_timing": None, "suspend_type": "S"}
        yield from ({"trade_date": compact(day), **kind} for day in sorted(security.suspended))
        if security.code == "600519":  # for half an hour: it traded on that day
            yield {"trade_date": "20240513", **kind, "suspend_timing": "09:30-10:00"}

    def adj_factor_rows(self, security: Security) -> Iterator[dict[str, Any]]:
        rows = json.loads(security.factors().partition("=")[2].partition("\n")[0])["data"]
        for day in sessions("CN"):
            factor = next(row["f"] for row in rows if row["d"] <= day.isoformat())
            yield {"trade_date": compact(day), "adj_factor": round(float(factor), 6)}

    def dividend_rows(self, security: Security) -> Iterator[dict[str, Any]]:
        for ex_day, cash in security.dividends.items():
            days = {"ex_date": compact(ex_day), "record_date": "20240531", "pay_date": None}
            money = {"ann_date": "20240410", "stk_div": 0.0, "cash_div_tax": cash}
            yield {**money, **days, "div_proc": "实施"}
            yield {**money, **dict.fromkeys(days), "div_proc": "预案"}


class TushareHandler(Handler):
    vendor: FakeTushare  # type: ignore[assignment]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        interface = urlsplit(self.path).path.removeprefix("/dataapi/")
        parameters = {key: value for key, value in asked["params"].items() if key != "ts_type_name"}
        self.vendor.requests.append((interface, parameters))
        failures = self.vendor.failures
        mode = failures.get(interface) or failures.get(parameters.get("ts_code", ""), "")
        if asked["token"] != TOKEN:
            mode = 40101
        if mode == "ban":
            self.close_connection = True
        elif mode == "page":
            self.send(200, "<!DOCTYPE html><title>nginx</title>", "text/html")
        elif str(mode).isdigit() and int(mode) < 1000:
            self.send(int(mode), "<html>502 Bad Gateway</html>", "text/html")
        elif mode and mode != "columns":
            code, message = (mode, MESSAGES[mode]) if isinstance(mode, int) else (40203, mode)
            self.send(200, json.dumps({"request_id": "1", "code": code, "msg": message, "data": None}))
        else:
            self.send(200, json.dumps(self.page_of(interface, asked["fields"], parameters, mode)))

    def page_of(self, interface: str, fields: str, parameters: dict[str, str], mode: Any) -> dict[str, Any]:
        rows = self.vendor.rows(interface, parameters)
        start = int(parameters.get("offset", 0))
        names = [
            name for name in (fields or FIELDS[interface]).split(",") if mode != "columns" or name != "vol"
        ]
        items = [[row[name] for name in names] for row in rows[start : start + self.vendor.page]]
        data = {"fields": names, "items": items, "has_more": start + len(items) < len(rows)}
        return {"request_id": "1", "code": 0, "msg": "", "data": data}


def run_server(vendor: FakeTushare | None = None) -> AbstractContextManager[FakeTushare]:
    """Runs the fake server; its `environment` leads any process of ours to it."""
    return run_proxy(vendor or FakeTushare(), TushareHandler)
