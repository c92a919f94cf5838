"""A fake server of Eastmoney and the three exchanges' stock lists on loopback, with made-up quotes.

It is an HTTPS proxy: the vendors' clients reach it, unpatched and in any process, through `HTTPS_PROXY` and
`REQUESTS_CA_BUNDLE` (`FakeEastmoney.environment`). It shows a certificate of its own authority for any host
and answers itself; nothing leaves the machine.
`python -m tests.fakes.eastmoney_server` serves until Ctrl-C, for manual experiments.
"""

import io
import json
import random
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from email.message import Message
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 14)  # quotes of half a year; the last day is a Friday
CLOSED = {
    "CN": "01-01 02-09 02-12 02-13 02-14 02-15 02-16 04-04 04-05 05-01 05-02 05-03 06-10",
    "HK": "01-01 02-12 02-13 03-29 04-01 04-04 05-01 05-15 06-10",
    "US": "01-01 01-15 02-19 03-29 05-27",
}
MONTH = "103"
V = TypeVar("V", bound="Vendor")
NONE, QFQ = "0", "1"
PAGE = 100
BSE_COLUMNS = 48  # the client names them by their positions: 0 listed on, 38 code, 40 name


def market_of(security_id: str) -> str:
    """Returns the market of a security by its id."""
    return {"0": "CN", "1": "CN", "2": "CN", "116": "HK"}.get(security_id.partition(".")[0], "US")


@cache
def sessions(market: str) -> tuple[date, ...]:
    """Returns the days that the market traded on."""
    days = (FIRST + timedelta(n) for n in range((LAST - FIRST).days + 1))
    return tuple(day for day in days if day.weekday() < 5 and f"{day:%m-%d}" not in CLOSED[market].split())


@cache
def drawn_prices(security_id: str, day: date) -> tuple[float, float, float, float]:
    """Returns open, close, high and low of a security before any dividend."""
    draw = random.Random(f"{security_id}/{day}")
    base = 20 + random.Random(security_id).random() * 80
    opened, close = base * draw.uniform(0.98, 1.02), base * draw.uniform(0.98, 1.02)
    return opened, close, max(opened, close) * 1.004, min(opened, close) * 0.996


@cache
def drawn_lots(security_id: str, day: date) -> int:
    """Returns the volume of a security."""
    return random.Random(f"{security_id}/{day}/volume").randrange(10_000, 900_000)


@dataclass
class Security:
    """A security. `dividends` are cash by ex-day. The vendor no longer knows a `gone` one, as if delisted."""

    security_id: str  # "1.600000"
    name: str = ""
    listed: date = date(2001, 8, 27)
    stock: bool = True
    gone: bool = False
    suspended: frozenset[date] = frozenset()
    dividends: dict[date, float] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return self.security_id.partition(".")[2]

    @property
    def section(self) -> str:
        """Returns the section of Eastmoney's lists that has it, if it is an index or ETF; "" for others."""
        market, _, code = self.security_id.partition(".")
        if market == "2" or (market + code).startswith(("1000", "0399", "0899")):
            return {"0": "m:0 t:5", "1": "m:1 t:1", "2": "m:2"}[market]
        return "b:MK0021" if market in ("0", "1") and code.startswith(("5", "15")) else ""

    def days(self) -> list[date]:
        """Returns the days that it traded on; none for a delisted stock."""
        if self.gone:
            return []
        return [
            d for d in sessions(market_of(self.security_id)) if d >= self.listed and d not in self.suspended
        ]

    def deduction(self, day: date, fqt: str) -> float:
        """Returns what to take off the day's price without dividends, which is the hfq price."""
        if fqt == NONE:
            return sum(cash for since, cash in self.dividends.items() if since <= day)
        return sum(self.dividends.values()) if fqt == QFQ else 0.0

    def prices(self, day: date) -> tuple[float, float, float, float]:
        """Returns open, close, high and low before any dividend."""
        return drawn_prices(self.security_id, day)

    def kline(self, day: date, before: date | None, fqt: str) -> list[str]:
        """Returns the eleven fields: day, open, close, high, low, volume, amount, amplitude %, change %,
        change, turnover %."""
        off, paid = self.deduction(day, fqt), self.deduction(day, NONE)
        opened, close, high, low = (round(price - off, 2) for price in self.prices(day))
        last = round(self.prices(before)[1] - off, 2) if before else opened
        lots = drawn_lots(self.security_id, day)
        shares = lots * (100 if market_of(self.security_id) == "CN" else 1)
        amount = shares * (high + low + 2 * (off - paid)) / 2
        if self.section.startswith("m:"):
            amount = shares * 12.5  # of the index's stocks: no price of the index
        change = round(close - last, 2)
        percents = ((high - low) / last * 100, change / last * 100)
        prices = [f"{price:.2f}" for price in (opened, close, high, low)]
        swing, moved = (f"{percent:.2f}" for percent in percents)
        return [day.isoformat(), *prices, str(lots), f"{amount:.2f}", swing, moved, f"{change:.2f}", "0.52"]

    def factors(self) -> str:
        """Returns Sina's table of its backward factors, the newest first; each takes its cash off."""
        factor, rows = Decimal(1), [{"d": "1900-01-01", "f": "1.0000000000000000"}]
        for ex_day, cash in sorted(self.dividends.items()):
            before = [d for d in self.days() if d < ex_day][-1]
            close = Decimal(self.kline(before, None, NONE)[2])
            factor = factor * close / (close - Decimal(str(cash)))
            rows.insert(0, {"d": ex_day.isoformat(), "f": f"{factor:.16f}"})
        return f"var x={json.dumps({'total': len(rows), 'data': rows})}\n/* sina */"

    def payments(self) -> dict[str, Any]:
        """Returns Eastmoney's dividends of it: cash per ten shares, in the order of AKShare's columns."""
        rows: list[dict[str, Any]] = []
        for ex_day, cash in sorted(self.dividends.items(), reverse=True):
            known = {
                8: cash * 10,
                10: f"{ex_day - timedelta(1)} 00:00:00",
                11: f"{ex_day} 00:00:00",
                14: f"10派{cash * 10:g}元",
                25: f"{ex_day - timedelta(50)} 00:00:00",
            }
            rows.append({f"C{n}": known.get(n) for n in range(30)})
        if not rows:
            return {"result": None, "success": False, "message": "返回数据为空", "code": 9201}
        return {"result": {"pages": 1, "data": rows}, "success": True, "code": 0}

    def klines(self, fqt: str, month: bool = False) -> list[list[str]]:
        """Returns all its bars, or the last one of each month."""
        days = self.days()
        lines = [self.kline(day, before, fqt) for before, day in zip([None, *days], days, strict=False)]
        return list({line[0][:7]: line for line in lines}.values()) if month else lines

    def row(self) -> dict[str, Any]:
        """Returns its row on a list, with the quotes of the last day."""
        days = self.days()
        market, _, code = self.security_id.partition(".")
        row: dict[str, Any] = {"f12": code, "f13": int(market), "f14": self.name, "f297": f"{LAST:%Y%m%d}"}
        if days[-1:] != [LAST]:
            return row | dict.fromkeys(("f2", "f3", "f4", "f5", "f6", "f7", "f8", "f15", "f16", "f17"), "-")
        line = self.kline(LAST, days[-2] if days[:-1] else None, NONE)
        opened, close, high, low, lots, amount, swing, moved, change, turn = map(float, line[1:])
        prices = {"f17": opened, "f2": close, "f15": high, "f16": low, "f18": round(close - change, 2)}
        rest = {"f5": int(lots), "f6": amount, "f7": swing, "f3": moved, "f4": change, "f8": turn}
        return row | prices | rest


def listings() -> dict[str, Security]:
    """Returns securities by id: of every board, a fund, a B share, suspended, new and delisted stocks."""
    securities = [
        Security("1.600000", "浦发银行", date(1999, 11, 10)),
        Security("1.600519", "贵州茅台", dividends={date(2024, 6, 3): 2.5}),
        Security("1.600001", "邯郸钢铁", gone=True),
        Security("1.688001", "华兴源创", date(2019, 7, 22)),
        Security("0.000001", "平安银行", date(1991, 4, 3)),
        Security("0.000002", "万  科Ａ", suspended=frozenset({date(2024, 5, 7), date(2024, 5, 8)})),
        Security("0.300750", "宁德时代", suspended=frozenset(sessions("CN")[-20:])),
        Security("0.301999", "新股", date(2024, 6, 3)),
        Security("0.301998", "未上市", date(2024, 7, 1)),
        Security("0.920002", "万达轴承", date(2024, 5, 30)),
        Security("1.000001", "上证指数", date(1990, 12, 19), stock=False),
        Security("1.000300", "沪深300", stock=False),
        Security("0.399001", "深证成指", stock=False),
        Security("2.931151", "光伏产业", stock=False),
        Security("1.510300", "沪深300ETF", stock=False),
        Security("0.159915", "创业板ETF", stock=False),
        Security("1.900901", "云赛B股", stock=False),
        Security("116.00700", "腾讯控股"),
        Security("116.00005", "汇丰控股"),
        Security("105.AAPL", "苹果"),
        Security("105.MSFT", "微软"),
        Security("106.IBM", "IBM"),
        Security("106.BRK_B", "伯克希尔-B"),
        Security("107.SPY", "标普500ETF"),
    ]
    securities += [Security(f"106.SIM{number:03}", f"模拟{number}") for number in range(200)]
    return {listing.security_id: listing for listing in securities}


class Vendor(Protocol):
    """What a proxy needs of the vendor that it stands for."""

    environment: dict[str, str]
    released: threading.Event


@dataclass
class FakeEastmoney:
    """What the server lists, how it fails, and the requests that it received.

    `failures` maps a kind of request ("kline", "clist", "factors", "payments", "sse", "szse", "bse") or a
    security's id, its quotes, to a mode: `null` (data: null), `relay` (known, but no bars), `ban` (close
    without answer), `hang`, `captcha`, an HTTP status, `twelve` or `ten` (fields), `shares` (volumes not
    in lots), `late` (only the last 20 bars), `short` (a list's page with half its rows), `broken` (half an
    answer). A list of modes is used up one by one; None means no failure. Requests to Eastmoney without
    `wanted_cookie` are banned. `headers` are those of the last request of each kind.
    """

    listings: dict[str, Security] = field(default_factory=listings)
    failures: dict[str, str | list[str | None]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    wanted_cookie: str = ""
    headers: dict[str, Message] = field(default_factory=dict)
    max_open: int = 0
    open: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Ends all failures, releases hanging requests, lists what was listed first, forgets the requests."""
        self.failures, self.listings = {}, listings()
        self.released.set()
        self.released = threading.Event()
        self.requests.clear()
        self.headers.clear()
        self.wanted_cookie = ""

    def count(self, kind: str = "", key: str = "") -> int:
        """Returns the number of requests of a kind, for a security, or in all."""
        return sum(kind in ("", k) and key in ("", name) for k, name in self.requests)

    def failure_mode(self, *keys: str) -> str:
        """Returns how the request fails; "" for a good answer."""
        with self.lock:
            for key in keys:
                mode = self.failures.get(key)
                if isinstance(mode, list):
                    mode = mode.pop(0) if mode else None
                if mode:
                    return mode
        return ""

    def kline_payload(self, query: dict[str, str], mode: str) -> dict[str, Any]:
        """Returns the answer to kline/get."""
        listing = self.listings.get(query["secid"])
        if listing is None or listing.gone or mode == "null":
            return {"rc": 102 if mode else 100, "rt": 17, "data": None}
        month = query["klt"] == MONTH
        lines = [] if mode == "relay" else listing.klines(query["fqt"], month)
        if "beg" in query:
            span = [f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in (query["beg"], query["end"])]
            chosen = [line for line in lines if span[0] <= line[0] <= span[1]]
        else:
            chosen = lines
        if mode == "late":
            chosen = chosen[-20:]
        summary = {"code": listing.code, "name": listing.name, "dktotal": len(lines)}
        return {
            "rc": 0,
            "rt": 17,
            "data": {**summary, "klines": [",".join(distort(x, mode)) for x in chosen]},
        }

    def list_payload(self, query: dict[str, str], mode: str) -> dict[str, Any]:
        """Returns the answer to clist/get: a page of a market's rows."""
        number, sections = int(query["pn"]), {part.split()[0][2:] for part in query["fs"].split(",")}
        markets = {"116" if section == "128" else section for section in sections}
        asked = set(query["fs"].split(","))
        chosen = [x for x in self.listings.values() if x.section in asked] or [
            x for x in self.listings.values() if x.security_id.partition(".")[0] in markets and x.stock
        ]
        chosen.sort(key=lambda listing: listing.code)
        rows = [listing.row() for listing in chosen[(number - 1) * PAGE : number * PAGE]]
        if mode == "null" or not rows:
            return {"rc": 0 if rows else 102, "data": None}
        if mode == "short":
            rows = rows[: len(rows) // 2]
        names = query["fields"].split(",") if mode != "ten" else ["f12"]
        shown = [{name: row.get(name, "-") for name in names} for row in rows]
        return {"rc": 0, "data": {"total": len(chosen), "diff": shown}}

    def a_shares(self, *prefixes: str) -> list[Security]:
        """Returns the listed A-shares whose ids begin with one of the prefixes."""
        chosen = [x for x in self.listings.values() if x.security_id.startswith(prefixes) and x.stock]
        return [listing for listing in chosen if not listing.gone and listing.listed <= LAST]

    def shanghai_list(self, query: dict[str, str], mode: str) -> dict[str, Any]:
        """Returns Shanghai's list: main board or STAR market."""
        chosen = self.a_shares(*(["1.688"] if query["STOCK_TYPE"] == "8" else ["1.60"]))
        rows = [
            {
                "A_STOCK_CODE": listing.code,
                "SEC_NAME_CN": listing.name,
                "LIST_DATE": f"{listing.listed:%Y%m%d}",
                **dict.fromkeys(("SEC_NAME_FULL", "COMPANY_ABBR", "FULL_NAME"), listing.name),
            }
            for listing in chosen
        ]
        return {"pageHelp": {"total": len(rows)}, "result": rows[: 1 if mode == "short" else None]}

    def shenzhen_list(self) -> bytes:
        """Returns Shenzhen's list, an Excel file."""
        import openpyxl

        book = openpyxl.Workbook()
        columns = ("板块", "A股代码", "A股简称", "A股上市日期", "A股总股本", "A股流通股本", "所属行业")
        book.active.append(columns)
        for x in self.a_shares("0.00", "0.30"):
            book.active.append(("主板", x.code, x.name, x.listed.isoformat(), "1,000", "1,000", "C 制造业"))
        file = io.BytesIO()
        book.save(file)
        return file.getvalue()

    def beijing_list(self) -> str:
        """Returns Beijing's list, a page of JSON wrapped in a call."""
        rows = []
        for listing in self.a_shares("0.92"):
            row: dict[str, Any] = dict.fromkeys((f"c{n:02}" for n in range(BSE_COLUMNS)), "-")
            rows.append(row | {"c00": listing.listed.isoformat(), "c38": listing.code, "c40": listing.name})
        return f"null({json.dumps([{'totalPages': 1, 'content': rows}])})"


def distort(line: list[str], mode: str) -> list[str]:
    """Returns a line as a changed interface would send it."""
    if mode == "shares":
        return [*line[:5], f"{line[5]}00", *line[6:]]
    return {"twelve": [*line, "0.00"], "ten": line[:-1]}.get(mode, line)


class Handler(BaseHTTPRequestHandler):
    """Handles one connection: a CONNECT, then TLS, then requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
    vendor: FakeEastmoney
    context_of: Callable[[str], ssl.SSLContext]
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200, "Connection established")
        self.end_headers()
        self.connection = self.context_of(self.host).wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(path.query).items()}
        kind = self.kind(path.path)
        key = query.get("secid") or query.get("fs") or self.security_id(kind, path.path, query)
        with self.vendor.lock:
            self.vendor.requests.append((kind, key))
            self.vendor.headers[kind] = self.headers
            self.vendor.open += 1
            self.vendor.max_open = max(self.vendor.max_open, self.vendor.open)
        try:
            keys = (kind,) if kind in ("factors", "payments") else (key, kind)
            mode = "" if self.has_cookie() else "ban"
            self.answer(kind, query, mode or self.vendor.failure_mode(*keys), key)
        finally:
            with self.vendor.lock:
                self.vendor.open -= 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def has_cookie(self) -> bool:
        """Returns whether the request has the cookie that Eastmoney wants."""
        is_eastmoney = self.host.endswith("eastmoney.com")
        return not is_eastmoney or self.vendor.wanted_cookie in self.headers.get("Cookie", "")

    def kind(self, path: str) -> str:
        """Returns the kind of a request by host and path."""
        if self.host.endswith("eastmoney.com"):
            kinds = {"/api/qt/stock/kline/get": "kline", "/api/qt/clist/get": "clist"}
            return (kinds | {"/api/data/v1/get": "payments"}).get(path, "")
        if self.host == "finance.sina.com.cn" and path.endswith("/hfq.js"):
            return "factors"
        return {"query.sse.com.cn": "sse", "www.szse.cn": "szse", "www.bse.cn": "bse"}.get(self.host, "")

    def security_id(self, kind: str, path: str, query: dict[str, str]) -> str:
        """Returns the security of a request for factors or payments; "" for others."""
        code = path.split("/")[-2][2:] if kind == "factors" else query.get("filter", "")[-8:-2]
        known = [x for x in self.vendor.listings if x in (f"0.{code}", f"1.{code}")]
        return known[0] if kind in ("factors", "payments") and known else ""

    def answer(self, kind: str, query: dict[str, str], mode: str, key: str) -> None:
        if mode == "ban":
            self.close_connection = True
        elif mode == "hang":
            self.vendor.released.wait(60)
            self.close_connection = True
        elif mode == "captcha":
            self.send(200, "<!DOCTYPE html><title>请完成安全验证</title>", "text/html")
        elif mode.isdigit():
            self.send(
                int(mode), "<html>busy</html>", "text/html", {"Retry-After": "7"} if mode == "429" else {}
            )
        else:
            body = self.body(kind, query, mode, key)
            self.send(200 if body else 404, body[: len(body) // 2] if mode == "broken" else body)

    def body(self, kind: str, query: dict[str, str], mode: str, key: str) -> str | bytes:
        """Returns the body of an answer, "" for an unknown request."""
        if kind in ("factors", "payments"):
            listing = self.vendor.listings[key]
            return listing.factors() if kind == "factors" else json.dumps(listing.payments())
        if kind == "kline":
            return json.dumps(self.vendor.kline_payload(query, mode))
        if kind == "clist":
            return json.dumps(self.vendor.list_payload(query, mode))
        if kind == "sse":
            return json.dumps(self.vendor.shanghai_list(query, mode))
        if kind == "szse":
            return self.vendor.shenzhen_list()
        return self.vendor.beijing_list() if kind == "bse" else ""

    def send(
        self,
        status: int,
        body: str | bytes,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        fixed = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in {**fixed, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *arguments: Any) -> None:
        """Writes nothing to the tests' output."""


class EastmoneyServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: Any) -> None:
        """Ignores clients that gave up."""


@contextmanager
def run_server(vendor: FakeEastmoney | None = None) -> Iterator[FakeEastmoney]:
    """Runs the fake server; its `environment` leads any process of ours to it."""
    with run_proxy(vendor or FakeEastmoney(), Handler) as running:
        yield running


@contextmanager
def run_proxy(vendor: V, handler: type[BaseHTTPRequestHandler]) -> Iterator[V]:
    """Runs a proxy that answers by itself; the vendor's `environment` leads any process of ours to it."""
    import trustme

    authority = trustme.CA()

    @cache  # a certificate costs more than the answer
    def context_of(host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        return context

    bound = {"vendor": vendor, "context_of": staticmethod(context_of)}
    server = EastmoneyServer(("127.0.0.1", 0), type("BoundHandler", (handler,), bound))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    with tempfile.TemporaryDirectory(prefix="eastmoney-") as folder:
        bundle = Path(folder) / "authority.pem"
        authority.cert_pem.write_to_path(bundle)
        proxy = f"http://127.0.0.1:{server.server_port}"
        vendor.environment = {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(bundle)),
        }
        thread.start()
        try:
            yield vendor
        finally:
            vendor.released.set()
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    with run_server() as fake:
        print("\n".join(f"export {name}={value}" for name, value in fake.environment.items()))
        threading.Event().wait()
