"""What can be wrong with a quote file or one of its lines, and what is left out of one that is read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_PROBLEMS = 20


def gettext_noop(message: str) -> str:
    """Marks a sentence for the translation catalogue without importing Django."""
    return message


# Why a file, a line or a folder's entry is not read.
TEMPLATES = {
    "ambiguous_day": gettext_noop(
        "“%(value)s” in the column %(column)s may be either of two days, and no line of the file tells;"
        " write it as 2024-01-31"
    ),
    "ambiguous_number": gettext_noop(
        "“%(value)s” in the column %(column)s may be a thousand or a decimal, and no line of the file tells;"
        " leave out the thousands separators"
    ),
    "amount_misfits": gettext_noop(
        "the amount does not fit the prices on %(misfits)d of %(lines)d lines: are the prices adjusted, or"
        " the volumes in two units?"
    ),
    "archive_bomb": gettext_noop(
        "its files are %(ratio)d times as large as the archive, which files of quotes never are"
    ),
    "archive_many": gettext_noop("it has more than %(limit)d files"),
    "archive_size": gettext_noop("its files are larger than %(limit)d GB in all"),
    "column_missing": gettext_noop("no column for %(missing)s; there are: %(columns)s"),
    "column_twice": gettext_noop("two columns for %(column)s: %(columns)s"),
    "day_file_adjusted": gettext_noop(
        "Tongdaxin (通达信) .day files are unadjusted, but the folder is that of adjusted ones"
    ),
    "day_file_cut": gettext_noop("it is cut off, or no .day file: its records have 32 bytes"),
    "day_file_kind": gettext_noop("the units of .day files of securities such as %(value)s are not known"),
    "day_file_market": gettext_noop(
        "Tongdaxin (通达信) .day files of other markets than mainland China have another layout; "
        "export them as text"
    ),
    "day_file_units": gettext_noop(
        "the amounts do not fit prices in steps of %(price)s and volumes in %(volume)s, as .day files of such"
        " securities have them"
    ),
    "day_file_unproven": gettext_noop(
        "no day has an amount and a volume, without which nothing proves the units of a .day file"
    ),
    "day_is_serial": gettext_noop(
        "“%(value)s” in the column %(column)s is a spreadsheet's number of a day; format the column as dates"
    ),
    "day_twice": gettext_noop(
        "%(day)s is also in line %(other)d, with other values: several stocks, or bars shorter than a day,"
        " are in the file"
    ),
    "dump_codes": gettext_noop("it has more than %(limit)d different codes"),
    "encoding": gettext_noop("the text is neither UTF-8 nor GBK; save it as UTF-8"),
    "encrypted": gettext_noop("it is encrypted; pack it without a password"),
    "field_count": gettext_noop("%(fields)d fields, but the header has %(expected)d"),
    "files_differ": gettext_noop("%(first)s and %(second)s have different values of %(stock)s on %(day)s"),
    "in_archive": gettext_noop(
        "only files of one stock each are read within an archive; unpack it, or name the file by its code"
    ),
    "malformed": gettext_noop("it can't be read: %(reason)s"),
    "no_stocks": gettext_noop(
        "“%(value)s” in the column %(column)s is no stock's code, nor is any other there"
    ),
    "no_header": gettext_noop("the file is empty"),
    "name_is_word": gettext_noop(
        "“%(value)s” is a word rather than a stock's code; if it is one, name the file %(value)s.US"
    ),
    "not_a_code": gettext_noop("the name contains no stock code of any market"),
    "not_a_day": gettext_noop(
        "“%(value)s” in the column %(column)s is not a date; dates are read as 2024-01-31, 2024/1/31,"
        " 20240131, 31-Jan-2024 or 2024年1月31日"
    ),
    "not_a_file": gettext_noop("not a regular file (links are not followed)"),
    "not_a_folder": gettext_noop(
        "the folder is neither one of CN, HK, US, qfq, hfq and split, nor a Parquet dump"
    ),
    "not_a_number": gettext_noop("“%(value)s” in the column %(column)s is not a number"),
    "not_known_here": gettext_noop("the file is neither CSV, text, Excel, Parquet, .day nor .zip"),
    "not_daily": gettext_noop("the file says “%(value)s”: only daily bars are read"),
    "not_quotes": gettext_noop(
        "the name contains no stock code, and the file has no columns of codes, days and prices"
    ),
    "old_excel": gettext_noop("it is a workbook of old Excel (.xls); save it as .xlsx or CSV"),
    "other_adjustment": gettext_noop("the adjustment is “%(value)s”, but the folder's is “%(expected)s”"),
    "other_code": gettext_noop("the code is “%(value)s”, but the file's name says %(expected)s"),
    "other_exchange": gettext_noop("the name says %(named)s, but the code belongs to %(expected)s"),
    "parquet_missing": gettext_noop("reading Parquet needs the package pyarrow"),
    "parts_differ": gettext_noop("%(other)s has other columns than %(first)s"),
    "rounded_number": gettext_noop(
        "“%(value)s” in the column %(column)s is a rounded number; the file must have all its digits"
    ),
    "short_code": gettext_noop(
        "“%(value)s” in the column %(column)s has lost its leading zeros; save the codes as text"
    ),
    "several_markets": gettext_noop("the codes belong to several markets: %(markets)s"),
    "several_sheets": gettext_noop("several sheets have quotes: %(sheets)s; save each as a file"),
    "shared_file_broken": gettext_noop(
        "%(other)s, which may hold days of this stock, can't be read: %(reason)s"
    ),
    "time_of_day": gettext_noop(
        "“%(value)s” in the column %(column)s has a time of day: only daily bars are read, whose days are"
        " written as 2024-01-31 or as midnight, 2024-01-31 00:00"
    ),
    "row_group": gettext_noop("a row group is larger than %(limit)d MB unpacked; write smaller ones"),
    "too_big": gettext_noop("it is larger than %(limit)d MB"),
    "too_much": gettext_noop("with it, the files of several stocks are larger than %(limit)d MB in all"),
    "unit_clash": gettext_noop(
        "the volume “%(value)s” is no whole number of shares, but the columns are those of a file in shares"
    ),
    "unit_unclear": gettext_noop("the amount fits neither a volume in shares nor one in lots of 100"),
    "unit_unknown": gettext_noop("the unit “%(unit)s” of the column %(column)s is not known"),
    "unit_unproven": gettext_noop(
        "nothing tells whether the volumes are shares or lots of 100: add the amounts, write the unit into"
        " the heading, such as volume(shares) or volume(lots), or set COLLECTOR_CSV_VOLUME_UNIT"
    ),
    "weekly": gettext_noop("no two days are closer than %(days)d days: weekly and monthly bars are not read"),
}

# What is left out of a file that is read, or changed in it.
NOTE_TEMPLATES = {
    "code_by_name": gettext_noop("nothing but the file's name says which stock it is: %(count)d"),
    "amount_left_out": gettext_noop("the unit of the column %(column)s is unknown; its values are left out"),
    "maybe_adjusted": gettext_noop(
        "yfinance adjusts prices for dividends unless it is told otherwise (auto_adjust=False)"
    ),
    "empty": gettext_noop("lines left out because they have neither prices nor a volume: %(count)d"),
    "left_out": gettext_noop("files left out of the archive: %(count)d, such as %(names)s: %(reason)s"),
    "maybe_split_adjusted": gettext_noop(
        "Yahoo adjusts all prices for splits; a file of Yahoo's belongs into a folder named split"
    ),
    "misfit": gettext_noop("the column %(column)s does not fit the prices; its values are left out"),
    "noise": gettext_noop("prices rounded by less than a ten-millionth (10.300000000000002): %(count)d"),
    "other_codes": gettext_noop("lines left out because their code is not a stock's: %(count)d (%(codes)s)"),
    "other_days": gettext_noop("none of the requested days; the files hold %(first)s to %(last)s"),
    "ratio": gettext_noop("the column %(column)s has ratios, which were converted to percentages"),
    "repeated": gettext_noop("lines left out because another line says the same: %(count)d"),
    "suspended": gettext_noop("lines left out because they are days without trading (suspended): %(count)d"),
    "text_lines": gettext_noop("lines left out because they repeat the headings: %(count)d"),
    "turnover_is_amount": gettext_noop("the column %(column)s has amounts; it is no turnover in percent"),
    "short_codes": gettext_noop(
        "lines left out because their codes have lost leading zeros: %(count)d (%(codes)s); save them as text"
    ),
    "unproven": gettext_noop(
        "nothing tells whether the column %(column)s is in percent; its values are left out"
    ),
    "untraded": gettext_noop(
        "lines left out because nothing was traded, though no word calls the days suspended: %(count)d"
    ),
    "volume_overflow": gettext_noop(
        "days on which more was traded than a .day file can count; these bars are refused: %(count)d"
    ),
}


@dataclass(frozen=True)
class Problem:
    """`line` counts from 1 with the header, or the rows of a Parquet file; 0 stands for the whole file."""

    code: str
    line: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def describe(self, translate: Callable[[str], str] = str) -> str:
        """Returns the sentence without its full stop, in English or translated by `translate`."""
        return translate(TEMPLATES[self.code]) % self.values


@dataclass(frozen=True)
class Note:
    """What was left out of a readable file or changed in it."""

    code: str
    values: dict[str, Any] = field(default_factory=dict)

    def describe(self, translate: Callable[[str], str] = str) -> str:
        """Returns the sentence without its full stop, in English or translated by `translate`.

        The value `problem`, a problem's code and values, is described as the sentence's `reason`.
        """
        values = self.values
        if problem := values.get("problem"):
            values = {**values, "reason": Problem(problem[0], values=problem[1]).describe(translate)}
        return translate(NOTE_TEMPLATES[self.code]) % values


class UnclearCell(ValueError):
    """A cell can't be read as a day or a number; `code` is the problem's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnreadableFile(Exception):
    """A file can't be collected. `problems` are the first ones in their order, `count` is their number."""

    def __init__(self, problems: list[Problem], count: int = 0) -> None:
        super().__init__(problems)
        self.problems = problems
        self.count = count or len(problems)


class ProblemLog:
    """Collects the problems of a file's lines, so that all are reported and not only the first."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, code: str, line: int, **values: Any) -> None:
        """Adds a problem of a line."""
        self._problems.append(Problem(code, line, values))

    def raise_any(self) -> None:
        """Raises `UnreadableFile` with the first problems by line, if there are any."""
        if self._problems:
            first = sorted(self._problems, key=lambda problem: problem.line)[:MAX_PROBLEMS]
            raise UnreadableFile(first, len({problem.line for problem in self._problems}))


def file_error(code: str, line: int = 0, **values: Any) -> UnreadableFile:
    """Returns the error for a single problem."""
    return UnreadableFile([Problem(code, line, values)])
