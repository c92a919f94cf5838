"""From a table of text to bars: columns by their names, volume in shares, problems by line.

A line that can't be read (a missing field, text where a number belongs, no date) fails the whole file: it
is not what it claims to be, and its owner can repair it. A line that can be read but makes no sense, such as
a high below its low or a missing price, becomes a bar as it stands; the engine refuses and counts it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks_app.sources.base import Bar
from tasks_app.sources.csv_folder.layout import QuoteFile
from tasks_app.sources.csv_folder.problems import Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.tables import Table, parse_day

LOT = 100
TOLERANCE = 0.01  # of the price: prices are rounded
MAX_PROBLEMS = 20
COLUMN_NAMES = {
    "day": ("日期", "交易日期", "date", "day", "trade_date", "datetime", "time"),
    "open": ("开盘", "开盘价", "open"),
    "high": ("最高", "最高价", "high"),
    "low": ("最低", "最低价", "low"),
    "close": ("收盘", "收盘价", "close"),
    "volume": ("成交量", "volume", "vol"),
    "prev_close": ("昨收", "前收盘", "preclose", "prev_close", "pre_close"),
    "amount": ("成交额", "成交金额", "amount"),
    "amplitude": ("振幅", "amplitude"),
    "change": ("涨跌额", "change"),
    "change_pct": ("涨跌幅", "pctchg", "pct_chg", "change_pct"),
    "turnover": ("换手率", "turn", "turnover"),
    "code": ("股票代码", "代码", "code", "symbol", "ticker", "ts_code"),
    "tradestatus": ("tradestatus",),
    "adjustflag": ("adjustflag",),
    "adjust": ("adjust",),
}
COLUMN_OF_NAME = {name: column for column, names in COLUMN_NAMES.items() for name in names}
REQUIRED_NUMBERS = ("open", "high", "low", "close", "volume")
NUMBERS = (*REQUIRED_NUMBERS, *Bar._fields[6:])
ADJUST_OF_FLAG = {"3": "", "2": "qfq", "1": "hfq"}  # BaoStock's
MISSING = {"", "-", "--", "nan", "none", "null", "n/a", "<na>"}


@dataclass
class ParsedFile:
    """The content of a file that can be collected.

    `format` says whose columns it has: AKShare, BaoStock or English. `unit_known_by` says how the unit of its
    volumes is known: `amount` (it fits), `against` (the amount proves it, though the columns suggest another
    unit) or `columns` (there was nothing to check it by).
    """

    format: str
    encoding: str
    unused_columns: list[str]
    shares_per_volume: int = 1
    unit_known_by: str = "columns"
    suspended: int = 0  # days
    bars: list[Bar] = field(default_factory=list)


class BarParser:
    """Parses the rows of one file, collecting problems rather than stopping at the first."""

    def __init__(self, file: QuoteFile, table: Table) -> None:
        self.file, self.table = file, table
        self.positions = _column_positions(table.header)

    def parse(self) -> ParsedFile:
        """Returns the file's content, its bars in ascending date order.

        Raises `UnreadableFile` with the first `MAX_PROBLEMS` lines that can't be read.
        """
        used = set(self.positions.values())
        unused = [name for position, name in enumerate(self.table.header) if position not in used]
        parsed = ParsedFile(_format_of(self.table.header), self.table.encoding, unused)
        bars: dict[int, Bar] = {}  # by line
        problems: list[Problem] = []
        problem_count = 0
        for line, fields in self.table.rows:
            try:
                if len(fields) != len(self.table.header):
                    expected = len(self.table.header)
                    raise file_error("field_count", line, fields=len(fields), expected=expected)
                values = {column: fields[at].strip() for column, at in self.positions.items()}
                self._check_identity(line, values)
                bar = self._bar(line, values)
            except UnreadableFile as error:
                problem_count += 1
                problems += error.problems[: MAX_PROBLEMS - len(problems)]
                continue
            if values.get("tradestatus") == "0":
                parsed.suspended += 1
            else:
                bars[line] = bar
        if problem_count:
            raise UnreadableFile(problems, problem_count)
        unit, parsed.unit_known_by = self._unit(parsed.format, bars)
        parsed.shares_per_volume = unit
        parsed.bars = sorted((_in_shares(bar, unit) for bar in bars.values()), key=lambda bar: bar.day)
        return parsed

    def _check_identity(self, line: int, values: Mapping[str, str]) -> None:
        """Raises `UnreadableFile` for a line of another stock or adjustment than the file's."""
        code = values.get("code", "")
        if code and not _is_same_code(code, self.file.code):
            raise file_error("other_code", line, value=code, expected=self.file.code)
        adjust = values.get("adjust", self.file.adjust)
        if flag := values.get("adjustflag", ""):
            adjust = ADJUST_OF_FLAG.get(flag, flag)
        if adjust != self.file.adjust:
            raise file_error("other_adjustment", line, value=adjust, expected=self.file.adjust)

    def _bar(self, line: int, values: Mapping[str, str]) -> Bar:
        """Returns the line as a bar. Its volume is still in the file's unit, and may be fractional."""

        def invalid(code: str, column: str) -> UnreadableFile:
            heading = self.table.header[self.positions[column]]
            return file_error(code, line, value=values[column][:40], column=heading)

        try:
            day = parse_day(values["day"])
        except ValueError as error:
            raise invalid("not_a_day", "day") from error
        numbers: dict[str, float | None] = {}
        for column in NUMBERS:
            if column in values:
                try:
                    numbers[column] = _parse_number(values[column])
                except ValueError as error:
                    raise invalid("not_a_number", column) from error
        for column in REQUIRED_NUMBERS:
            if numbers[column] is None:
                numbers[column] = math.nan
        return Bar(day, **numbers)  # type: ignore[arg-type]

    def _unit(self, file_format: str, bars: Mapping[int, Bar]) -> tuple[int, str]:
        """Returns the shares in one volume and how they are known.

        Amount ÷ volume must be a price of the day. Raises `UnreadableFile` where it is in neither unit.
        """
        declared = LOT if file_format == "AKShare" and self.file.market == "CN" else 1
        other = LOT if declared == 1 else 1
        checks = [
            (line, _price_fits(bar, declared), _price_fits(bar, other))
            for line, bar in bars.items()
            if not self.file.adjust and bar.amount and bar.volume > 0
        ]
        if not checks:
            return declared, "columns"
        as_declared = sum(fits for _, fits, _ in checks)
        as_other = sum(fits for _, _, fits in checks)
        # A few odd lines are the engine's to flag; more of them are a file in two units.
        if as_declared * 2 >= len(checks) and as_other * 20 <= len(checks):
            return declared, "amount"
        if as_other * 20 >= len(checks) * 19:
            return other, "against"
        raise file_error("unit_unclear", next(line for line, fits, _ in checks if not fits))


def _format_of(header: Sequence[str]) -> str:
    names = {name.strip().lower() for name in header}
    if "日期" in names:
        return "AKShare"
    return "BaoStock" if names & {"preclose", "tradestatus", "pctchg"} else "English"


def _column_positions(header: Sequence[str]) -> dict[str, int]:
    """Returns where each known column is. Raises `UnreadableFile` for a missing or duplicate one."""
    names = [name.strip().lower().replace(" ", "_") for name in header]
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        column = COLUMN_OF_NAME.get(name)
        # Sina's turnover, which comes with this column, is a fraction and not a percentage.
        if column is None or (column == "turnover" and "outstanding_share" in names):
            continue
        if column in positions:
            both = f"{header[positions[column]]}, {header[position]}"
            raise file_error("column_twice", 1, column=column, columns=both)
        positions[column] = position
    if missing := [column for column in ("day", *REQUIRED_NUMBERS) if column not in positions]:
        raise file_error("column_missing", 1, missing=", ".join(missing), columns=", ".join(header)[:300])
    return positions


def _price_fits(bar: Bar, unit: int) -> bool:
    price = (bar.amount or 0.0) / bar.volume / unit
    return bar.low * (1 - TOLERANCE) <= price <= bar.high * (1 + TOLERANCE)


def _in_shares(bar: Bar, unit: int) -> Bar:
    """Returns the bar with whole shares. A fractional volume stays, so that the engine refuses the bar."""
    shares = bar.volume * unit
    is_whole = round(shares, 4) % 1 == 0
    return bar._replace(volume=round(shares) if is_whole else shares)


def _is_same_code(written: str, code: str) -> bool:
    """600000, sh.600000 and 600000.SH are the same; so is 1 for 000001, as spreadsheets leave it."""
    if not code.isdigit():
        return written.upper() == code
    return "".join(filter(str.isdigit, written)).zfill(len(code)) == code


def _parse_number(text: str) -> float | None:
    """Returns None for a missing number. Raises `ValueError`."""
    if text.lower() in MISSING:
        return None
    if "_" in text:  # Python would read 1_000
        raise ValueError(text)
    return float(text)
