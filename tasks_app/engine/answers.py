"""Checks what a source returns or raises, before anything else touches it.

A source's code is foreign: it may return anything, and its objects may raise whenever they are looked at.
`CheckedSource` therefore reads every answer in the thread of the call, row by row and up to a limit. It
passes on only what a database can store: exact `Bar`s and `Symbol`s of plain dates, floats, ints and texts.
An answer of another form fails with `bad_answer`, a larger one with `answer_too_large`.

Whether a bar can be true is decided in `quotes.validation`, not here: a price may be missing, NaN or wrong.
"""

import logging
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import chain, count, repeat
from math import inf
from sys import exc_info, getsizeof
from typing import Any, cast

from tasks_app.conf import Conf
from tasks_app.engine.answer_fields import (
    ACTION_FIELDS,
    BAR_FIELDS,
    CODE,
    FACTOR_FIELDS,
    SYMBOL_FIELDS,
    TEXT,
    Field,
    is_a,
    read_seconds,
    read_text,
)
from tasks_app.reasons import bounded_repr, sanitize_message, stored_reason, type_name
from tasks_app.sources.base import (
    ActionSource,
    AdjustedListSource,
    Answer,
    Bar,
    BatchSource,
    CorporateAction,
    CorporateActions,
    DayAnswer,
    DaySource,
    Factor,
    FactorSource,
    KindListSource,
    LeavingSource,
    LeftAside,
    Permanent,
    Request,
    SelectiveDaySource,
    SessionSource,
    Source,
    SourceError,
    SourceRefusal,
    Symbol,
    Transient,
    UnknownStock,
)

logger = logging.getLogger(__name__)
MEGABYTE = 1_000_000
BAR_BYTES, SYMBOL_BYTES = 450, 170  # of memory; a symbol's without its texts
TRACEBACK_LINES = 20  # in the log
MAX_NOTES = 20
BARS = "bars (COLLECTOR_ANSWER_MAX_BARS, COLLECTOR_ANSWER_MAX_MB)"
WIDTH = len(Bar._fields)
END = object()


class StockListing(list[Symbol]):
    """A source's stock list, and what it left aside."""

    left_aside: Sequence[LeftAside] = ()


class CheckedSource:
    """A source whose answers are checked.

    Its methods raise `SourceError` for a bad answer, and whatever the source raises: see `to_source_error`.
    """

    def __init__(self, source: Source, conf: Conf) -> None:
        self.source, self.conf = source, conf

    def symbols(self, market: str, adjust: str | None = None, kind: str = "stock") -> StockListing:
        """Returns the list of a market's securities of one kind.

        That of an adjustment, where the source tells them apart.
        """
        answer: Any
        if kind != "stock":
            answer = cast(KindListSource, self.source).symbols_of_kind(market, kind)
        elif adjust is not None and isinstance(self.source, AdjustedListSource):
            answer = self.source.symbols_adjusted(market, adjust)
        else:
            answer = self.source.symbols(market)
        listing = StockListing(read_symbols(answer, self.conf))
        if isinstance(self.source, LeavingSource):
            listing.left_aside = read_left_aside(self.source.left_aside(market), self.conf)
        return listing

    def fetch(self, request: Request) -> Answer:
        """Returns the bars that the source sent, in its order, with what it said of its days."""
        answer: Any = self.source.fetch(request)
        return read_answer(answer, self.conf)

    def fetch_many(self, requests: Sequence[Request]) -> dict[str, Answer | SourceError]:
        """Returns the bars or the error of each request's code that came; it must be a `BatchSource`."""
        answer: Any = cast(BatchSource, self.source).fetch_many(requests)
        return read_many(answer, {request.code for request in requests}, self.conf)

    def fetch_factors(self, market: str, code: str) -> list[Factor]:
        """Returns a stock's adjustment factors by ascending ex day. The source must be a `FactorSource`."""
        answer: Any = cast(FactorSource, self.source).fetch_factors(market, code)
        return read_factors(answer, self.conf)

    def fetch_actions(self, market: str, code: str, since: date | None) -> CorporateActions:
        """Returns a stock's corporate actions. The source must be an `ActionSource`."""
        answer: Any = cast(ActionSource, self.source).fetch_actions(market, code, since)
        return read_actions(answer, self.conf)

    def fetch_day(self, market: str, day: date, adjust: str) -> DayAnswer:
        """Returns a day's bars by code, with the suspended stocks. The source must be a `DaySource`."""
        answer: Any = cast(DaySource, self.source).fetch_day(market, day, adjust)
        return read_day(answer, self.conf)

    def offers_day(self, market: str, day: date) -> bool:
        """Returns whether the source can fetch the day. It must be a `SelectiveDaySource`."""
        answer: Any = cast(SelectiveDaySource, self.source).offers_day(market, day)
        if type(answer) is not bool:
            raise bad_answer(f"offers_day returned {bounded_repr(answer)}, not True or False.")
        return answer

    @property
    def has_session(self) -> bool:
        """Whether the source keeps a session with its vendor, of which there may be only one."""
        return isinstance(self.source, SessionSource)

    @property
    def takes_first_permit(self) -> bool:
        """Whether a call takes the permit of its first request itself, when it is about to send it."""
        return getattr(self.source, "takes_first_permit", False) is True

    def end_session(self) -> None:
        """Ends the session of a `SessionSource`. Raises `SourceError`, whatever the source raises."""
        try:
            cast(SessionSource, self.source).end_session()
        except Exception as error:
            raise to_source_error(error) from None


def read_answer(answer: Any, conf: Conf) -> Answer:
    """Returns the bars of an answer, and what an `Answer` says besides. Raises `SourceError`."""
    if type(answer) is not Answer:
        return Answer(read_bars(answer, conf))
    with _reading("the response"):
        bars, suspended, notes = list(answer), answer.suspended, answer.notes
        is_whole = answer.is_whole is True
    most, size = conf.answer_max_bars, _Size(conf)
    rows = _rows(suspended, "a list of days", most, "days (COLLECTOR_ANSWER_MAX_BARS)")
    days = [_read_value(BAR_FIELDS[0], day, number) for number, day in rows]
    texts = []
    for number, note in _rows(notes, "a list of notes", most, "notes (COLLECTOR_ANSWER_MAX_BARS)"):
        texts.append(_read_value(TEXT, note, number))
        size.add(texts[-1])
    return Answer(read_bars(bars, conf), suspended=days, notes=texts[:MAX_NOTES], is_whole=is_whole)


def read_many(answer: Any, codes: Collection[str], conf: Conf) -> dict[str, Answer | SourceError]:
    """Returns the answers of several stocks by code, those of `codes` only.

    A malformed answer is its stock's error. Raises `SourceError` if the whole is malformed or too large.
    """
    with _reading("the response"):
        if not is_a(answer, Mapping):
            raise bad_answer(f"it is {bounded_repr(answer)}, not a mapping of codes to bars.")
        found = [(code, answer[code]) for code in codes if code in answer]
    answers: dict[str, Answer | SourceError] = {}
    size = _Size(conf)
    for code, value in found:
        try:
            if is_a(value, SourceError):
                raise value
            bars = answers[code] = read_answer(value, conf)
        except MemoryError:
            raise
        except BaseException as error:
            answers[code] = to_source_error(error)
        else:
            size.add(besides=BAR_BYTES * len(bars))
    return answers


def read_factors(answer: Any, conf: Conf) -> list[Factor]:
    """Returns the factors of an answer in the order of their ex days. Raises `SourceError`."""
    factors: dict[date, Factor] = {}
    unit = "factors (COLLECTOR_ANSWER_MAX_BARS)"
    for number, row in _rows(answer, "a list of factors", _most_bars(conf), unit):
        factor = Factor._make(_read_tuple(row, Factor, FACTOR_FIELDS, number))
        if factor.ex_day in factors:
            raise bad_answer(f"row {number} is a second factor of the ex day {factor.ex_day}.")
        factors[factor.ex_day] = factor
    return [factors[day] for day in sorted(factors)]


def read_actions(answer: Any, conf: Conf) -> CorporateActions:
    """Returns the corporate actions of an answer, in its order. Raises `SourceError`."""
    complete_from = None
    if type(answer) is CorporateActions:
        with _reading("the response"):
            complete_from = _read_value(ACTION_FIELDS[1], answer.complete_from, 0)
    actions, size = [], _Size(conf)
    unit = "corporate actions (COLLECTOR_ANSWER_MAX_BARS)"
    for number, row in _rows(answer, "a list of corporate actions", _most_bars(conf), unit):
        actions.append(CorporateAction._make(_read_tuple(row, CorporateAction, ACTION_FIELDS, number)))
        size.add(actions[-1].note, besides=BAR_BYTES)
    return CorporateActions(actions, complete_from)


def read_left_aside(answer: Any, conf: Conf) -> list[LeftAside]:
    """Returns what a source left aside. Raises `SourceError`."""
    entries, size = [], _Size(conf)
    expected, unit = "a list of what was left aside", "entries left aside (COLLECTOR_ANSWER_MAX_BARS)"
    for number, row in _rows(answer, expected, conf.answer_max_bars, unit):
        with _reading(f"row {number}"):
            values = [row.name, row.reason]
        entries.append(LeftAside(*(_read_value(TEXT, value, number) for value in values)))
        size.add(*entries[-1])
    return entries


def read_bars(answer: Any, conf: Conf) -> list[Bar]:
    """Returns the bars of an answer. Raises `SourceError`."""
    most = _most_bars(conf)
    with _reading("the response"):
        if type(answer) in (list, tuple) and len(answer) <= most:
            bars = list(answer)  # the source may go on using its own list
            if _are_plain(bars):
                return bars
    return [_read_bar(row, number) for number, row in _rows(answer, "a list of bars", most)]


def read_day(answer: Any, conf: Conf) -> DayAnswer:
    """Returns the bars of an answer by code, and what a `DayAnswer` says besides. Raises `SourceError`."""
    expected = "a mapping of codes to bars"
    with _reading("the response"):
        if not is_a(answer, Mapping):
            raise bad_answer(f"it is {bounded_repr(answer)}, not {expected}.")
        # A dict's true entries, whatever a subclass says.
        entries = dict.items(answer) if is_a(answer, dict) else answer.items()
    bars = {}
    for number, entry in _rows(entries, expected, _most_bars(conf)):
        with _reading(f"row {number}"):
            key, row = entry
        code = _read_value(CODE, key, number)
        bars[code] = _read_bar(row, number)
    if type(answer) is not DayAnswer:
        return DayAnswer(bars)
    with _reading("the suspended stocks"):
        suspended = answer.suspended
    codes, size = [], _Size(conf)
    rows = _rows(suspended, "a list of codes", conf.answer_max_bars, "codes (COLLECTOR_ANSWER_MAX_BARS)")
    for number, code in rows:
        codes.append(_read_value(CODE, code, number))
        size.add(codes[-1])
    return DayAnswer(bars, suspended=codes)


def read_symbols(answer: Any, conf: Conf) -> Iterator[Symbol]:
    """Yields the stocks of an answer one by one. Raises `SourceError`.

    A malformed row fails the whole list. Left aside, its stock would be missing from the market, and all
    counts of the task would be those of a complete one.
    """
    size = _Size(conf)
    for number, row in _rows(answer, "a list of stocks"):
        symbol = _read_symbol(row, number)
        size.add(symbol.code, symbol.name, symbol.exchange, besides=SYMBOL_BYTES)
        yield symbol


def bad_answer(problem: str) -> Permanent:
    """Returns the error for an answer of another form than a source's; `problem` says what is wrong."""
    return Permanent(stored_reason("bad_answer", problem=sanitize_message(problem)), code="bad_answer")


def to_source_error(error: BaseException) -> SourceError:
    """Returns what a source raised as a new error of plain values, with a sentence of bounded length.

    A `SourceError` keeps its kind, code, sentence and `retry_after`. Anything else, `SystemExit` included,
    is a fault of the source's code and becomes `source_raised`. Call it while handling the error.
    """
    for kind in (UnknownStock, SourceRefusal, Permanent, Transient, SourceError):
        if is_a(error, kind):
            code = _read_attribute(error, "code", read_text) or ""
            retry_after = _read_attribute(error, "retry_after", read_seconds)
            return kind(_message_of(error), code=code[:40], retry_after=retry_after)
    message = _describe(error)
    # The traceback only: the log must not hold the error's own text, which may be huge.
    lines = "".join(traceback.format_tb(exc_info()[2], -TRACEBACK_LINES))
    logger.error("the source raised an unexpected error: %s\n%s", message, lines)
    return Permanent(message, code="source_raised")


def _most_bars(conf: Conf) -> int:
    return min(conf.answer_max_bars, conf.answer_max_mb * MEGABYTE // BAR_BYTES)


def _too_large(limit: str) -> Permanent:
    return Permanent(stored_reason("answer_too_large", limit=limit), code="answer_too_large")


class _Size:
    """Counts the memory of an answer's texts, up to the limit."""

    def __init__(self, conf: Conf) -> None:
        self._most = conf.answer_max_mb * MEGABYTE
        self._size = 0

    def add(self, *texts: str, besides: int = 0) -> None:
        """Adds a row's texts, and the bytes of what it holds besides. Raises `Permanent` above the limit."""
        self._size += besides + sum(map(getsizeof, texts))
        if self._size > self._most:
            raise _too_large(f"{self._most // MEGABYTE} MB (COLLECTOR_ANSWER_MAX_MB)")


def _rows(answer: Any, expected: str, most: float = inf, unit: str = BARS) -> Iterator[tuple[int, Any]]:
    """Yields the rows of an answer with their numbers from 1. Raises `SourceError`.

    An answer of more than `most` rows is not read any further; `unit` says in the error what they are.
    """
    if is_a(answer, str) or is_a(answer, bytes):
        raise bad_answer(f"it is {bounded_repr(answer)}, not {expected}.")
    try:
        rows = iter(answer)
    except MemoryError:
        raise
    except BaseException:
        raise bad_answer(f"it is {bounded_repr(answer)}, not {expected}.") from None
    for number in count(1):
        try:
            row = next(rows, END)
        except (SourceError, MemoryError):
            raise
        except BaseException as error:
            raise bad_answer(f"row {number} can't be read: {_describe(error)}") from None
        if row is END:
            return
        if number > most:
            raise _too_large(f"{most:,} {unit}")
        yield number, row


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns what the source's objects raise into `bad_answer`.

    A `SourceError` keeps its meaning, and a `MemoryError` that of the worker's limit (`CallPool`).
    """
    try:
        yield
    except (SourceError, MemoryError):
        raise
    except BaseException as error:
        raise bad_answer(f"{what} can't be read: {_describe(error)}") from None


def _are_plain(bars: list[Any]) -> bool:
    """Returns whether all rows are `Bar`s of plain values, several times as fast as reading each of them."""
    if set(map(type, bars)) != {Bar} or set(map(len, bars)) != {WIDTH}:
        return False
    kinds = list(map(type, chain.from_iterable(bars)))
    if kinds == kinds[:WIDTH] * len(bars):  # all rows are like the first one
        kinds = kinds[:WIDTH]
    return all(set(kinds[place::WIDTH]) <= field.plain for place, field in enumerate(BAR_FIELDS))


def _read_bar(row: Any, number: int) -> Bar:
    return Bar._make(_read_tuple(row, Bar, BAR_FIELDS, number))


def _read_tuple(row: Any, kind: type[tuple[Any, ...]], columns: Sequence[Field], number: int) -> list[Any]:
    """Returns the plain values of a row, which must be a tuple of this kind."""
    if not is_a(row, kind):
        raise bad_answer(f"row {number} is {bounded_repr(row)}, not a {kind.__name__}.")
    if (width := tuple.__len__(row)) != len(columns):
        raise bad_answer(f"row {number} is a {kind.__name__} of {width} values, not of {len(columns)}.")
    pairs = zip(columns, tuple.__iter__(row), strict=True)
    return [_read_value(field, value, number) for field, value in pairs]


def _read_symbol(row: Any, number: int) -> Symbol:
    if not is_a(row, Symbol):
        raise bad_answer(f"row {number} is {bounded_repr(row)}, not a Symbol.")
    with _reading(f"row {number}"):
        values = [row.code, row.name, row.exchange, row.listed_on, row.delisted_on, row.kind]
    return Symbol(*map(_read_value, SYMBOL_FIELDS, values, repeat(number)))


def _read_value(field: Field, value: Any, number: int) -> Any:
    if type(value) in field.plain:
        return value
    try:
        return field.read(value)
    except MemoryError:
        raise
    except BaseException:
        problem = f"in row {number}, {field.name} is {bounded_repr(value)}, not {field.expected}."
        raise bad_answer(problem) from None


def _read_attribute(error: BaseException, name: str, read: Callable[[Any], Any]) -> Any:
    """Returns an error's attribute, None if it is malformed: the error counts without it."""
    try:
        return read(getattr(error, name))
    except BaseException:
        return None


def _message_of(error: BaseException) -> str:
    try:
        return sanitize_message(str.__str__(str(error)))
    except BaseException:
        return "its text can't be read"


def _describe(error: BaseException) -> str:
    message = _message_of(error)
    return sanitize_message(f"{type_name(error)}: {message}" if message else type_name(error))
