"""From a table of text to bars: columns by their names, volume in shares, problems by line.

A line that can't be read (a missing field, text where a number belongs, no date) fails the whole file: it
is not what it claims to be, and its owner can repair it. A line that can be read but makes no sense, such as
a high below its low or a missing price, becomes a bar as it stands; the engine refuses and counts it. What is
left out, and what is changed, is noted.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.sources.base import Bar
from tasks_app.sources.cn_codes import is_a_share, split_index
from tasks_app.sources.csv_folder import identity, noise, units
from tasks_app.sources.csv_folder.column_mapping import Mappings, header_key
from tasks_app.sources.csv_folder.days import read_days
from tasks_app.sources.csv_folder.derived import DerivedColumns
from tasks_app.sources.csv_folder.headings import (
    ENGLISH,
    NUMBERS,
    PRICES,
    REQUIRED_NUMBERS,
    YAHOO,
    YFINANCE,
    Columns,
    find_vendor,
)
from tasks_app.sources.csv_folder.identity import OTHER, RowIdentity, Stock
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.numbers import NumberReader
from tasks_app.sources.csv_folder.problems import Note, ProblemLog, UnclearCell, file_error
from tasks_app.sources.csv_folder.tables import QuoteTable, Row
from tasks_app.sources.csv_folder.units import Trade, Units

SUSPENDED_STATES = {"0", "停牌", "suspended", "halted"}
SUSPENDED_FLAGS = {"1", "1.0", "true", "yes", "y", "是", "停牌"}
NUMBERS_READ = Bar._fields[6:12]  # no file tells what follows them
SUSPENDED_WORD = "停牌"  # in place of a price
SUSPENDED, UNTRADED, EMPTY = "suspended", "untraded", "empty"  # why a line is no bar: codes of notes
LONG_BARS = ((3, 25), (6, 4))  # rows of monthly and weekly bars, and the days that all are apart at least
Numbers = dict[str, list[float | None]]  # by column


@dataclass
class ParsedStock:
    """The bars of one stock in ascending date order, and the days on which the file says it was suspended."""

    bars: list[Bar] = field(default_factory=list)
    suspended: list[date] = field(default_factory=list)


@dataclass
class ParsedFile:
    """The content of a file that can be collected, by (market, code).

    `format` says whose columns it has; for `unit_known_by` see `units.Units`. `rows` are the lines below the
    header; those that became no bar are counted by the notes.
    """

    format: str
    encoding: str
    unused_columns: list[str]
    rows: int = 0
    shares_per_volume: int = 1
    unit_known_by: str = "nothing"
    is_named_only: bool = False  # whether only the file's name says which stock it is
    notes: list[Note] = field(default_factory=list)
    stocks: dict[Stock, ParsedStock] = field(default_factory=dict)

    @property
    def bars(self) -> list[Bar]:
        """The bars of all stocks."""
        return [bar for stock in self.stocks.values() for bar in stock.bars]

    @property
    def suspended(self) -> int:
        """The days without trading, of all stocks."""
        return sum(len(stock.suspended) for stock in self.stocks.values())


@dataclass(frozen=True)
class Lines:
    """The rows that are some stock's: their numbers in the file, stocks, days and cells."""

    rows: list[Row]
    stocks: list[Stock]
    days: list[date]

    def select(self, places: Sequence[int]) -> "Lines":
        """Returns these lines in this order."""
        columns = (self.rows, self.stocks, self.days)
        return Lines(*([column[at] for at in places] for column in columns))  # type: ignore[arg-type]


class BarParser:
    """Parses the rows of one file, collecting problems rather than stopping at the first.

    `volume_unit` is `shares` or `lots` for what nothing in the file tells; "" refuses it.
    """

    def __init__(
        self,
        file: QuoteFile,
        table: QuoteTable,
        volume_unit: str = "",
        mappings: Mappings | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        """Raises `UnreadableFile` for a file without the necessary columns, or of another adjustment.

        `mappings` say what unknown headings stand for; `notes` are already known of the file.
        """
        identity.check_remarks(file, table)
        self.file, self.table, self.volume_unit = file, table, volume_unit
        renamed = (mappings or {}).get(header_key(table.header))
        self.columns = Columns(table.header, file.adjust, table.line, renamed)
        self.vendor = find_vendor(self.columns.names, table.remarks)
        if table.made_by == YFINANCE.name:
            self.vendor = YFINANCE
        elif self.vendor is ENGLISH and file.path.stem.upper().endswith(".SS"):  # which only Yahoo writes
            self.vendor = YAHOO
        self.log = ProblemLog()
        self.notes = list(notes)

    def parse(self) -> ParsedFile:
        """Returns the file's content. Raises `UnreadableFile` with the first lines that can't be read."""
        lines = self._read_lines()
        numbers = self._read_numbers(lines.rows)
        self.log.raise_any()
        order = sorted(range(len(lines.days)), key=lambda at: (lines.stocks[at], lines.days[at]))
        absent = self._find_absent(lines, numbers, order)
        traded = [at for at in order if at not in absent]
        values = {name: [column[at] for at in traded] for name, column in numbers.items()}
        bars, found = self._make_bars(lines.select(traded), values)
        stocks = self._group(lines, dict(zip(traded, bars, strict=True)), absent)
        self.log.raise_any()
        titled = any(identity.title_stock(remark, self.file.market) for remark in self.table.remarks)
        return ParsedFile(
            format=self.table.made_by or self.vendor.name,
            encoding=self.table.encoding,
            unused_columns=self.columns.unused(),
            rows=len(self.table.rows) + len(self.table.header_lines),
            shares_per_volume=found.shares,
            unit_known_by=found.known_by,
            is_named_only=bool(self.file.code) and "code" not in self.columns.positions and not titled,
            notes=self.notes,
            stocks=stocks,
        )

    def _read_lines(self) -> Lines:
        """Returns the rows that are some stock's, with their stocks and days."""
        by_yfinance = self.table.made_by == "yfinance" or {"dividends", "stocksplits"} <= self.columns.names
        if by_yfinance and "adjclose" not in self.columns.names:
            self._note("maybe_adjusted")
        elif not self.file.adjust and (by_yfinance or self.vendor is YAHOO):
            self._note("maybe_split_adjusted")
        if count := len(self.table.header_lines):
            self._note("text_lines", count=count)
        rows = self._whole_rows()
        reader = RowIdentity(self.file, self.columns, rows, self.log)
        reader.check_words()
        stocks = reader.find_stocks(self.table.remarks)
        self.log.raise_any()
        if note := reader.note_others(stocks):
            self.notes.append(note)
            rows = [row for row, stock in zip(rows, stocks, strict=True) if stock != OTHER]
            stocks = [stock for stock in stocks if stock != OTHER]
        return Lines(rows, stocks, self._read_days(rows, stocks))

    def _whole_rows(self) -> list[Row]:
        """Returns the rows with as many fields as there are headings; empty ones at the end don't count."""
        width = len(self.table.header)
        rows: list[Row] = []
        for line, fields in self.table.rows:
            if len(fields) == width:
                rows.append((line, fields))
            elif len(fields) > width and not any(map(str.strip, fields[width:])):
                rows.append((line, fields[:width]))
            else:
                self.log.add("field_count", line, fields=len(fields), expected=width)
        return rows

    def _cells(self, column: str, rows: Sequence[Row]) -> list[str]:
        at = self.columns.positions[column]
        return [fields[at].strip() for _, fields in rows]

    def _read_days(self, rows: Sequence[Row], stocks: Sequence[Stock]) -> list[date]:
        market = stocks[0][0] if stocks else "CN"
        cells = self._cells("day", rows)
        days = read_days(cells, ZoneInfo(MARKET_TIME_ZONES[market]))
        heading = self.columns.heading("day").text
        for (line, _), cell, day in zip(rows, cells, days, strict=True):
            if isinstance(day, UnclearCell):
                self.log.add(day.code, line, value=cell[:40], column=heading)
        return [date.min if isinstance(day, UnclearCell) else day for day in days]

    def _read_numbers(self, rows: Sequence[Row]) -> Numbers:
        """Returns the columns of numbers, in the file's units."""
        for column in PRICES:
            self.columns.declared_unit(column)  # prices in cents are not stored as if in yuan
        present = [name for name in (*NUMBERS, "outstanding") if name in self.columns.positions]
        cells = {column: self._cells(column, rows) for column in present}
        reader = NumberReader(cells.values())
        numbers: Numbers = {}
        for column in present:
            values = reader.read_column(cells[column])
            if column != "outstanding" and any(type(value) is UnclearCell for value in values):
                heading = self.columns.heading(column).text
                for (line, _), cell, value in zip(rows, cells[column], values, strict=True):
                    if isinstance(value, UnclearCell):
                        self.log.add(value.code, line, value=cell[:40], column=heading)
            numbers[column] = [None if isinstance(value, UnclearCell) else value for value in values]
        return numbers

    def _find_absent(self, lines: Lines, numbers: Numbers, order: Sequence[int]) -> dict[int, str]:
        """Returns the places of the lines that are no bars, with the reason.

        `suspended`: a column, a word or zeros in place of the prices say so. `untraded`: the volume is zero,
        and there are no prices, or an A-share's are all the close before: no word calls it suspended.
        `empty`: neither prices nor a volume, as in Yahoo's gaps, which says nothing of the day.
        `order` are the places by stock and day.
        """
        without = [at for at, volume in enumerate(numbers["volume"]) if not volume]
        if not without:
            return {}
        said, carried = self._said_suspended(lines.rows, without), _find_carried(lines, numbers, order)
        amounts = numbers.get("amount", [None] * len(lines.days))
        absent: dict[int, str] = {}
        for at in without:
            prices = [numbers[name][at] for name in ("open", "high", "low")]
            if at in said:
                absent[at] = SUSPENDED
            elif at in carried:
                absent[at] = UNTRADED
            elif any(prices) or amounts[at]:
                continue
            elif 0 in prices:
                absent[at] = SUSPENDED if lines.stocks[at][0] == "CN" else UNTRADED
            else:
                absent[at] = EMPTY if numbers["volume"][at] is None else UNTRADED
        return absent

    def _said_suspended(self, rows: Sequence[Row], places: Sequence[int]) -> set[int]:
        """Returns those of the places whose lines call the day suspended, in a column or in a word."""
        said = {at for at in places if SUSPENDED_WORD in map(str.strip, rows[at][1])}
        for column, words in (("tradestatus", SUSPENDED_STATES), ("paused", SUSPENDED_FLAGS)):
            if column in self.columns.positions:
                cells = self._cells(column, [rows[at] for at in places])
                said |= {at for at, cell in zip(places, cells, strict=True) if cell.lower() in words}
        return said

    def _make_bars(self, lines: Lines, values: Numbers) -> tuple[list[Bar], Units]:
        """Returns the bars of lines in ascending order of stocks and days, in our units."""
        required = {
            name: [math.nan if value is None else value for value in values[name]]
            for name in REQUIRED_NUMBERS
        }
        opened, high, low, close, volume = required.values()
        prices = [opened, high, low, close]
        if count := noise.clean_prices(prices) + noise.join_equal(opened, high, low, close):
            self._note("noise", count=count)
        found = self._find_units(lines, required, values)
        self._convert_amounts(values, found)
        shares = [_in_shares(each, found.shares) for each in volume]
        empty: list[float | None] = [None] * len(lines.days)
        extra = (values.get(name, empty) for name in NUMBERS_READ)
        bars = [Bar(*row) for row in zip(lines.days, *prices, shares, *extra, strict=True)]
        derived = DerivedColumns(self.columns, self.vendor, values)
        bars = derived.prove(bars, lines.stocks)
        self.notes += derived.notes
        return bars, found

    def _find_units(self, lines: Lines, required: dict[str, list[float]], values: Numbers) -> Units:
        """Returns the units of volumes and amounts. A column `turnover` of money becomes the amounts."""

        def trades(amounts: Iterable[float | None]) -> list[Trade]:
            numbers = (line for line, _ in lines.rows)
            columns = (required[name] for name in ("low", "high", "volume"))
            # An index's amount ÷ volume is no price of it, and proves no units.
            amounts = [
                None if split_index(code) else amount
                for (_, code), amount in zip(lines.stocks, amounts, strict=True)
            ]
            found = [Trade(*row) for row in zip(numbers, *columns, amounts, strict=True)]
            in_time = sorted(range(len(found)), key=lambda at: lines.days[at])
            return [found[at] for at in in_time if found[at].volume > 0]

        if "amount" in values and not self.columns.has_known_unit("amount"):
            self._leave_out_amounts(values)
        vendor, market = self.vendor, lines.stocks[0][0] if lines.stocks else self.file.market
        if (
            "amount" not in values
            and self.columns.has_bare_turnover(vendor)
            and units.fits_as_amount(trades(values["turnover"]))
        ):
            values["amount"] = values.pop("turnover")
            vendor = replace(vendor, money=None)
            self._note("turnover_is_amount", column=self.columns.heading("turnover").text)
        amounts = values.get("amount", [None] * len(lines.days))
        return units.find_units(
            trades(amounts),
            self.columns,
            vendor,
            market=market,
            adjust=self.file.adjust,
            setting=self.volume_unit,
        )

    def _convert_amounts(self, values: Numbers, found: Units) -> None:
        if "amount" not in values or found.money == 1:
            return
        if (money := found.money) is None:
            self._leave_out_amounts(values)
        else:
            amounts = values["amount"]
            values["amount"] = [value if value is None else round(value * money, 2) for value in amounts]

    def _leave_out_amounts(self, values: Numbers) -> None:
        if any(values.pop("amount")):
            self._note("amount_left_out", column=self.columns.heading("amount").text)

    def _group(self, lines: Lines, bars: dict[int, Bar], absent: dict[int, str]) -> dict[Stock, ParsedStock]:
        """Returns the bars and suspended days by stock. A day may be there twice only in the same words.

        `bars` are by their place, as are the reasons of the lines that are none.
        """
        seen: dict[tuple[Stock, date], int] = {}  # the place of its first line
        repeated = 0
        for at, (stock, day) in enumerate(zip(lines.stocks, lines.days, strict=True)):
            first = seen.setdefault((stock, day), at)
            if first == at:
                continue
            (other, known), (line, fields) = lines.rows[first], lines.rows[at]
            if fields == known:
                repeated += 1
            else:
                self.log.add("day_twice", line, day=day.isoformat(), other=other)
        stocks: dict[Stock, ParsedStock] = {}
        days: dict[Stock, list[date]] = {}
        counts: Counter[str] = Counter()
        for (stock, day), at in sorted(seen.items()):
            parsed = stocks.setdefault(stock, ParsedStock())
            days.setdefault(stock, []).append(day)
            if (reason := absent.get(at)) is None:
                parsed.bars.append(bars[at])
                continue
            counts[reason] += 1
            if reason == SUSPENDED:
                parsed.suspended.append(day)
        if repeated:
            self._note("repeated", count=repeated)
        for reason in sorted(counts):
            self._note(reason, count=counts[reason])
        for of_stock in days.values():
            _check_daily(of_stock)
        return stocks

    def _note(self, code: str, **values: object) -> None:
        self.notes.append(Note(code, values))


def _find_carried(lines: Lines, numbers: Numbers, order: Sequence[int]) -> set[int]:
    """Returns the lines of A-shares without volume and amount whose prices are all the close before.

    An A-share that is not suspended trades every day, and BaoStock carries the close on over days without
    trade. B shares, funds and other markets have such days, on which the prices are true.
    """
    unknown: list[float | None] = [None] * len(lines.days)
    amounts, given = (numbers.get(name, unknown) for name in ("amount", "prev_close"))
    carried: set[int] = set()
    before: dict[Stock, float | None] = {}
    for at in order:
        stock = lines.stocks[at]
        opened, high, low, close = (numbers[name][at] for name in PRICES)
        known = [price for price in (before.get(stock), given[at]) if price]
        if stock[0] == "CN" and is_a_share(stock[1]) and close and numbers["volume"][at] == 0:
            is_flat = all(price and math.isclose(price, close) for price in (opened, high, low))
            is_known = not known or any(math.isclose(price, close) for price in known)
            if is_flat and is_known and not amounts[at]:
                carried.add(at)
        before[stock] = close or before.get(stock)
    return carried


def _check_daily(days: Sequence[date]) -> None:
    """Raises `UnreadableFile` for weekly or monthly bars, of which no two are on consecutive sessions."""
    gap = min(((later - day).days for day, later in pairwise(days)), default=0)
    if any(len(days) >= rows and gap >= least for rows, least in LONG_BARS):
        raise file_error("weekly", days=gap)


def _in_shares(volume: float, unit: int) -> int:
    """Returns whole shares. A fraction of a share stays, so that the engine refuses the bar."""
    shares = volume * unit
    return round(shares) if round(shares, 4) % 1 == 0 else shares  # type: ignore[return-value]
