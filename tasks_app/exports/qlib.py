"""The layout `qlib`: Microsoft qlib's own binary files, as its scripts/dump_bin.py writes them.

`calendars/day.txt` has a day per line. `instruments/all.txt` has the code, first and last day of a stock,
separated by tabs. `features/sh600000/close.day.bin` has little-endian 32-bit floats: the place of the first
value in the calendar, then a value for each of its days up to the stock's last one, NaN without a bar.

The fields follow qlib's data: prices are adjusted, `factor` is the adjusted price divided by the unadjusted
one, `volume` is the number of shares divided by `factor`, and `change` is that of the close, as a share of 1.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from math import nan
from pathlib import Path
from sys import byteorder
from typing import Any

from tasks_app.exports import versions
from tasks_app.exports.selection import Selection
from tasks_app.exports.stock_files import StockLayout, StockRows, split_code

MARKS = {"SSE": "SH", "SZSE": "SZ", "BSE": "BJ", "CSI": "CSI"}
CALENDAR, INSTRUMENTS = "calendars/day", "instruments/all"
FIELDS = ("open", "high", "low", "close", "volume", "amount", "factor", "change")
# Names that Windows reserves; qlib writes them with a mark (qlib.utils.code_to_fname).
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{n}" for name in ("COM", "LPT") for n in range(10))}


class QlibLayout(StockLayout):
    """A part for each stock, one for the calendar and one for the list of instruments.

    The calendar has every day of which the export has a bar. `memory` has its days, and for each code the
    version, the first and the last day.
    """

    folder = "features"

    def scan(self, found: dict[str, str], cursor: str) -> Iterator[tuple[str, int, int]]:
        days = set(self.memory.get("days", ()))
        stocks: dict[str, list[str]] = self.memory.setdefault("stocks", {})
        batches = list(versions.batches(self.keys))
        for done, (market, pairs) in enumerate(batches, 1):
            place = versions.place_of(market, pairs)
            if place <= cursor:
                continue
            bounds = self._read_days(market, pairs, days)
            for code, version in self.read_versions(market, pairs, bounds).items():
                stocks[code] = [version, *bounds[code]]
            self.memory["days"] = sorted(days)
            yield place, done, len(batches) + 1
        found |= self._versions()
        yield cursor, len(batches) + 1, len(batches) + 1

    def write(self, key: str, root: Path) -> Iterator[int]:
        if key == CALENDAR:
            text = "".join(f"{day}\n" for day in self.memory["days"])
        elif key == INSTRUMENTS:
            stocks = self.memory["stocks"].items()
            lines = [(symbol_of(self.selection, code), first, last) for code, (_, first, last) in stocks]
            text = "".join("\t".join(line) + "\n" for line in sorted(lines))
        else:
            yield from super().write(key, root)
            return
        path = root / f"{key}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        yield 0

    def write_stock(self, stock: StockRows, root: Path) -> None:
        symbol = symbol_of(self.selection, stock.code)
        name = f"_qlib_{symbol}" if symbol.upper() in RESERVED else symbol
        folder = root / "features" / name.lower()
        folder.mkdir(parents=True)
        columns = _columns(stock)
        calendar = self.memory["days"]
        start = bisect_left(calendar, stock.rows[0]["day"].isoformat())
        end = bisect_left(calendar, stock.rows[-1]["day"].isoformat()) + 1
        places = {row["day"].isoformat(): place for place, row in enumerate(stock.rows)}
        order = [places.get(day) for day in calendar[start:end]]
        for field in FIELDS:
            values = columns[field]
            content = array("f", [start, *(nan if place is None else values[place] for place in order)])
            if byteorder == "big":
                content.byteswap()
            (folder / f"{field}.day.bin").write_bytes(content.tobytes())

    def _read_days(
        self, market: str, pairs: list[tuple[str, str]], days: set[str]
    ) -> dict[str, tuple[str, str]]:
        """Adds the days of all bars that are read; returns the first and the last day of each code."""
        bounds: dict[str, tuple[str, str]] = {}
        bases = self.find_bases(market, pairs)
        stored: Any = self.selection.bars(market, pairs).values_list("symbol", "adjust", "day").order_by()
        for code, adjust, day in stored.iterator():
            basis = bases.get(code)
            if not basis or adjust != basis.read_adjust or (basis.ends_before and day >= basis.ends_before):
                continue
            text = day.isoformat()
            days.add(text)
            first, last = bounds.get(code, (text, text))
            bounds[code] = (min(first, text), max(last, text))
        return bounds

    def _versions(self) -> dict[str, str]:
        """Returns the versions of all parts: a stock's files also tell the calendar up to its last day."""
        digest, until = sha256(), {}
        for day in self.memory.get("days", ()):
            digest.update(day.encode())
            until[day] = digest.hexdigest()[:16]
        found = {CALENDAR: "", INSTRUMENTS: ""}
        for code, (version, _first, last) in self.memory["stocks"].items():
            found[f"{self.folder}/{code}"] = f"{version} {until[last]}"
        return found


def symbol_of(selection: Selection, code: str) -> str:
    """Returns a code as qlib writes it: SH600000, AAPL."""
    number, exchange = split_code(selection.market, code)
    return f"{MARKS.get(exchange, '')}{number}".upper()


def _columns(stock: StockRows) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {
        name: [_number(row[name]) for row in stock.rows] for name in FIELDS[:-1] if name != "volume"
    }
    factors, closes = columns["factor"], columns["close"]
    split = stock.basis.factors is not None and stock.basis.factors.with_volume  # divided already
    shares = [row["volume"] for row in stock.rows]
    columns["volume"] = [
        float(volume) if split else volume / factor if factor else nan
        for volume, factor in zip(shares, factors, strict=True)
    ]
    before = [nan, *closes[:-1]]
    columns["change"] = [now / old - 1 if old else nan for now, old in zip(closes, before, strict=True)]
    return columns


def _number(value: float | None) -> float:
    return nan if value is None else float(value)
