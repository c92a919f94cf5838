"""Fake servers of Tencent and Sina on loopback, with the quotes and the stock lists of `eastmoney_server`.

Sina packs its bars with a code of its own, which AKShare's script unpacks: bits, the lowest first, six to a
letter. `pack` writes the widths once and then each bar in full.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from tasks_app.sources.cn_codes import SHORT, exchange_of
from tests.fakes.eastmoney_server import NONE, FakeEastmoney, Handler, Security, run_proxy

HOSTS = {
    "web.ifzq.gtimg.cn": "trend",
    "proxy.finance.qq.com": "tencent",
    "finance.sina.com.cn": "sina",
    "stock.finance.sina.com.cn": "shares",
}
LETTERS = ascii_uppercase + ascii_lowercase + digits + "+/"
FORMAT, PACKED_SINCE = 3466, date(1990, 12, 19)  # the day on which Sina's count of days begins
PRICE_BITS, VOLUME_BITS, AMOUNT_BITS = 21, 42, 45
STAR = ("688", "689")


def pack(lines: Iterable[list[str]]) -> str:
    """Returns K-lines, volumes in shares, as Sina packs them: prices in cents, amounts in whole yuan."""
    bits: list[int] = []

    def write(value: int, width: int) -> None:
        bits.extend(value >> place & 1 for place in range(width))

    def grow(steps: int) -> None:
        bits.extend([1, 1, *([1] * (steps - 1)), 0])  # a flag, the sign, and the number of steps

    write(FORMAT, 12)
    write(63, 6)
    last_close = last_volume = last_amount = 0
    for number, (day, opened, close, high, low, lots, amount, *_) in enumerate(lines):
        days = (date.fromisoformat(day) - PACKED_SINCE).days
        if number == 0:
            bits.extend([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])  # amounts are sent; all else stays as it is
            bits.append(1)  # the widths, in steps of three bits
            for before, width in ((3, PRICE_BITS),) * 4 + ((5, VOLUME_BITS), (5, AMOUNT_BITS)):
                grow(width // 3 - before)
            bits.append(1)
            write(1, 3)
            write(days, 18)
            bits.append(0)  # no previous close
        else:
            bits.extend([1, 0, 1, 1, 1])
            write(1, 3)
            write(days, 18)
        cents = [round(float(price) * 100) for price in (opened, high, low, close)]
        volume, yuan = int(lots) * 100, round(float(amount))
        write(cents[0] - last_close, PRICE_BITS)
        write(cents[1] - cents[0], PRICE_BITS)
        write(cents[0] - cents[2], PRICE_BITS)
        write(cents[3] - cents[0], PRICE_BITS)
        write(volume - last_volume, VOLUME_BITS)
        write(yuan - last_amount, AMOUNT_BITS)
        last_close, last_volume, last_amount = cents[3], volume, yuan
    bits.extend([1, 1, 0, 0, 0])
    bits.extend([0] * (-len(bits) % 6))
    return "".join(
        LETTERS[sum(bit << place for place, bit in enumerate(bits[at : at + 6]))]
        for at in range(0, len(bits), 6)
    )


class AShareHandler(Handler):
    """Answers for Tencent, Sina and the three exchanges."""

    def kind(self, path: str) -> str:
        if self.host == "finance.sina.com.cn" and path.endswith("/hfq.js"):
            return "factors"
        return HOSTS.get(self.host) or super().kind(path)

    def security_id(self, kind: str, path: str, query: dict[str, str]) -> str:
        """Returns the security's id of a request for it; "" for others."""
        parts = path.split("/")
        symbol = {
            "trend": query.get("code", ""),
            "tencent": query.get("param", "").partition(",")[0],
            "sina": parts[3] if len(parts) > 3 else "",
            "factors": parts[3] if len(parts) > 3 else "",
            "shares": query.get("symbol", ""),
        }.get(kind, "")
        return f"{int(symbol.startswith('sh'))}.{symbol[2:]}" if symbol else ""

    def body(self, kind: str, query: dict[str, str], mode: str, key: str) -> str | bytes:
        if kind not in HOSTS.values():
            return super().body(kind, query, mode, key)
        security = self.vendor.listings.get(key, Security(key, gone=True))
        lines = [] if mode == "null" else security.klines(NONE)
        symbol = f"{SHORT.get(exchange_of(security.code), '')}{security.code}"
        if kind == "trend":
            return f"trend_qfq={json.dumps({'code': 0, 'data': [line[:1] for line in lines]})}"
        if kind == "tencent":
            rows = list(self.tencent_rows(security, lines, query["param"].split(","), mode))
            return f"{query['_var']}={json.dumps({'code': 0, 'data': {symbol: {'day': rows, 'qt': {}}}})}"
        if kind == "shares":
            # The number also changes on a Saturday, for which the client copies Friday's bar.
            rows = [{"date": day, "amount": "1000000"} for day in ("1990-12-19", "2024-06-01")]
            return f"var KKE_ShareAmount_{symbol}=({json.dumps(rows)})"
        return f'var KLC_KL_{symbol}="{pack(lines)}";' if lines else ""

    def tencent_rows(
        self, security: Security, lines: list[list[str]], asked: list[str], mode: str
    ) -> Iterator[list[Any]]:
        """Yields rows with volumes in lots, on the STAR market in shares, and amounts in 10,000 yuan."""
        lot = 100 if security.code.startswith(STAR) else 1
        for day, opened, close, high, low, lots, amount, *_, turnover in lines:
            if not asked[2] or asked[2] <= day <= asked[3]:
                volume = f"{int(lots) * lot * (37 if mode == 'shares' else 1)}.000"
                yield [
                    day,
                    opened,
                    close,
                    high,
                    low,
                    volume,
                    {},
                    turnover,
                    f"{float(amount) / 10_000:.2f}",
                    "",
                ]


def run_server(vendor: FakeEastmoney | None = None) -> AbstractContextManager[FakeEastmoney]:
    """Runs the fake servers; its `environment` leads any process of ours to them."""
    return run_proxy(vendor or FakeEastmoney(), AShareHandler)
