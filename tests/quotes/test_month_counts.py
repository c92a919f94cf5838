"""Bars by month of a series: counted as they are written, and true at every commit."""

from datetime import date

import pytest

from tasks_app import lifecycle
from tasks_app.market import calendars
from tasks_app.models import Series
from tasks_app.quotes import month_counts
from tasks_app.quotes.deletion import Selection
from tasks_app.quotes.series import bars_of
from tasks_app.sources.base import Bar
from tests.factories import ACTOR
from tests.fakes.recording_source import RecordingSource
from tests.quotes.helpers import collect

pytestmark = pytest.mark.django_db
MARCH = month_counts.month_of(date(2024, 3, 1))


@pytest.fixture
def source(recording_source, monkeypatch):
    """Sets bars of all sessions from February to June 2024."""
    days = calendars.load_calendar("CN").sessions(date(2024, 2, 1), date(2024, 6, 28)).days
    bars = [Bar(day, 10.0, 11.0, 9.0, 10.5, 100) for day in days]
    monkeypatch.setattr(RecordingSource, "bars", {("600000", ""): bars})


def stored():
    """Returns the series' months, after comparing them with its bars."""
    (series,) = Series.objects.all()
    bars = bars_of(series.market, series.symbol, series.adjust)
    assert month_counts.parse(series.months) == month_counts.count_bars(bars)
    assert month_counts.count_bars(bars).total() == series.bars
    return series.months


def test_text_is_read_as_it_was_written():
    counts = {MARCH: 31, MARCH + 2: 7, MARCH + 3: 0}
    text = month_counts.dump(counts)
    assert text == "2024-03:v07"
    assert +month_counts.parse(text) == {MARCH: 31, MARCH + 2: 7}
    assert (month_counts.dump({}), month_counts.parse("")) == ("", {})


@pytest.mark.parametrize(
    ("first", "last", "counts"),
    [
        (-2, 3, [0, 0, 31, 0, 7, 0]),
        (0, 2, [31, 0, 7]),
        (1, 1, [0]),
        (2, 4, [7, 0, 0]),
        (-3, -2, [0, 0]),
        (5, 6, [0, 0]),
    ],
)
def test_window_cuts_the_months(first, last, counts):
    assert list(month_counts.window("2024-03:v07", MARCH + first, MARCH + last)) == counts


def test_collections_keep_the_months_true(source):
    collect(first=date(2024, 3, 4), last=date(2024, 3, 8))
    assert stored() == "2024-03:5"
    collect(first=date(2024, 2, 1), last=date(2024, 4, 30))  # around what is stored
    assert stored() == "2024-02:flk"
    collect(first=date(2024, 3, 1), last=date(2024, 3, 29), force_update=True)
    assert stored() == "2024-02:flk"
    Series.objects.update(months="")  # of an older export
    collect(first=date(2024, 5, 6), last=date(2024, 5, 10))
    assert stored() == "2024-02:flk5"


def test_deletion_keeps_the_months_true(source):
    collect(first=date(2024, 2, 1), last=date(2024, 4, 30))
    doomed = Selection("recording", "", date(2024, 3, 1), date(2024, 3, 20))
    list(lifecycle.delete_source_data(doomed, ACTOR))
    assert stored() == "2024-02:f7k"
