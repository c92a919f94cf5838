"""A response that begins long after a stock's listing is not taken for its whole history."""

from datetime import date

import pytest

from tasks_app import lifecycle
from tasks_app.market import calendars
from tasks_app.models import Series, Stock
from tasks_app.sources.base import Answer
from tests.factories import ACTOR, make_order
from tests.fakes.recording_source import RecordingSource, sessions, set_bars, with_recording_source
from tools.in_process import work

pytestmark = pytest.mark.django_db
CODE = "600000"
FIRST, LATE, LAST, NEXT = date(2023, 1, 3), date(2024, 3, 1), date(2024, 3, 28), date(2024, 3, 29)


@pytest.fixture(autouse=True)
def listed(settings, monkeypatch):
    settings.COLLECTOR = with_recording_source(settings.COLLECTOR)
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: NEXT)
    set_bars(CODE, sessions(LATE, NEXT))
    return Stock.objects.create(market="CN", code=CODE, listed_on=date(1999, 11, 10))


def collect(last=LAST, **fields):
    """Runs a task for the stock to its end. Returns the days that it requested."""
    RecordingSource.requests.clear()
    order = make_order(source="recording", stock_codes=(CODE,), start_date=FIRST, end_date=last, **fields)
    lifecycle.start(order, ACTOR, today=date(2026, 1, 2))
    work()
    return [(request.start, request.end) for request in RecordingSource.requests]


def covered():
    return Series.objects.get().covered


def test_days_before_a_late_first_bar_are_requested_again():
    collect()
    assert covered() == [[LATE.isoformat(), LAST.isoformat()]]
    assert collect() == [(FIRST, date(2024, 2, 29))]
    assert covered() == [[FIRST.isoformat(), LAST.isoformat()]]
    assert collect() == []


def test_missing_years_that_come_later_are_stored():
    collect()
    set_bars(CODE, sessions(FIRST, NEXT))
    collect()
    assert Series.objects.get().first_day == FIRST


def test_second_response_with_the_same_first_bar_is_believed():
    collect()
    assert collect(last=NEXT) == [(FIRST, NEXT)]
    assert covered() == [[FIRST.isoformat(), NEXT.isoformat()]]


def test_cut_history_is_not_a_full_one(listed):
    Stock.objects.update(listed_on=FIRST)
    for is_full in (False, True):
        collect(full_collection_mode=True)
        listed.refresh_from_db()
        assert listed.full_collection_completed is is_full


@pytest.mark.parametrize("day", [None, date(2024, 2, 20)], ids=["unknown", "two weeks earlier"])
def test_first_bar_after_the_listing_or_without_one_is_believed(listed, day):
    Stock.objects.update(listed_on=day)
    collect()
    assert collect() == []


def test_source_that_confirms_its_answer_is_believed(monkeypatch):
    fetch = RecordingSource.fetch
    monkeypatch.setattr(
        RecordingSource, "fetch", lambda self, request: Answer(fetch(self, request), is_whole=True)
    )
    collect()
    assert covered() == [[FIRST.isoformat(), LAST.isoformat()]]
