"""A fake BaoStock server on loopback, with made-up quotes and failures on demand.

A request is `header + body + \\x01 + CRC32 + \\n`: a header of 21 bytes (version, type, length of the
body) and fields with \\x01 between them. An answer ends with `<![CDATA[]]>\\n`; K-lines are compressed
with zlib. `python -m tests.fakes.baostock_server` serves until Ctrl-C, for manual experiments.
"""

import json
import math
import random
import socket
import socketserver
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

SPLIT, END = "\1", b"<![CDATA[]]>\n"
VERSION, HEADER = "00.9.40", 21
PAGE = 2000
LOGIN, KLINES, DAY, BASIC, FACTORS, DIVIDENDS = "00", "95", "98", "45", "15", "13"
EXCEPTION = "04"
ANSWERS = {
    EXCEPTION: EXCEPTION,
    LOGIN: "01",
    KLINES: "96",
    DAY: "99",
    BASIC: "46",
    FACTORS: "16",
    DIVIDENDS: "14",
}
COMPRESSED = {KLINES, DAY}
FIELDS = (
    "date,code,open,high,low,close,preclose,volume,amount,adjustflag,turn,tradestatus,pctChg,"
    "peTTM,pbMRQ,psTTM,pcfNcfTTM,isST"
)
FACTOR_FIELDS = "code,dividOperateDate,foreAdjustFactor,backAdjustFactor,adjustFactor"
DIVIDEND_FIELDS = (
    "code,dividPreNoticeDate,dividAgmPumDate,dividPlanAnnounceDate,dividPlanDate,dividRegistDate,"
    "dividOperateDate,dividPayDate,dividStockMarketDate,dividCashPsBeforeTax,dividCashPsAfterTax,"
    "dividStocksPs,dividCashStock,dividReserveToStockPs"
)
BASIC_FIELDS = "code,code_name,ipoDate,outDate,type,status"
TODAY = date(2024, 6, 14)  # a Friday, the last day with quotes


@cache
def drawn_close(code: str, day: date) -> float:
    """Returns the close of a security without dividends."""
    base = 5 + random.Random(code).random() * 40
    return base * random.Random(f"{code}/{day}/close").uniform(0.96, 1.04)


@dataclass(frozen=True)
class ListedStock:
    """A security of the made-up exchange. A dividend divides the price by its factor from its day on."""

    code: str
    name: str = ""
    ipo: date = date(2020, 1, 2)
    out: date | None = None
    kind: str = "1"  # 1 stock, 2 index, 5 ETF
    suspended: frozenset[date] = frozenset()
    dividends: tuple[tuple[date, float], ...] = ()
    st_since: date | None = None

    def divisor(self, day: date) -> float:
        """Returns the divisor of the price without dividends, which gives the unadjusted price."""
        return math.prod(factor for since, factor in self.dividends if since <= day)

    def factor(self, day: date, flag: str) -> Decimal:
        """Returns what the unadjusted price is multiplied by: flag 1 hfq, 2 qfq, 3 none."""
        if flag == "3":
            return Decimal(1)
        over = self.divisor(date.max) if flag == "2" else 1.0
        return Decimal(f"{self.divisor(day) / over:.6f}")

    def factor_rows(self) -> list[list[str]]:
        """Returns the rows of its factors by ex day, the first from its listing on, as the vendor does."""
        rows = []
        for day in (self.ipo, *(since for since, _ in self.dividends)):
            back = str(self.factor(day, "1"))
            rows.append([self.code, day.isoformat(), str(self.factor(day, "2")), back, back])
        return rows

    def dividend_rows(self, year: str) -> list[list[str]]:
        """Returns its payments with an ex day in the year: 8 shares for 10 and 0.5 yuan each."""
        return [
            [
                *(self.code, "", "", (since - timedelta(days=60)).isoformat(), ""),
                *((since - timedelta(days=1)).isoformat(), since.isoformat(), since.isoformat(), ""),
                *("0.5", "0.45或0.5", "0.300000", "10送3转5派5元", "0.500000"),
            ]
            for since, _ in self.dividends
            if since.isoformat().startswith(year)
        ]

    def has_row(self, day: date) -> bool:
        """Returns whether there is a row for the day: a weekday while listed, suspended or not."""
        return self.ipo <= day <= min(self.out or TODAY, TODAY) and day.weekday() < 5

    def days(self) -> Iterator[date]:
        """Yields the days that have rows."""
        for number in range(self.ipo.toordinal(), min(self.out or TODAY, TODAY).toordinal() + 1):
            if self.has_row(day := date.fromordinal(number)):
                yield day

    def row(self, day: date, flag: str) -> dict[str, str]:
        """Returns the day as the vendor sends it: text, four decimals."""
        before, opened, high, low, close = self._prices(day)
        divisor, factor = self.divisor(day), self.factor(day, flag)
        draw = random.Random(f"{self.code}/{day}/volume")
        volume = draw.randrange(100_000, 9_000_000)
        amount = volume * (high + low) / 2 / divisor
        if day in self.suspended:
            opened = high = low = close = before
            volume, amount = 0, 0.0
        prices = {"open": opened, "high": high, "low": low, "close": close, "preclose": before}
        unadjusted = {name: Decimal(f"{price / divisor:.4f}") for name, price in prices.items()}
        texts = {name: f"{price * factor:.4f}" for name, price in unadjusted.items()}
        trading = volume > 0
        return {
            **texts,
            "date": day.isoformat(),
            "code": self.code,
            "volume": str(volume),
            "amount": f"{amount:.4f}",
            "adjustflag": flag,
            "turn": f"{volume / 1e8:.6f}" if trading else "",
            "tradestatus": "1" if trading else "0",
            "pctChg": f"{(close / before - 1) * 100:.6f}",
            "isST": str(int(self.st_since is not None and self.st_since <= day)),
            **dict.fromkeys(("peTTM", "pbMRQ", "psTTM", "pcfNcfTTM"), "12.345600"),
        }

    def _prices(self, day: date) -> tuple[float, float, float, float, float]:
        """Returns previous close, open, high, low and close without dividends."""
        last = day - timedelta(days=1)
        while last in self.suspended or last.weekday() > 4:
            last -= timedelta(days=1)
        draw = random.Random(f"{self.code}/{day}")
        before, close = drawn_close(self.code, last), drawn_close(self.code, day)
        opened = before * draw.uniform(0.99, 1.01)
        return before, opened, max(opened, close) * 1.005, min(opened, close) * 0.995, close


LISTINGS = (
    ListedStock("sh.600000", "浦发银行"),
    ListedStock("sz.000001", "平安银行", suspended=frozenset({date(2024, 3, 5), date(2024, 3, 6)})),
    ListedStock("sz.300750", "宁德时代", dividends=((date(2024, 4, 25), 1.8),)),
    ListedStock("sh.600001", "邯郸钢铁", ipo=date(2020, 1, 2), out=date(2022, 6, 30)),
    ListedStock("sz.301999", "新股", ipo=date(2024, 6, 3)),
    ListedStock("sh.600519", "贵州茅台", ipo=date(2016, 8, 29)),
    ListedStock("bj.920002", "万达轴承", ipo=date(2024, 5, 30)),
    ListedStock("sh.000001", "上证综合指数", kind="2"),
    ListedStock("sz.399001", "深证成份指数", kind="2"),
    ListedStock("sh.510300", "沪深300ETF", kind="5"),
)


@dataclass
class FakeBaostock:
    """What the server lists, how it fails, and the requests that it received.

    `failures` maps the name of a request ("login", "query_stock_basic", …) or a code to a mode:
    an error code of eight digits, `hang`, `close` (in mid-answer), `gone` (no answer), `reset` (the
    connection, rudely), `cut` (reset at the second page), `renamed` (a field), `empty`, `unpaged` (all rows
    at once), or `nonsense` (no protocol at all). A list is used up one by one. `hanging` is set once a
    request hangs.
    """

    listings: dict[str, ListedStock] = field(default_factory=lambda: {x.code: x for x in LISTINGS})
    failures: dict[str, str | list[str]] = field(default_factory=dict)
    requests: list[list[str]] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    open: list["Connection"] = field(default_factory=list)
    max_open: int = 0
    address: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str) -> int:
        """Returns the number of requests of that name; each page is one."""
        return sum(request[0] == name for request in self.requests)

    def close_connections(self) -> None:
        """Closes every connection, as the vendor does with idle ones."""
        with self.lock:
            for connection in self.open:
                connection.connection.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Ends all failures, releases hanging requests, and forgets the requests."""
        self.failures = {}
        self.released.set()
        self.released = threading.Event()
        self.requests.clear()
        self.hanging.clear()

    def failure_mode(self, *keys: str) -> str:
        """Returns how a request with these keys fails; "" for a good answer."""
        with self.lock:
            for key in keys:
                mode = self.failures.get(key, "")
                if isinstance(mode, list):
                    mode = mode.pop(0) if mode else ""
                if mode:
                    return mode
        return ""


class Connection(socketserver.StreamRequestHandler):
    """Handles one client's connection."""

    server: "BaostockServer"

    def handle(self) -> None:
        self.vendor = self.server.vendor
        with self.vendor.lock:
            self.vendor.open.append(self)
            self.vendor.max_open = max(self.vendor.max_open, len(self.vendor.open))
        try:
            while line := self.rfile.readline():
                if not self._answer(line):
                    return
        except ConnectionError:
            pass
        finally:
            with self.vendor.lock:
                self.vendor.open.remove(self)

    def _answer(self, line: bytes) -> bool:
        """Answers one request. Returns False to close the connection."""
        kind, arguments = self._read(line)
        self.vendor.requests.append(arguments)
        code = arguments[4] if kind in (KLINES, BASIC, FACTORS, DIVIDENDS) else ""
        mode = self.vendor.failure_mode(code, arguments[0])
        if mode == "cut":
            mode = "reset" if arguments[2] != "1" else ""
        if mode == "hang":
            self.vendor.hanging.set()
            self.vendor.released.wait(60)
        if mode == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if mode in ("gone", "hang", "reset"):
            return False
        if mode == "nonsense":
            self.wfile.write(b"502 Bad Gateway" + END)
            return True
        if mode.isdigit():
            message = {"10001011": "黑名单用户", "10004012": "无效的指标"}.get(mode, "出错了")
            return self._send(EXCEPTION, SPLIT.join([mode, message]), mode)
        return self._send(kind, self._body(kind, arguments, mode), mode)

    def _read(self, line: bytes) -> tuple[str, list[str]]:
        """Returns type and fields of a request. Asserts that header and checksum follow the protocol."""
        message, _, checksum = line.decode().rstrip("\n").rpartition(SPLIT)
        assert zlib.crc32(message.encode()) == int(checksum)
        version, kind, length = message[:HEADER].split(SPLIT)
        body = message[HEADER:]
        assert (version, int(length)) == (VERSION, len(body))
        return kind, body.split(SPLIT)

    def _body(self, kind: str, arguments: list[str], mode: str) -> str:
        ok = ["0", "success", *arguments[:2]]
        if kind == LOGIN:
            return SPLIT.join(ok)
        answers = {KLINES: self._klines, DAY: self._day, BASIC: self._basic}
        answers |= {FACTORS: self._factors, DIVIDENDS: self._dividends}
        records, fields = answers[kind](arguments)
        if mode == "empty":
            records = []
        if mode == "late":
            records = records[-20:]
        if mode == "renamed":
            fields = fields.replace("volume", "vol").replace("ipoDate", "listDate")
        if kind == DAY:
            return SPLIT.join([*ok, json.dumps({"record": records}), fields])
        page = int(arguments[2])
        shown = records if mode == "unpaged" else records[(page - 1) * PAGE : page * PAGE]
        # An empty answer has no JSON at all.
        record = json.dumps({"record": shown}, ensure_ascii=False) if shown else ""
        rest = [arguments[4], fields, *arguments[6:10]] if kind == KLINES else [*arguments[4:6], fields]
        if kind in (FACTORS, DIVIDENDS):
            rest = [*arguments[4:7], fields]
        return SPLIT.join([*ok, str(page), str(PAGE), record, *rest])

    def _klines(self, arguments: list[str]) -> tuple[list[list[str]], str]:
        code, fields, start, end, frequency, flag = arguments[4:10]
        assert frequency == "d"
        listing = self.vendor.listings.get(code)
        if listing and listing.kind == "2":  # what the vendor documents for indices
            assert not {"turn", "tradestatus", "isST"} & set(fields.split(","))
        days = [day for day in listing.days() if start <= day.isoformat() <= end] if listing else []
        return [_pick(listing.row(day, flag), fields) for day in days if listing], fields

    def _day(self, arguments: list[str]) -> tuple[list[list[str]], str]:
        day = date.fromisoformat(arguments[2])
        stocks = [x for x in self.vendor.listings.values() if x.kind == "1" and x.has_row(day)]
        return [_pick(stock.row(day, "3"), FIELDS) for stock in stocks], FIELDS

    def _factors(self, arguments: list[str]) -> tuple[list[list[str]], str]:
        code, start, end = arguments[4:7]
        listing = self.vendor.listings.get(code)
        rows = listing.factor_rows() if listing else []
        return [row for row in rows if start <= row[1] <= end], FACTOR_FIELDS

    def _dividends(self, arguments: list[str]) -> tuple[list[list[str]], str]:
        code, year, kind = arguments[4:7]
        assert kind == "operate"
        listing = self.vendor.listings.get(code)
        return listing.dividend_rows(year) if listing else [], DIVIDEND_FIELDS

    def _basic(self, arguments: list[str]) -> tuple[list[list[str]], str]:
        wanted = arguments[4]
        return [
            [
                x.code,
                x.name,
                x.ipo.isoformat(),
                x.out.isoformat() if x.out else "",
                x.kind,
                "0" if x.out else "1",
            ]
            for x in self.vendor.listings.values()
            if wanted in ("", x.code)
        ], BASIC_FIELDS

    def _send(self, kind: str, body: str, mode: str) -> bool:
        sent = body.encode()
        packed = zlib.compress(sent) if kind in COMPRESSED else sent
        head = SPLIT.join([VERSION, ANSWERS[kind], f"{len(packed):010}"]).encode()
        checksum = str(zlib.crc32(head + sent)).encode()
        message = head + packed + SPLIT.encode() + checksum + END
        self.wfile.write(message[: len(message) // 2] if mode == "close" else message)
        return mode != "close"


def _pick(row: dict[str, str], fields: str) -> list[str]:
    return [row[name] for name in fields.split(",")]


class BaostockServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, vendor: FakeBaostock, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.vendor = vendor
        host, at = self.server_address[:2]
        vendor.address = f"{host!s}:{at}"

    def shutdown_request(self, request: Any) -> None:
        """Closes without a shutdown first, which would turn a reset into an ordinary close."""
        self.close_request(request)


@contextmanager
def run_server(**state: Any) -> Iterator[FakeBaostock]:
    """Runs the fake server in threads of this process."""
    vendor = FakeBaostock(**state)
    with BaostockServer(vendor) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield vendor
        finally:
            vendor.released.set()
            server.shutdown()


if __name__ == "__main__":
    with BaostockServer(FakeBaostock(), 10030) as forever:
        print(f"COLLECTOR_BAOSTOCK_ADDRESS={forever.vendor.address}", flush=True)
        forever.serve_forever()
