"""From a table of text to bars: columns by their names, volume in shares, problems by line.

A line that can't be read (a field missing, text where a number belongs, no day) fails the whole file: it
is not what it says it is, and its owner can mend it. A line that can be read but makes no sense, a high
under its low or a missing price, becomes a bar as it stands, which the engine refuses, counts and names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from tasks_app.sources.base import Bar
from tasks_app.sources.csv_folder.layout import File
from tasks_app.sources.csv_folder.problems import Problem, Unreadable, trouble
from tasks_app.sources.csv_folder.tables import Table

LOT = 100
SLACK = 0.01  # of the price: prices are rounded
MANY_PROBLEMS = 20
NAMES = {
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
MEANING = {name: column for column, names in NAMES.items() for name in names}
NEEDED = ("day", "open", "high", "low", "close", "volume")
NUMBERS = ("open", "high", "low", "close", "volume", *Bar._fields[6:])
FLAGS = {"3": "", "2": "qfq", "1": "hfq"}
MISSING = {"", "-", "--", "nan", "none", "null", "n/a", "<na>"}


@dataclass
class Reading:
    """A file that can be collected. `unit` is the number of shares in one of its volumes.

    `proof` says how the unit is known: `amount` (it fits), `against` (the amount proves it, though the
    columns suggest another one) or `columns` (there was nothing to check by).
    """

    style: str
    encoding: str
    unused: list[str]
    unit: int = 1
    proof: str = "columns"
    suspended: int = 0
    bars: list[Bar] = field(default_factory=list)


class Reader:
    """Reads one file's rows, collecting problems rather than stopping at the first."""

    def __init__(self, file: File, table: Table) -> None:
        self.file, self.table = file, table
        self.places = _places(table.header)
        self.problems: list[Problem] = []
        self.count = 0
        self.lines: list[int] = []

    def read(self) -> Reading:
        """The bars by rising day. Raises `Unreadable` with every line that is at fault."""
        used = set(self.places.values())
        unused = [name for place, name in enumerate(self.table.header) if place not in used]
        reading = Reading(self._style(), self.table.encoding, unused)
        for line, fields in self.table.rows:
            self._take(line, fields, reading)
        if self.count:
            raise Unreadable(self.problems, self.count)
        reading.unit, reading.proof = self._unit(reading)
        reading.bars = sorted(
            (_in_shares(bar, reading.unit) for bar in reading.bars), key=lambda bar: bar.day
        )
        return reading

    def _style(self) -> str:
        names = {name.strip().lower() for name in self.table.header}
        if "日期" in names:
            return "AKShare"
        return "BaoStock" if names & {"preclose", "tradestatus", "pctchg"} else "English"

    def _take(self, line: int, fields: list[str], reading: Reading) -> None:
        try:
            if len(fields) != len(self.table.header):
                raise trouble("field_count", line, found=len(fields), wanted=len(self.table.header))
            told = {column: fields[place].strip() for column, place in self.places.items()}
            self._check_identity(line, told)
            bar = self._bar(line, told)
        except Unreadable as error:
            self.count += 1
            self.problems += error.problems[: MANY_PROBLEMS - len(self.problems)]
            return
        if told.get("tradestatus") == "0":
            reading.suspended += 1
            return
        reading.bars.append(bar)
        self.lines.append(line)

    def _check_identity(self, line: int, told: Mapping[str, str]) -> None:
        """The line is of this file's stock and adjustment."""
        code = told.get("code", "")
        if code and not _same_code(code, self.file.code):
            raise trouble("other_code", line, value=code, wanted=self.file.code)
        flag = told.get("adjustflag", "")
        adjust = FLAGS.get(flag, flag) if flag else told.get("adjust", self.file.adjust)
        if adjust != self.file.adjust:
            raise trouble("other_adjustment", line, value=adjust, wanted=self.file.adjust)

    def _bar(self, line: int, told: Mapping[str, str]) -> Bar:
        """The line as a bar, its volume still in the file's unit and perhaps no whole number."""
        day = _day(told["day"])
        if day is None:
            raise trouble("not_a_day", line, value=told["day"][:40], column=self._heading("day"))
        values: dict[str, float | None] = {}
        for column in NUMBERS:
            if column in told:
                try:
                    values[column] = _number(told[column])
                except ValueError as error:
                    value, heading = told[column][:40], self._heading(column)
                    raise trouble("not_a_number", line, value=value, column=heading) from error
        for column in NEEDED[1:]:
            if values[column] is None:
                values[column] = math.nan
        return Bar(day, **values)  # type: ignore[arg-type]

    def _heading(self, column: str) -> str:
        return self.table.header[self.places[column]]

    def _unit(self, reading: Reading) -> tuple[int, str]:
        """Shares in one volume, and the proof: amount ÷ volume must be a price of the day."""
        declared = LOT if reading.style == "AKShare" and self.file.market == "CN" else 1
        other = LOT if declared == 1 else 1
        checks = [
            (line, _agrees(bar, declared), _agrees(bar, other))
            for line, bar in zip(self.lines, reading.bars, strict=True)
            if not self.file.adjust and bar.amount and bar.volume > 0
        ]
        as_declared = sum(first for _, first, _ in checks)
        as_other = sum(second for _, _, second in checks)
        if not checks:
            return declared, "columns"
        # A few odd lines are the engine's to flag; more of them are a file in two units.
        if as_declared * 2 >= len(checks) and as_other * 20 <= len(checks):
            return declared, "amount"
        if as_other * 20 >= len(checks) * 19:
            return other, "against"
        raise trouble("unit_unclear", next(line for line, first, _ in checks if not first))


def _places(header: Sequence[str]) -> dict[str, int]:
    """Where each column that we know is. Raises `Unreadable` when one is missing or there twice."""
    names = [name.strip().lower().replace(" ", "_") for name in header]
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        column = MEANING.get(name)
        # Sina's turnover, which comes with this column, is a fraction and not a percentage.
        if column is None or (column == "turnover" and "outstanding_share" in names):
            continue
        if column in places:
            both = f"{header[places[column]]}, {header[place]}"
            raise trouble("column_twice", 1, column=column, columns=both)
        places[column] = place
    if missing := [column for column in NEEDED if column not in places]:
        raise trouble("column_missing", 1, missing=", ".join(missing), columns=", ".join(header)[:300])
    return places


def _agrees(bar: Bar, unit: int) -> bool:
    price = (bar.amount or 0.0) / bar.volume / unit
    return bar.low * (1 - SLACK) <= price <= bar.high * (1 + SLACK)


def _in_shares(bar: Bar, unit: int) -> Bar:
    """Whole shares; a volume that is not stays what it is, for the engine to refuse."""
    shares = bar.volume * unit
    whole = round(shares, 4) % 1 == 0
    return bar._replace(volume=round(shares) if whole else shares)


def _same_code(told: str, code: str) -> bool:
    """600000, sh.600000, 600000.SH; 1 for 000001, as spreadsheets leave it."""
    digits = "".join(filter(str.isdigit, told)) if code.isdigit() else told.upper()
    return digits.zfill(len(code)) == code if code.isdigit() else digits == code


def _number(text: str) -> float | None:
    """A number, None for a missing one. Raises ValueError."""
    if text.lower() in MISSING:
        return None
    if "_" in text:
        raise ValueError(text)
    return float(text)


def _day(text: str) -> date | None:
    """2024-01-02, 20240102, 2024/1/2, or midnight of a day; None for anything else."""
    try:
        if "/" in text:
            year, month, day = map(int, text.partition(" ")[0].split("/"))
            return date(year, month, day)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.date() if moment.time() == moment.time().min else None
