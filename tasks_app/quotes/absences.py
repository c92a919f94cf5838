"""Days without a bar, and what the source that was asked for them said: kept in `Series.absences`.

`Series.covered` says which days need no further request; this says why they have no bar. A day without a bar
that is in neither was never asked for.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.db.models import TextChoices

from tasks_app.quotes.date_ranges import DAY, DateRange

MOST = 200  # per series, the newest; of a dropped one the page says that the reason is not recorded


class Absence(TextChoices):
    """What a source's answer said of a day without a bar."""

    EMPTY = "empty"  # it had no bar of the day
    BEFORE = "before"  # … and its first bar came later
    AFTER = "after"  # … and its last bar was earlier
    SUSPENDED = "suspended"  # it said that the stock was suspended
    REFUSED = "refused"  # it had a bar that can't be true


@dataclass(frozen=True)
class AbsentDays:
    """Days without a bar, from `first` to `last`, for the same reason.

    `asked_on` is the day of the request in the market's time zone, `bound` the first bar of the answer where
    the days are `before` it, its last one where they are `after` it.
    """

    first: date
    last: date
    why: str
    source: str
    asked_on: date
    bound: date | None = None


def parse(stored: Iterable[Sequence[Any]]) -> list[AbsentDays]:
    """Returns the entries of a `Series.absences`, ascending."""
    return [
        AbsentDays(
            date.fromisoformat(first),
            date.fromisoformat(last),
            why,
            source,
            date.fromisoformat(asked_on),
            date.fromisoformat(bound) if bound else None,
        )
        for first, last, why, source, asked_on, bound in stored
    ]


def dump(absences: Iterable[AbsentDays]) -> list[Any]:
    """Returns the newest 200 entries as `Series.absences` stores them."""
    return [
        [
            one.first.isoformat(),
            one.last.isoformat(),
            one.why,
            one.source,
            one.asked_on.isoformat(),
            one.bound and one.bound.isoformat(),
        ]
        for one in list(absences)[-MOST:]
    ]


@dataclass(frozen=True)
class AnsweredRequest:
    """One answer, as far as it concerns days without a bar.

    `asked` are the requested days up to the last final one; `bars`, `suspended` and `refused` are days.
    `expected` returns the days of a range on which a bar is expected, ascending.
    """

    asked: DateRange
    source: str
    asked_on: date
    bars: Sequence[date]
    suspended: Collection[date]
    refused: Collection[date]
    expected: Callable[[date, date], Sequence[date]]

    def absences(self) -> list[AbsentDays]:
        """Returns the days without a bar, ascending, each reason in as few entries as possible."""
        start, end = self.asked
        if end < start:
            return []
        found = []
        if not self.bars:
            found.append(self._absent(start, end, Absence.EMPTY))
        else:
            first, last = self.bars[0], self.bars[-1]
            found.append(self._absent(start, first - DAY, Absence.BEFORE, first))
            found += self._between_bars()
            found.append(self._absent(last + DAY, end, Absence.AFTER, last))
        absences = [one for one in found if one.first <= one.last and self.expected(one.first, one.last)]
        for days, why in ((self.suspended, Absence.SUSPENDED), (self.refused, Absence.REFUSED)):
            told = sorted(day for day in set(days) - set(self.bars) if start <= day <= end)
            absences = overlay(absences, [self._absent(day, day, why) for day in told])
        return self._join(absences)

    def _between_bars(self) -> list[AbsentDays]:
        days = self.expected(self.bars[0], self.bars[-1])
        if list(days) == list(self.bars):
            return []
        have = set(self.bars)
        return [self._absent(day, day, Absence.EMPTY) for day in days if day not in have]

    def _absent(self, first: date, last: date, why: Absence, bound: date | None = None) -> AbsentDays:
        return AbsentDays(first, last, why.value, self.source, self.asked_on, bound)

    def _join(self, absences: Iterable[AbsentDays]) -> list[AbsentDays]:
        """Joins entries of one reason that no expected day separates."""
        joined: list[AbsentDays] = []
        for one in absences:
            if joined and self._continues(joined[-1], one):
                joined[-1] = replace(joined[-1], last=one.last)
            else:
                joined.append(one)
        return joined

    def _continues(self, before: AbsentDays, one: AbsentDays) -> bool:
        is_same = replace(before, first=one.first, last=one.last) == one
        return is_same and not self.expected(before.last + DAY, one.first - DAY)


def overlay(old: Iterable[AbsentDays], new: Iterable[AbsentDays]) -> list[AbsentDays]:
    """Returns the entries with new ones in place of what they said of those days; all are ascending."""
    new = list(new)
    return sorted([*new, *clear(old, [(one.first, one.last) for one in new])], key=lambda one: one.first)


def clear(absences: Iterable[AbsentDays], holes: Sequence[DateRange]) -> list[AbsentDays]:
    """Returns the entries without the days of the holes, which are ascending and disjoint."""
    left: list[AbsentDays] = []
    for one in absences:
        first = one.first
        for start, end in holes[bisect_left(holes, first, key=lambda hole: hole[1]) :]:
            if start > one.last:
                break
            if first < start:
                left.append(replace(one, first=first, last=start - DAY))
            first = end + DAY
        if first <= one.last:
            left.append(replace(one, first=first))
    return left
