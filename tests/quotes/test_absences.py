"""Why days have no bar: from what the source answered, with its name and the day of the request."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given, strategies as st

from tasks_app.quotes import absences
from tasks_app.quotes.absences import AbsentDays, AnsweredRequest

MONDAY, ASKED = date(2024, 3, 4), date(2024, 4, 1)


def day(number):
    return MONDAY + timedelta(days=number)


def weekdays(first, last):
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [one for one in days if one.weekday() < 5]


def told(*bars, first=0, last=11, suspended=(), refused=()):
    """Returns (first, last, reason, bound) of the entries of an answer about two weeks."""
    answer = AnsweredRequest(
        (day(first), day(last)),
        "csv",
        ASKED,
        bars=[day(n) for n in bars],
        suspended=[day(n) for n in suspended],
        refused=[day(n) for n in refused],
        expected=weekdays,
    )
    found = answer.absences()
    assert {(one.source, one.asked_on) for one in found} <= {("csv", ASKED)}
    number = lambda one: one and (one - MONDAY).days  # noqa: E731
    return [(number(one.first), number(one.last), one.why, number(one.bound)) for one in found]


def test_answer_with_every_bar_leaves_nothing_open():
    assert told(0, 1, 2, 3, 4, 7, 8, 9, 10, 11) == []


def test_empty_answer_had_nothing_of_any_day():
    assert told() == [(0, 11, "empty", None)]


def test_kind_of_line_missing_from_a_file_is_not_suspended():
    assert told(0, 1, 3, 4, 7, 8, 9, 10, 11) == [(2, 2, "empty", None)]


def test_days_around_the_bars_name_where_the_bars_begin_and_end():
    assert told(2, 3, 4, 7, 8) == [(0, 1, "before", 2), (9, 11, "after", 8)]


def test_weekend_joins_days_of_one_reason():
    assert told(0, 1, 2, 3, 8, 9, 10, 11) == [(4, 7, "empty", None)]


def test_suspended_and_refused_days_are_as_the_source_said():
    assert told(0, 4, 8, suspended=[1, 2], refused=[3, 9]) == [
        (1, 2, "suspended", None),
        (3, 3, "refused", None),
        (7, 7, "empty", None),
        (9, 9, "refused", None),
        (10, 11, "after", 8),
    ]


def test_days_that_were_not_requested_are_not_told():
    assert told(suspended=[20], refused=[-3], first=2, last=3) == [(2, 3, "empty", None)]


RANGES = st.lists(st.integers(0, 60), min_size=2, max_size=12, unique=True).map(sorted)


@given(RANGES, RANGES)
def test_new_entries_replace_old_ones_of_their_days(old, new):
    def entries(numbers, source):
        pairs = zip(numbers[::2], numbers[1::2], strict=False)
        return [AbsentDays(day(a), day(b), "empty", source, ASKED) for a, b in pairs]

    def by_day(rows):
        return {
            one.first + timedelta(days=n): one.source
            for one in rows
            for n in range((one.last - one.first).days + 1)
        }

    before, after = entries(old, "old"), entries(new, "new")
    merged = absences.overlay(before, after)
    assert by_day(merged) == by_day(before) | by_day(after)
    assert all(one.last < other.first for one, other in pairwise(merged))
    assert absences.parse(absences.dump(merged)) == merged
