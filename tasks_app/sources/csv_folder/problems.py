"""What can be wrong with a quote file or one of its lines."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def gettext_noop(message: str) -> str:
    """Marks a sentence for the translation catalogue without importing Django."""
    return message


TEMPLATES = {
    "column_missing": gettext_noop("no column for %(missing)s; there are: %(columns)s"),
    "column_twice": gettext_noop("two columns for %(column)s: %(columns)s"),
    "encoding": gettext_noop("the text is neither UTF-8 nor GBK; save it as UTF-8"),
    "field_count": gettext_noop("%(fields)d fields, but the header has %(expected)d"),
    "malformed": gettext_noop("it can't be read: %(reason)s"),
    "no_header": gettext_noop("the file is empty"),
    "not_a_code": gettext_noop("the name contains no stock code of any market"),
    "not_a_day": gettext_noop("“%(value)s” in the column %(column)s is not a date"),
    "not_a_file": gettext_noop("not a regular file (links are not followed)"),
    "not_a_folder": gettext_noop("the folder is not one of CN, HK, US, qfq and hfq"),
    "not_a_number": gettext_noop("“%(value)s” in the column %(column)s is not a number"),
    "not_known_here": gettext_noop("the file is neither CSV nor Parquet"),
    "other_adjustment": gettext_noop("the adjustment is “%(value)s”, but the folder's is “%(expected)s”"),
    "other_code": gettext_noop("the code is “%(value)s”, but the file's name says %(expected)s"),
    "other_exchange": gettext_noop(
        "the name says %(named)s, but the code belongs to %(expected)s (or is an index)"
    ),
    "parquet_missing": gettext_noop("reading Parquet needs the package pyarrow"),
    "too_big": gettext_noop("it is larger than %(limit)d MB"),
    "twice": gettext_noop("%(other)s holds the same stock"),
    "unit_unclear": gettext_noop("the amount fits neither a volume in shares nor one in lots of 100"),
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


class UnreadableFile(Exception):
    """A file can't be collected. `problems` are the first ones in their order, `count` is their number."""

    def __init__(self, problems: list[Problem], count: int = 0) -> None:
        super().__init__(problems)
        self.problems = problems
        self.count = count or len(problems)


def file_error(code: str, line: int = 0, **values: Any) -> UnreadableFile:
    """Returns the error for a single problem."""
    return UnreadableFile([Problem(code, line, values)])
