"""A fake Yahoo Finance on loopback, with the quotes of `eastmoney_server`.

It keeps prices in 32 bits and divides them by later splits, as Yahoo does. The vendor's client reaches it
through `HTTPS_PROXY`, with a certificate of the tests' own authority. It sends no cookies: the client would
keep them in a file in the home directory.
"""

import json
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from math import prod
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES
from tests.fakes.eastmoney_server import LAST, NONE, FakeEastmoney, Handler, Security, market_of, run_proxy

REGIONS = {"US": "us", "HK": "hk", "CN": "cn"}
EXCHANGES = {"105": "NMS", "106": "NYQ", "107": "ASE", "116": "HKG", "1": "SHH", "0": "SHZ"}
CRUMB = "a.crumb"


def symbol_of(security: Security) -> str:
    """Returns AAPL, BRK-B, 0700.HK, 600000.SS; "" for Beijing, which Yahoo does not have."""
    market, code = market_of(security.security_id), security.code
    if market == "US":
        return code.replace("_", "-")
    if market == "HK":
        return f"{int(code):04}.HK"
    return "" if code.startswith("92") else f"{code}.{'SS' if security.security_id[0] == '1' else 'SZ'}"


def moment(day: date, market: str, hour: int = 9) -> int:
    """Returns the seconds since 1970 of an hour of the day on the market's clock."""
    zone = ZoneInfo(MARKET_TIME_ZONES[market])
    return int(datetime.combine(day, time(hour, 30), zone).timestamp())


def in_32_bits(price: float) -> float:
    return struct.unpack("f", struct.pack("f", price))[0]


@dataclass
class FakeYahoo(FakeEastmoney):
    """What it lists, and how it fails: `failures` by symbol or by "chart", "crumb", "screener".

    Modes are those of the fake Eastmoney, and `none` (a stock without days), `null` (no result at all).
    """

    splits: dict[str, dict[date, tuple[int, int]]] = field(default_factory=dict)  # by symbol

    def chart(self, symbol: str, first: int, end: int, mode: str) -> tuple[int, dict[str, Any]]:
        """Returns the status and the answer for days from one moment on, before another."""
        found = [x for x in self.listings.values() if symbol_of(x) == symbol and not x.gone]
        if not found:
            return 404, refusal("Not Found", "No data found, symbol may be delisted")
        security, market = found[0], market_of(found[0].security_id)
        lines = [
            line
            for line in security.klines(NONE)
            if first <= moment(date.fromisoformat(line[0]), market) < end and mode != "none"
        ]
        meta = {
            "currency": {"US": "USD", "HK": "HKD", "CN": "CNY"}[market],
            "symbol": symbol,
            "instrumentType": "EQUITY",
            "exchangeTimezoneName": MARKET_TIME_ZONES[market],
            "firstTradeDate": moment(security.days()[0], market),
            "regularMarketTime": moment(LAST, market, 16),
            "validRanges": ["1d", "max"],
        }
        if not lines and mode != "none":
            return 400, refusal("Bad Request", f"Data doesn't exist for startDate = {first}, endDate = {end}")
        result = {
            "meta": meta,
            **self.indicators(symbol, market, lines),
            "events": self.events(security, first, end),
        }
        return 200, {"chart": {"result": None if mode == "null" else [result], "error": None}}

    def later_splits(self, symbol: str, day: date) -> float:
        return prod(new / old for ex_day, (new, old) in self.splits.get(symbol, {}).items() if ex_day > day)

    def indicators(self, symbol: str, market: str, lines: list[list[str]]) -> dict[str, Any]:
        if not lines:
            return {"indicators": {"quote": [{}], "adjclose": [{}]}}
        lot = 100 if market == "CN" else 1
        days = [date.fromisoformat(line[0]) for line in lines]
        ratios = [self.later_splits(symbol, day) for day in days]
        quote: dict[str, Any] = {
            name: [in_32_bits(float(line[place]) / ratio) for line, ratio in zip(lines, ratios, strict=True)]
            for place, name in enumerate(("open", "close", "high", "low"), 1)
        }
        quote["volume"] = [
            round(int(line[5]) * lot * ratio) for line, ratio in zip(lines, ratios, strict=True)
        ]
        stamps = [moment(day, market) for day in days]
        return {
            "timestamp": stamps,
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]},
        }

    def events(self, security: Security, first: int, end: int) -> dict[str, Any]:
        symbol, market = symbol_of(security), market_of(security.security_id)
        splits = {
            str(moment(day, market)): {"date": moment(day, market), "numerator": new, "denominator": old}
            for day, (new, old) in self.splits.get(symbol, {}).items()
            if first <= moment(day, market) < end
        }
        dividends = {
            str(moment(day, market)): {
                "date": moment(day, market),
                "amount": round(cash / self.later_splits(symbol, day), 6),
            }
            for day, cash in security.dividends.items()
            if first <= moment(day, market) < end
        }
        return {name: rows for name, rows in (("splits", splits), ("dividends", dividends)) if rows}

    def screened(self, asked: dict[str, Any], mode: str) -> dict[str, Any]:
        """Returns a page of the stocks of a region."""
        region = asked["query"]["operands"][0]["operands"][1]
        exchanges = {operand["operands"][1] for operand in asked["query"]["operands"][1]["operands"]}
        rows = list(self.screen_rows(region, exchanges))
        page = rows[asked["offset"] : asked["offset"] + asked["size"]]
        return {
            "finance": {
                "result": [{"total": len(rows), "quotes": [] if mode == "short" else page}],
                "error": None,
            }
        }

    def screen_rows(self, region: str, exchanges: set[str]) -> Iterator[dict[str, Any]]:
        for security in sorted(self.listings.values(), key=lambda x: x.code):
            exchange = EXCHANGES.get(security.security_id.partition(".")[0])
            is_there = REGIONS[market_of(security.security_id)] == region and exchange in exchanges
            if is_there and symbol_of(security) and security.stock and not security.gone:
                yield {"symbol": symbol_of(security), "longName": security.name, "exchange": exchange}


def refusal(code: str, text: str) -> dict[str, Any]:
    return {"chart": {"result": None, "error": {"code": code, "description": text}}}


class YahooHandler(Handler):
    vendor: FakeYahoo

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        symbol = path.path.rpartition("/")[2] if "/chart/" in path.path else ""
        kind = "chart" if symbol else {"fc.yahoo.com": "cookie"}.get(self.host, "crumb")
        self.vendor.requests.append((kind, symbol))
        mode = self.vendor.failure_mode(symbol, kind)
        if mode == "down":
            self.send(200, "<html>Will be right back...</html>", "text/html")
        elif mode and mode not in ("none", "null"):
            self.answer(kind, {}, mode, symbol)
        elif kind == "chart":
            status, answer = self.vendor.chart(symbol, int(query["period1"]), int(query["period2"]), mode)
            self.send(status, json.dumps(answer))
        else:
            self.send(200 if kind == "crumb" else 404, CRUMB if kind == "crumb" else "", "text/plain")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.vendor.requests.append(("screener", ""))
        mode = self.vendor.failure_mode("screener")
        if mode and mode != "short":
            self.answer("screener", {}, mode, "")
        else:
            self.send(200, json.dumps(self.vendor.screened(asked, mode)))

    def body(self, kind: str, query: dict[str, str], mode: str, key: str) -> str:
        return '{"chart": {"result": [{"meta": {}}]}}'  # cut in half by the mode `broken`


def run_server(vendor: FakeYahoo | None = None) -> AbstractContextManager[FakeYahoo]:
    """Runs the fake server; its `environment` leads any process of ours to it."""
    return run_proxy(vendor or FakeYahoo(), YahooHandler)
