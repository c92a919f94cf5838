"""A loopback stand-in for Eastmoney and the three exchanges' stock lists, with made-up quotes.

It is an HTTPS proxy: the vendors' clients reach it, wholly unpatched and in any process, through
`HTTPS_PROXY` and `REQUESTS_CA_BUNDLE` (`StandIn.environment`). Whatever host they ask for, it shows a
certificate of its own authority and answers itself; nothing leaves the machine.
`python -m tests.fakes.eastmoney_server` serves until Ctrl-C, for trying things out.
"""

import io
import json
import random
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 14)  # quotes of half a year; the last day is a Friday
CLOSED = {
    "CN": "01-01 02-09 02-12 02-13 02-14 02-15 02-16 04-04 04-05 05-01 05-02 05-03 06-10",
    "HK": "01-01 02-12 02-13 03-29 04-01 04-04 05-01 05-15 06-10",
    "US": "01-01 01-15 02-19 03-29 05-27",
}
MONTH = "103"
NONE, QFQ = "0", "1"
PAGE = 100
BSE_COLUMNS = 48  # by their places, as the client names them: 0 listed on, 38 code, 40 name


def market_of(name: str) -> str:
    """The market of a security by Eastmoney's name of it."""
    return {"0": "CN", "1": "CN", "116": "HK"}.get(name.partition(".")[0], "US")


@cache
def sessions(market: str) -> tuple[date, ...]:
    """The days that the market traded on."""
    days = (FIRST + timedelta(n) for n in range((LAST - FIRST).days + 1))
    return tuple(day for day in days if day.weekday() < 5 and f"{day:%m-%d}" not in CLOSED[market].split())


@dataclass
class Listing:
    """A security. `name` is the vendor's ("1.600000"), `dividends` are cash by ex-day.

    A gone one is known no more, as delisted stocks are.
    """

    name: str
    label: str = ""
    listed: date = date(2001, 8, 27)
    stock: bool = True
    gone: bool = False
    suspended: frozenset[date] = frozenset()
    dividends: dict[date, float] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return self.name.partition(".")[2]

    def days(self) -> list[date]:
        """The days that it traded on, as far as the vendor still tells."""
        if self.gone:
            return []
        return [d for d in sessions(market_of(self.name)) if d >= self.listed and d not in self.suspended]

    def paid(self, day: date, fqt: str) -> float:
        """What to take off the price of the day: prices before dividends are the hfq ones."""
        if fqt == NONE:
            return sum(cash for since, cash in self.dividends.items() if since <= day)
        return sum(self.dividends.values()) if fqt == QFQ else 0.0

    def prices(self, day: date) -> tuple[float, float, float, float]:
        """Open, close, high, low before any dividend."""
        draw = random.Random(f"{self.name}/{day}")
        base = 20 + random.Random(self.name).random() * 80
        opened, close = base * draw.uniform(0.98, 1.02), base * draw.uniform(0.98, 1.02)
        return opened, close, max(opened, close) * 1.004, min(opened, close) * 0.996

    def kline(self, day: date, before: date | None, fqt: str) -> list[str]:
        """The eleven fields: day, open, close, high, low, volume, amount, amplitude %, change %, change,
        turnover %."""
        off, paid = self.paid(day, fqt), self.paid(day, NONE)
        opened, close, high, low = (round(price - off, 2) for price in self.prices(day))
        last = round(self.prices(before)[1] - off, 2) if before else opened
        lots = random.Random(f"{self.name}/{day}/volume").randrange(10_000, 900_000)
        shares = lots * (100 if market_of(self.name) == "CN" else 1)
        amount = shares * (high + low + 2 * (off - paid)) / 2
        change = round(close - last, 2)
        percents = ((high - low) / last * 100, change / last * 100)
        told = [f"{price:.2f}" for price in (opened, close, high, low)]
        swing, moved = (f"{percent:.2f}" for percent in percents)
        return [day.isoformat(), *told, str(lots), f"{amount:.2f}", swing, moved, f"{change:.2f}", "0.52"]

    def klines(self, fqt: str, month: bool = False) -> list[list[str]]:
        """All its bars, or the last one of each month."""
        days = self.days()
        lines = [self.kline(day, before, fqt) for before, day in zip([None, *days], days, strict=False)]
        return list({line[0][:7]: line for line in lines}.values()) if month else lines

    def row(self) -> dict[str, Any]:
        """Its row on a list, with the quotes of the last day."""
        days = self.days()
        market, _, code = self.name.partition(".")
        row: dict[str, Any] = {"f12": code, "f13": int(market), "f14": self.label, "f297": f"{LAST:%Y%m%d}"}
        if days[-1:] != [LAST]:
            return row | dict.fromkeys(("f2", "f3", "f4", "f5", "f6", "f7", "f8", "f15", "f16", "f17"), "-")
        line = self.kline(LAST, days[-2] if days[:-1] else None, NONE)
        opened, close, high, low, lots, amount, swing, moved, change, turn = map(float, line[1:])
        prices = {"f17": opened, "f2": close, "f15": high, "f16": low, "f18": round(close - change, 2)}
        rest = {"f5": int(lots), "f6": amount, "f7": swing, "f3": moved, "f4": change, "f8": turn}
        return row | prices | rest


def listings() -> dict[str, Listing]:
    """A small world: every board, a fund, a B share, and each kind of trouble."""
    found = [
        Listing("1.600000", "浦发银行", date(1999, 11, 10)),
        Listing("1.600519", "贵州茅台", dividends={date(2024, 6, 3): 2.5}),
        Listing("1.600001", "邯郸钢铁", gone=True),
        Listing("1.688001", "华兴源创", date(2019, 7, 22)),
        Listing("0.000001", "平安银行", date(1991, 4, 3)),
        Listing("0.000002", "万  科Ａ", suspended=frozenset({date(2024, 5, 7), date(2024, 5, 8)})),
        Listing("0.300750", "宁德时代", suspended=frozenset(sessions("CN")[-20:])),
        Listing("0.301999", "新股", date(2024, 6, 3)),
        Listing("0.301998", "未上市", date(2024, 7, 1)),
        Listing("0.920002", "万达轴承", date(2024, 5, 30)),
        Listing("1.510300", "沪深300ETF", stock=False),
        Listing("0.159915", "创业板ETF", stock=False),
        Listing("1.900901", "云赛B股", stock=False),
        Listing("116.00700", "腾讯控股"),
        Listing("116.00005", "汇丰控股"),
        Listing("105.AAPL", "苹果"),
        Listing("105.MSFT", "微软"),
        Listing("106.IBM", "IBM"),
        Listing("106.BRK_B", "伯克希尔-B"),
        Listing("107.SPY", "标普500ETF"),
    ]
    found += [Listing(f"106.SIM{number:03}", f"模拟{number}") for number in range(200)]
    return {listing.name: listing for listing in found}


@dataclass
class StandIn:
    """What the server lists, what it does wrong, and who asked what.

    `trouble` maps a kind of request ("kline", "clist", "sse", "szse", "bse") or a security's name to a
    mode: `null` (data: null), `relay` (known, but no bars), `ban` (close without answer), `hang`,
    `captcha`, an HTTP status, `twelve` or `ten` (fields), `shares` (volumes no longer in lots),
    `short` (a list's page with half its rows), `broken` (half an answer). A list of modes is used up
    one by one, None for none.
    """

    listings: dict[str, Listing] = field(default_factory=listings)
    trouble: dict[str, str | list[str | None]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    most_open: int = 0
    open: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str = "", key: str = "") -> int:
        """How many requests of a kind, for a security, or in all."""
        return sum(kind in ("", k) and key in ("", name) for k, name in self.requests)

    def mode(self, *keys: str) -> str:
        """What goes wrong with this request."""
        with self.lock:
            for key in keys:
                mode = self.trouble.get(key)
                if isinstance(mode, list):
                    mode = mode.pop(0) if mode else None
                if mode:
                    return mode
        return ""

    def klines(self, asked: dict[str, str], mode: str) -> dict[str, Any]:
        """The answer to kline/get."""
        listing = self.listings.get(asked["secid"])
        if listing is None or listing.gone or mode == "null":
            return {"rc": 102 if mode else 100, "rt": 17, "data": None}
        month = asked["klt"] == MONTH
        lines = [] if mode == "relay" else listing.klines(asked["fqt"], month)
        if "beg" in asked:
            span = [f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in (asked["beg"], asked["end"])]
            chosen = [line for line in lines if span[0] <= line[0] <= span[1]]
        else:
            chosen = lines
        told = {"code": listing.code, "name": listing.label, "dktotal": len(lines)}
        return {"rc": 0, "rt": 17, "data": {**told, "klines": [",".join(spoilt(x, mode)) for x in chosen]}}

    def page(self, asked: dict[str, str], mode: str) -> dict[str, Any]:
        """The answer to clist/get: a page of a market's rows."""
        number, places = int(asked["pn"]), {part.split()[0][2:] for part in asked["fs"].split(",")}
        markets = {"116" if place == "128" else place for place in places}
        chosen = [x for x in self.listings.values() if x.name.partition(".")[0] in markets and x.stock]
        chosen.sort(key=lambda listing: listing.code)
        rows = [listing.row() for listing in chosen[(number - 1) * PAGE : number * PAGE]]
        if mode == "null" or not rows:
            return {"rc": 0 if rows else 102, "data": None}
        if mode == "short":
            rows = rows[: len(rows) // 2]
        names = asked["fields"].split(",") if mode != "ten" else ["f12"]
        told = [{name: row.get(name, "-") for name in names} for row in rows]
        return {"rc": 0, "data": {"total": len(chosen), "diff": told}}

    def listed(self, *beginnings: str) -> list[Listing]:
        """The A-shares whose names begin so."""
        chosen = [x for x in self.listings.values() if x.name.startswith(beginnings) and x.stock]
        return [listing for listing in chosen if not listing.gone and listing.listed <= LAST]

    def shanghai(self, asked: dict[str, str], mode: str) -> dict[str, Any]:
        """Shanghai's list: main board or STAR market."""
        chosen = self.listed(*(["1.688"] if asked["STOCK_TYPE"] == "8" else ["1.60"]))
        rows = [
            {
                "A_STOCK_CODE": listing.code,
                "SEC_NAME_CN": listing.label,
                "LIST_DATE": f"{listing.listed:%Y%m%d}",
                **dict.fromkeys(("SEC_NAME_FULL", "COMPANY_ABBR", "FULL_NAME"), listing.label),
            }
            for listing in chosen
        ]
        return {"pageHelp": {"total": len(rows)}, "result": rows[: 1 if mode == "short" else None]}

    def shenzhen(self) -> bytes:
        """Shenzhen's list, an Excel file."""
        import openpyxl

        book = openpyxl.Workbook()
        columns = ("板块", "A股代码", "A股简称", "A股上市日期", "A股总股本", "A股流通股本", "所属行业")
        book.active.append(columns)
        for x in self.listed("0.00", "0.30"):
            book.active.append(("主板", x.code, x.label, x.listed.isoformat(), "1,000", "1,000", "C 制造业"))
        file = io.BytesIO()
        book.save(file)
        return file.getvalue()

    def beijing(self) -> str:
        """Beijing's list, a page of JSON wrapped in a call."""
        rows = []
        for listing in self.listed("0.92"):
            row: dict[str, Any] = dict.fromkeys((f"c{n:02}" for n in range(BSE_COLUMNS)), "-")
            rows.append(row | {"c00": listing.listed.isoformat(), "c38": listing.code, "c40": listing.label})
        return f"null({json.dumps([{'totalPages': 1, 'content': rows}])})"


def spoilt(line: list[str], mode: str) -> list[str]:
    """A line as a changed interface would send it."""
    if mode == "shares":
        return [*line[:5], f"{line[5]}00", *line[6:]]
    return {"twelve": [*line, "0.00"], "ten": line[:-1]}.get(mode, line)


class Handler(BaseHTTPRequestHandler):
    """One connection: a CONNECT, then TLS, then requests."""

    protocol_version = "HTTP/1.1"
    world: StandIn
    authority: Any
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200, "Connection established")
        self.end_headers()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(self.host).configure_cert(context)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(path.query).items()}
        kind = self.kind(path.path)
        key = asked.get("secid") or asked.get("fs") or ""
        with self.world.lock:
            self.world.requests.append((kind, key))
            self.world.open += 1
            self.world.most_open = max(self.world.most_open, self.world.open)
        try:
            self.answer(kind, asked, self.world.mode(key, kind))
        finally:
            with self.world.lock:
                self.world.open -= 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def kind(self, path: str) -> str:
        """What is asked for, by host and path."""
        if self.host.endswith("eastmoney.com"):
            return {"/api/qt/stock/kline/get": "kline", "/api/qt/clist/get": "clist"}.get(path, "")
        return {"query.sse.com.cn": "sse", "www.szse.cn": "szse", "www.bse.cn": "bse"}.get(self.host, "")

    def answer(self, kind: str, asked: dict[str, str], mode: str) -> None:
        if mode == "ban":
            self.close_connection = True
        elif mode == "hang":
            self.world.released.wait(60)
            self.close_connection = True
        elif mode == "captcha":
            self.send(200, "<!DOCTYPE html><title>请完成安全验证</title>", "text/html")
        elif mode.isdigit():
            self.send(
                int(mode), "<html>busy</html>", "text/html", {"Retry-After": "7"} if mode == "429" else {}
            )
        else:
            told = self.told(kind, asked, mode)
            self.send(200 if told else 404, told[: len(told) // 2] if mode == "broken" else told)

    def told(self, kind: str, asked: dict[str, str], mode: str) -> str | bytes:
        """The body of a good answer."""
        if kind == "kline":
            return json.dumps(self.world.klines(asked, mode))
        if kind == "clist":
            return json.dumps(self.world.page(asked, mode))
        if kind == "sse":
            return json.dumps(self.world.shanghai(asked, mode))
        if kind == "szse":
            return self.world.shenzhen()
        return self.world.beijing() if kind == "bse" else ""

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
        """Nothing on the tests' output."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: Any) -> None:
        """A client that gave up is no news."""


@contextmanager
def serving(world: StandIn | None = None) -> Iterator[StandIn]:
    """The stand-in at work; `environment` leads any process of ours to it."""
    import trustme

    world = world or StandIn()
    authority = trustme.CA()
    handler = type("BoundHandler", (Handler,), {"world": world, "authority": authority})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    with tempfile.TemporaryDirectory(prefix="eastmoney-") as folder:
        bundle = Path(folder) / "authority.pem"
        authority.cert_pem.write_to_path(bundle)
        proxy = f"http://127.0.0.1:{server.server_port}"
        world.environment = {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            "REQUESTS_CA_BUNDLE": str(bundle),
        }
        thread.start()
        try:
            yield world
        finally:
            world.released.set()
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    with serving() as standin:
        print("\n".join(f"export {name}={value}" for name, value in standin.environment.items()))
        threading.Event().wait()
