"""The bars of an export `as_of` a change: those that were stored after it.

The number stays in the folder's manifest, so a later export into it writes the same files again, or none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from tasks_app.exports.selection import Selection
from tasks_app.history import versions
from tasks_app.models import Change, Series
from tasks_app.quotes.date_ranges import DateRange


def series_keys(selection: Selection) -> list[tuple[str, str, str]]:
    """Returns the series that may have had bars, sorted: those of today, and those changed since."""
    stocks, names = selection.stocks, ("market", "symbol", "adjust")
    later = Change.objects.filter(**stocks, number__gt=selection.as_of, kind__in=versions.BAR_KINDS)
    present = Series.objects.filter(**stocks)
    return sorted({*present.values_list(*names), *later.values_list(*names).distinct()})


def read(
    selection: Selection, market: str, pairs: Sequence[tuple[str, str]], days: DateRange
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields code, adjustment and columns of the selected bars. Raises `ForgottenMoment`."""
    moment = versions.moment_of(str(selection.as_of))
    within = max(days[0], selection.first or date.min), min(days[1], selection.last or date.max)
    for code, adjust in pairs:
        for bar in versions.known_bars(market, code, adjust, moment, within):
            yield code, adjust, bar
    versions.require_kept(moment)


def count_years(
    selection: Selection, market: str, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, int, int]]:
    """Yields the codes and years that had selected bars, and how many."""
    counts = Counter(
        (code, bar["day"].year) for code, _, bar in read(selection, market, pairs, (date.min, date.max))
    )
    for (code, year), count in sorted(counts.items()):
        yield code, year, count
