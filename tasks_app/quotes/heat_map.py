"""How many of the expected bars are stored by month: of boards, or of single stocks with what is missing.

Read from `Series` and the calendar, never from bars. A bar is expected on each session on which the stock was
listed. Where nobody told the day of listing, its days count from its first bar or answer on.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

import orjson
from django.db.models import TextField, Value
from django.db.models.functions import Cast

from tasks_app.market import boards, calendars, code_changes, silent_days
from tasks_app.models import DailyBar, Series, Stock
from tasks_app.quotes import absences, date_ranges, month_counts
from tasks_app.quotes.absences import AbsentDays
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.gaps import GapKind

STOCK_COLUMNS = ("code", "name", "kind", "exchange", "listed_on", "delisted_on")
NO_ANSWERS: Sequence[DateRange] = ()


class Listed(NamedTuple):
    """What a stock list says of a stock."""

    code: str
    name: str
    kind: str
    exchange: str
    listed_on: date | None
    delisted_on: date | None


class Stored(NamedTuple):
    """What is stored of it under one adjustment; `covered` and `absences` are JSON."""

    months: str
    first_day: date | None
    covered: str
    absences: str


NOTHING = Stored("", None, "[]", "[]")


@dataclass
class Cell:
    """A month: the bars that are expected and stored; `missing` by `GapKind`, `outside`: not listed."""

    expected: int = 0
    bars: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    outside: str = ""  # "before", "after", "unknown" (the day of listing) or "future"

    @property
    def percent(self) -> int | None:
        """The share of stored bars, rounded down; None where none is expected."""
        return min(100, self.bars * 100 // self.expected) if self.expected else None


@dataclass
class Row:
    """A board (`key`, with its number of stocks) or a stock (its code) by month."""

    key: str
    label: str
    stocks: int
    cells: list[Cell]


class Months:
    """The sessions of a market in a window of months, up to the latest one whose bars are final."""

    def __init__(self, market: str, first: int, last: int) -> None:
        calendar = calendars.load_calendar(market)
        self.market, self.first, self.last = market, first, last
        self.latest = calendar.latest_session()
        self.begin = month_counts.first_day_of(first)
        self.end = min(month_counts.first_day_of(last + 1) - date_ranges.DAY, self.latest)
        self.days = calendar.sessions(self.begin, self.end).days if self.begin <= self.end else ()
        starts = [month_counts.first_day_of(month) for month in range(first, last + 2)]
        self.bounds = [bisect_left(self.days, day) for day in starts]  # of each month in `days`

    @cached_property
    def silent(self) -> frozenset[date]:
        """The days of which a source had no quotes of any stock."""
        return frozenset(one.day for one in silent_days.find(self.market, self.begin, self.end))

    def __len__(self) -> int:
        return self.last - self.first + 1

    def place(self, first: date, last: date) -> tuple[int, int]:
        """Returns which of `days` lie from one day to another: from the first to before the second."""
        return bisect_left(self.days, first), bisect_right(self.days, last)


class SessionSum:
    """Sums of sessions by month over many spans of days."""

    def __init__(self, months: Months) -> None:
        self.months = months
        self.partial = [0] * len(months)
        self.whole = [0] * (len(months) + 1)  # differences of the number of spans over the whole month

    def add(self, begin: int, end: int) -> None:
        """Adds the sessions from the place `begin` to before `end`."""
        if begin >= end:
            return
        bounds = self.months.bounds
        first, last = bisect_right(bounds, begin) - 1, bisect_left(bounds, end) - 1
        if first == last:
            self.partial[first] += end - begin
            return
        self.partial[first] += bounds[first + 1] - begin
        self.partial[last] += end - bounds[last]
        self.whole[first + 1] += 1
        self.whole[last] -= 1

    def totals(self) -> list[int]:
        sizes = [b - a for a, b in zip(self.months.bounds, self.months.bounds[1:], strict=False)]
        spans = accumulate(self.whole[:-1])
        return [part + n * size for part, n, size in zip(self.partial, spans, sizes, strict=True)]


class MissingDays(NamedTuple):
    """The sessions of a stock for which no source has answered: how many, the first and the last."""

    code: str
    sessions: int
    first: date
    last: date


def by_board(market: str, adjust: str, months: Months) -> list[Row]:
    """Returns the market's boards. Two queries over its stocks and series, one for the calendar."""
    stored, groups = _stored(market, adjust), defaultdict[str, list[Listed]](list)
    for stock in _listed(market):
        groups[board(market, stock)].append(stock)
    return [
        Row(name, boards.label_of(name), len(groups[name]), _board_cells(groups[name], stored, months))
        for name in boards.in_order(list(groups))
    ]


def by_stock(market: str, adjust: str, stocks: Sequence[Listed], months: Months) -> list[Row]:
    """Returns the rows of a page of stocks, with the reasons of what is missing. Three queries."""
    stored = _stored(market, adjust, [stock.code for stock in stocks])
    return [
        Row(stock.code, stock.name, 1, _stock_cells(stock, stored.get(stock.code, NOTHING), months))
        for stock in stocks
    ]


def board(market: str, stock: Listed) -> str:
    """Returns the name of the stock's board."""
    return boards.board_of(market, stock.code, stock.kind, stock.exchange)


def stocks_of(market: str, of_board: str = "", codes: Collection[str] = ()) -> list[Listed]:
    """Returns the market's stocks by code: those of a board, or of these codes, or all."""
    wanted = set(codes)
    return [
        stock
        for stock in _listed(market)
        if (not wanted or stock.code in wanted) and (not of_board or of_board == board(market, stock))
    ]


def missing_days(market: str, adjust: str, stocks: Sequence[Listed], months: Months) -> list[MissingDays]:
    """Returns of which sessions of the months no source has answered: what an order would request.

    Those before an unknown day of listing are among them.
    """
    stored, found = _stored(market, adjust), []
    for stock in stocks:
        series = stored.get(stock.code, NOTHING)
        begin, end = months.place(
            max(stock.listed_on or months.begin, months.begin),
            min(stock.delisted_on or months.end, months.end),
        )
        left = list(_outside(begin, end, [months.place(*each) for each in _ranges(series.covered)]))
        if left:
            count = sum(b - a for a, b in left)
            found.append(
                MissingDays(stock.code, count, months.days[left[0][0]], months.days[left[-1][1] - 1])
            )
    return found


def _outside(begin: int, end: int, holes: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yields the parts of a span that lie in none of the ascending holes."""
    for first, last in holes:
        if last <= begin or first >= last:
            continue
        if first >= end:
            break
        if first > begin:
            yield begin, first
        begin = max(begin, last)
    if begin < end:
        yield begin, end


def _listed(market: str) -> list[Listed]:
    """Returns the market's stocks; one whose code became another is delisted here on its last day."""
    rows = Stock.objects.filter(market=market).order_by("code").values_list(*STOCK_COLUMNS)
    last_days = code_changes.last_days(market)
    stocks = [Listed(*row) for row in rows]
    return [
        stock._replace(delisted_on=min(stock.delisted_on or date.max, last_days[stock.code]))
        if stock.code in last_days
        else stock
        for stock in stocks
    ]


def _stored(market: str, adjust: str, codes: Sequence[str] | None = None) -> dict[str, Stored]:
    """Returns what is stored by code. Months that were never counted are counted now."""
    series = Series.objects.filter(market=market, adjust=adjust)
    series = series if codes is None else series.filter(symbol__in=codes)
    # Of a whole market the reasons are not told, so their texts are not read.
    absent_column = Value("[]") if codes is None else Cast("absences", TextField())
    texts = [Cast("covered", TextField()), absent_column]
    rows = series.values_list("symbol", "months", "first_day", *texts, "bars")
    found = {}
    for code, months, first, covered, absent, bars in rows:
        counted = months
        if bars and not months:
            stored = DailyBar.objects.filter(market=market, adjust=adjust, symbol=code)
            counted = month_counts.dump(month_counts.count_bars(stored))
        found[code] = Stored(counted, first, covered, absent)
    return found


@lru_cache(maxsize=20_000)  # the stocks of one task were answered for the same days
def _ranges(covered: str) -> Sequence[DateRange]:
    return tuple(date_ranges.parse(orjson.loads(covered)))


def _span(stock: Listed, stored: Stored, months: Months) -> tuple[int, int]:
    """Returns the places of the sessions on which a bar is expected."""
    ranges = _ranges(stored.covered)
    known = [day for day in (stored.first_day, ranges[0][0] if ranges else None) if day]
    first = stock.listed_on or min(known, default=months.begin)
    return months.place(max(first, months.begin), min(stock.delisted_on or months.end, months.end))


def _board_cells(stocks: Sequence[Listed], stored: dict[str, Stored], months: Months) -> list[Cell]:
    expected, answered = SessionSum(months), SessionSum(months)
    counts = [bytes(len(months))]
    for stock in stocks:
        series = stored.get(stock.code, NOTHING)
        begin, end = _span(stock, series, months)
        expected.add(begin, end)
        for each in _ranges(series.covered):
            first, last = months.place(*each)
            answered.add(max(first, begin), min(last, end))
        if series.months:
            counts.append(month_counts.window(series.months, months.first, months.last))
    bars = list(map(sum, zip(*counts, strict=True)))
    cells = []
    for number, (due, known, have) in enumerate(zip(expected.totals(), answered.totals(), bars, strict=True)):
        missing = max(0, due - have)
        open_days = min(missing, due - known)
        kinds = Counter({GapKind.NOT_ASKED.value: open_days, GapKind.EMPTY.value: missing - open_days})
        cells.append(Cell(due, have, +kinds, _outside_window(months, number) if not due else ""))
    return cells


def _outside_window(months: Months, number: int) -> str:
    return "future" if months.bounds[number] == months.bounds[number + 1] else "before"


def _stock_cells(stock: Listed, stored: Stored, months: Months) -> list[Cell]:
    begin, end = _span(stock, stored, months)
    holes = [months.place(*each) for each in _ranges(stored.covered)]
    left = list(_outside(begin, end, holes))
    absent = absences.parse(orjson.loads(stored.absences))
    counts = month_counts.window(stored.months, months.first, months.last)
    cells = []
    for number, bars in enumerate(counts):
        start, stop = max(begin, months.bounds[number]), min(end, months.bounds[number + 1])
        due = max(0, stop - start)
        if not due:
            cells.append(Cell(0, bars, outside=_why_outside(stock, months, number, begin)))
            continue
        cell = Cell(due, bars)
        if missing := due - bars:
            cell.missing = _missing(missing, (start, stop), left, absent, months)
        cells.append(cell)
    return cells


def _why_outside(stock: Listed, months: Months, number: int, begin: int) -> str:
    if months.bounds[number] == months.bounds[number + 1]:
        return "future"
    if months.bounds[number + 1] <= begin:
        return "before" if stock.listed_on else "unknown"
    return "after"


def _missing(
    missing: int,
    span: tuple[int, int],
    left: Sequence[tuple[int, int]],
    absent: Sequence[AbsentDays],
    months: Months,
) -> Counter[str]:
    """Returns the sessions without a bar by `GapKind`, as far as they can be told without reading bars."""
    kinds: Counter[str] = Counter()
    start, stop = span
    place = bisect_left(absent, months.days[start], key=lambda one: one.last)
    for one in absent[place:]:
        first, last = months.place(one.first, one.last)
        if first >= stop:
            break
        kinds[one.why] += max(0, min(last, stop) - max(first, start))
    for first, last in left:
        for day in months.days[max(first, start) : min(last, stop)]:
            kinds[GapKind.NO_QUOTES if day in months.silent else GapKind.NOT_ASKED] += 1
    kinds[GapKind.NOT_RECORDED] += max(0, missing - kinds.total())
    return _at_most(+kinds, missing)


def _at_most(kinds: Counter[str], missing: int) -> Counter[str]:
    """Returns the kinds without more days than are missing: bars may lie on days that nobody answered for."""
    for kind in (GapKind.NOT_ASKED.value, *sorted(kinds)):
        kinds[kind] -= min(kinds[kind], max(0, kinds.total() - missing))
    return +kinds
