"""通达信's .day files: a stock's days as records of 32 bytes, little-endian, in ascending order.

Day as YYYYMMDD, open, high, low and close in ticks, amount in yuan as a float, volume, and an unused word.
This is how pytdx and its successors read them (`<IIIIIfII`). The tick, and whether volumes are shares or
lots, differ by the kind of security and are not in the file. For the kinds of `_TICKS` they are known; the
amounts must prove them: amount ÷ volume is a price of the day in one combination only. A file that proves
nothing is refused.
"""

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

from tasks_app.sources.cn_codes import exchange_of
from tasks_app.sources.csv_folder.headings import LOT
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.problems import Note, file_error
from tasks_app.sources.csv_folder.tables import QuoteTable
from tasks_app.sources.csv_folder.units import MANY, TOLERANCE

SUFFIX = ".day"
RECORD = struct.Struct("<IIIIIfII")
WHOLE = 2**23  # from here on, a float of four bytes has no fractions
MAX_VOLUME = 2**32  # what a record's volume can count
HUNDREDTHS, THOUSANDTHS = 100, 1000
# By exchange and the beginning of the code: ticks in a unit of currency, and the shares in a volume (None:
# known for neither all years nor all programs, so that only the amounts tell).
_TICKS: dict[tuple[str, str], tuple[int, int | None]] = {
    ("SSE", "60"): (HUNDREDTHS, 1),
    ("SSE", "68"): (HUNDREDTHS, 1),
    ("SSE", "90"): (THOUSANDTHS, 1),  # B shares, in US dollars
    ("SSE", "5"): (THOUSANDTHS, None),  # funds
    ("SZSE", "00"): (HUNDREDTHS, 1),
    ("SZSE", "30"): (HUNDREDTHS, 1),
    ("SZSE", "20"): (HUNDREDTHS, 1),  # B shares, in Hong Kong dollars
    ("SZSE", "1"): (THOUSANDTHS, None),  # funds
    ("BSE", ""): (HUNDREDTHS, None),
}
SHARES_NAMES = {1: "股", LOT: "手"}  # as a heading has them


class Record(NamedTuple):
    """One day as the file has it: prices in ticks."""

    day: int
    open: int
    high: int
    low: int
    close: int
    amount: float
    volume: int


def read_day_file(file: QuoteFile, content: bytes) -> tuple[QuoteTable, list[Note]]:
    """Returns a .day file as a table with units in its headings, and what is not right in it.

    Raises `UnreadableFile` for other content, an adjusted folder, another market than China's, and units that
    the amounts don't prove.
    """
    if file.adjust:
        raise file_error("day_file_adjusted")
    if file.market != "CN":
        raise file_error("day_file_market")
    if not content:
        raise file_error("no_header")
    if len(content) % RECORD.size:
        raise file_error("day_file_cut")
    records = [Record(*fields[:7]) for fields in RECORD.iter_unpack(content)]
    ticks, declared = _declared(file.code)
    shares = _prove_units(records, ticks, declared)
    decimals = 2 if ticks == HUNDREDTHS else 3
    rows, wrapped = [], 0
    for line, record in enumerate(records, 1):
        is_wrapped = _is_wrapped(record, ticks, shares)
        wrapped += is_wrapped
        prices = (f"{price / ticks:.{decimals}f}" for price in record[1:5])
        volume = "" if is_wrapped else str(record.volume)
        rows.append((line, [str(record.day), *prices, _amount_text(record.amount), volume]))
    header = ["date", "open", "high", "low", "close", "amount(元)", f"volume({SHARES_NAMES[shares]})"]
    notes = [Note("volume_overflow", {"count": wrapped})] if wrapped else []
    return QuoteTable("binary", header, rows, 0, made_by="通达信 .day"), notes


def _amount_text(amount: float) -> str:
    if not math.isfinite(amount):
        return ""
    return str(int(amount) if amount >= WHOLE else round(amount, 2))


def _declared(code: str) -> tuple[int, int | None]:
    """Returns the ticks in a unit of currency and the shares in a volume of this kind of security."""
    exchange = exchange_of(code)
    for (of_exchange, beginning), units in _TICKS.items():
        if exchange == of_exchange and code.startswith(beginning):
            return units
    raise file_error("day_file_kind", value=code)


def _prove_units(records: Sequence[Record], ticks: int, declared: int | None) -> int:
    """Returns the shares in a volume. Raises `UnreadableFile` unless nearly all amounts prove these units."""
    checks = [record for record in records if 0 < record.amount < math.inf and record.volume and record.low]
    if not checks:
        raise file_error("day_file_unproven")
    # Tenfold steps apart, so a day fits one pair only, unless its range of prices is tenfold itself.
    fits = {
        (of_ticks, shares): sum(_fits(record, of_ticks, shares) for record in checks)
        for of_ticks in (HUNDREDTHS, THOUSANDTHS)
        for shares in (1, LOT)
    }
    best = max(fits, key=lambda pair: fits[pair])
    is_clear = fits[best] * MANY >= len(checks) * (MANY - 1)
    if not is_clear or best[0] != ticks or (declared is not None and best[1] != declared):
        line = next((n for n, record in enumerate(records, 1) if record in checks), 1)
        unit = SHARES_NAMES[declared] if declared else "/".join(SHARES_NAMES.values())
        raise file_error("day_file_units", line, price=f"{1 / ticks:g}", volume=unit)
    return best[1]


def _fits(record: Record, ticks: int, shares: int) -> bool:
    price = record.amount / record.volume / shares * ticks
    return record.low * (1 - TOLERANCE) <= price <= record.high * (1 + TOLERANCE)


def _is_wrapped(record: Record, ticks: int, shares: int) -> bool:
    """Returns whether more was traded than the record can count: its volume is what a division left over."""
    if (
        not record.high
        or not 0 < record.amount < math.inf
        or (record.volume and _fits(record, ticks, shares))
    ):
        return False
    return record.amount * ticks / record.high / shares >= MAX_VOLUME
