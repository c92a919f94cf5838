"""What can be wrong with a file or a line of it: a code, its values, and an English sentence."""

from dataclasses import dataclass, field
from typing import Any

SENTENCES = {
    "column_missing": "no column for %(missing)s; there are: %(columns)s",
    "column_twice": "two columns for %(column)s: %(columns)s",
    "encoding": "the text is neither UTF-8 nor GBK; save it as UTF-8",
    "field_count": "%(found)d fields, where the header has %(wanted)d",
    "malformed": "it can't be read: %(why)s",
    "no_header": "the file is empty",
    "not_a_code": "the name holds no stock code of a market",
    "not_a_day": "“%(value)s” in the column %(column)s is no day",
    "not_a_file": "it is no regular file (links are not followed)",
    "not_a_folder": "the folder is none of CN, HK, US, qfq and hfq",
    "not_a_number": "“%(value)s” in the column %(column)s is no number",
    "not_known_here": "the file is neither CSV nor Parquet",
    "other_adjustment": "the adjustment “%(value)s”, where the folder's is “%(wanted)s”",
    "other_code": "the code “%(value)s”, where the file's name says %(wanted)s",
    "other_exchange": "the name says %(named)s, where the code belongs to %(wanted)s (or is an index)",
    "parquet_missing": "reading Parquet needs the package pyarrow",
    "too_big": "it is larger than %(limit)d MB",
    "twice": "%(other)s holds the same stock",
    "unit_unclear": "the amount fits neither a volume in shares nor one in lots of 100",
}


@dataclass(frozen=True)
class Problem:
    """`line` counts from 1 with the header, and the rows of a Parquet file; 0 is the file itself."""

    code: str
    line: int = 0
    values: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return SENTENCES[self.code] % self.values


class Unreadable(Exception):
    """A file that can't be collected, and why: the first problems in their order."""

    def __init__(self, problems: list[Problem], count: int = 0) -> None:
        super().__init__(problems)
        self.problems = problems
        self.count = count or len(problems)


def trouble(code: str, line: int = 0, **values: Any) -> Unreadable:
    """The only problem of a file."""
    return Unreadable([Problem(code, line, values)])
