"""Answers of sources that are not what they should be, by name: for bars, stock lists and whole days."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import repeat
from typing import Any

from tasks_app.sources.base import Bar, Permanent, Symbol

TORN = "half a character: \ud83d, and \0"


@dataclass(frozen=True)
class OddAnswer:
    """`answer` returns or raises, given the right answer, what the source answers instead.

    `code` is the error code that says what is wrong.
    """

    answer: Callable[[Any], Any]
    code: str = "bad_answer"


class Hostile:
    """An object that raises whenever it is looked at."""

    def _raise(self, *args: Any) -> Any:
        raise SystemExit("Don't look at me.")

    __iter__ = __len__ = __getitem__ = __eq__ = __hash__ = __bool__ = __repr__ = __str__ = _raise
    __float__ = __int__ = __index__ = __lt__ = _raise
    __class__ = property(_raise)  # type: ignore[assignment]


class LyingList(list[Any]):
    """A list that holds bars, and yields something else."""

    def __iter__(self) -> Iterator[Any]:
        return iter(["<html>captcha</html>"])


class MuteError(Exception):
    """An error whose text can't be read."""

    def __str__(self) -> str:
        raise RecursionError


class OddError(Permanent):
    """An error whose attributes are of the wrong types."""

    def __init__(self) -> None:
        Exception.__init__(self, TORN)
        self.code, self.retry_after = 42, Decimal("sNaN")  # type: ignore[assignment]


def each_bar(**fields: Any) -> Callable[[Sequence[Bar]], list[Bar]]:
    """Returns an answer of the right bars with other values."""
    return lambda bars: [bar._replace(**fields) for bar in bars]


def second_stock(**fields: Any) -> Callable[[Sequence[Symbol]], list[Symbol]]:
    """Returns an answer of the right stocks, the second of which has other values."""
    return lambda symbols: [symbols[0], replace(symbols[1], **fields), *symbols[2:]]


def raising(error: BaseException) -> Callable[[Any], Any]:
    """Returns an answer that raises."""

    def answer(rows: Any) -> Any:
        raise error

    return answer


def raising_midway(error: BaseException) -> Callable[[Any], Iterator[Any]]:
    """Returns an answer that raises after its first row."""

    def answer(rows: Any) -> Iterator[Any]:
        yield next(iter(rows))
        raise error

    return answer


def wrap_memory_error(rows: Any) -> Any:
    """Raises a `MemoryError` as libraries do that turn every error into one of their own."""
    try:
        raise MemoryError
    except MemoryError as error:
        raise ValueError("The response can't be parsed.") from error


def recursive(rows: Any) -> Any:
    """Calls itself until Python gives up."""
    return recursive(rows)


ANYWHERE = {
    "none": OddAnswer(lambda rows: None),
    "number": OddAnswer(lambda rows: 42),
    "hostile": OddAnswer(lambda rows: Hostile()),
    "raises": OddAnswer(raising(ZeroDivisionError("a vendor's bug")), "source_raised"),
    "exits": OddAnswer(raising(SystemExit(1)), "source_raised"),
    "interrupted": OddAnswer(raising(KeyboardInterrupt()), "source_raised"),
    "closed": OddAnswer(raising(GeneratorExit()), "source_raised"),
    "recursive": OddAnswer(recursive, "source_raised"),
    "mute_error": OddAnswer(raising(MuteError()), "source_raised"),
    "torn_error": OddAnswer(raising(ValueError(TORN)), "source_raised"),
    "huge_error": OddAnswer(raising(ValueError("x" * 10_000_000)), "source_raised"),
    "odd_error": OddAnswer(raising(OddError()), "source_refused"),
    "memory_error": OddAnswer(raising(MemoryError()), "memory_limit"),
    "wrapped_memory": OddAnswer(wrap_memory_error, "memory_limit"),
}
ITERABLE = {
    "text": OddAnswer(lambda rows: "<html>captcha</html>"),
    "texts": OddAnswer(lambda rows: ["<html>captcha</html>"]),
    "hostile_row": OddAnswer(lambda rows: [Hostile()]),
    "raises_midway": OddAnswer(raising_midway(ZeroDivisionError("a vendor's bug"))),
    "exits_midway": OddAnswer(raising_midway(SystemExit(1))),
    "memory_midway": OddAnswer(raising_midway(MemoryError()), "memory_limit"),
    "refuses_midway": OddAnswer(raising_midway(Permanent("No more.", code="captcha")), "captcha"),
    "endless": OddAnswer(lambda rows: repeat(rows[0]), "answer_too_large"),
}
BARS: Mapping[str, OddAnswer] = {
    **ANYWHERE,
    **ITERABLE,
    "lying_list": OddAnswer(LyingList),
    "short_bar": OddAnswer(lambda bars: [tuple.__new__(Bar, bars[0][:5])]),
    "decimal_nan": OddAnswer(each_bar(close=Decimal("NaN"))),
    "signalling_nan": OddAnswer(each_bar(close=Decimal("sNaN"))),
    "decimal_infinity": OddAnswer(each_bar(high=Decimal("Infinity"))),
    "huge_exponent": OddAnswer(each_bar(amount=Decimal("1e999999"))),
    "nan": OddAnswer(each_bar(close=float("nan")), "not_a_number"),
    "infinity": OddAnswer(each_bar(high=float("inf")), "not_a_number"),
    "no_price": OddAnswer(each_bar(open=None), "not_a_number"),
    "huge_price": OddAnswer(each_bar(high=10**400)),
    "bool_price": OddAnswer(each_bar(open=True)),
    "text_price": OddAnswer(each_bar(open="10.5")),
    "torn_price": OddAnswer(each_bar(open=TORN)),
    "hostile_price": OddAnswer(each_bar(open=Hostile())),
    "huge_volume": OddAnswer(each_bar(volume=2**63), "bad_volume"),
    "endless_volume": OddAnswer(each_bar(volume=10**5000), "bad_volume"),
    "text_day": OddAnswer(each_bar(day="2024-03-01")),
    "day_with_time": OddAnswer(each_bar(day=datetime(2024, 3, 1))),
    "no_day": OddAnswer(each_bar(day=None)),
    "last_day": OddAnswer(each_bar(day=date.max), "future_day"),
}
STOCK_LISTS: Mapping[str, OddAnswer] = {
    **ANYWHERE,
    **ITERABLE,
    "code_number": OddAnswer(second_stock(code=600519)),
    "code_none": OddAnswer(second_stock(code=None)),
    "code_too_long": OddAnswer(second_stock(code="6" * 17)),
    "code_with_space": OddAnswer(second_stock(code="60 0519")),
    "code_torn": OddAnswer(second_stock(code=TORN)),
    "name_none": OddAnswer(second_stock(name=None)),
    "name_torn": OddAnswer(second_stock(name=TORN)),
    "exchange_number": OddAnswer(second_stock(exchange=1)),
    "text_date": OddAnswer(second_stock(listed_on="2024-13-45")),
    "date_with_time": OddAnswer(second_stock(delisted_on=datetime(2024, 3, 1))),
}
DAYS: Mapping[str, OddAnswer] = {
    **ANYWHERE,
    "list_of_bars": OddAnswer(lambda day: list(day.values())),
    "code_number": OddAnswer(lambda day: dict(enumerate(day.values()))),
    "code_torn": OddAnswer(lambda day: {TORN: next(iter(day.values()))}),
    "texts": OddAnswer(lambda day: dict.fromkeys(day, "<html>")),
    "decimal_nan": OddAnswer(
        lambda day: {code: bar._replace(low=Decimal("sNaN")) for code, bar in day.items()}
    ),
}
