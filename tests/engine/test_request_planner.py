"""Only what is missing is asked for, and silence is not taken for an answer too soon."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app import lifecycle
from tasks_app.lifecycle.events import Actor
from tasks_app.market import calendars, exchange_sessions
from tasks_app.models import CalendarDay, DailyBar, Series, Stock, TaskEvent
from tasks_app.models.tasks import Channel, EventKind
from tests.factories import make_order
from tests.fakes.recording_source import (
    RecordingSource,
    sessions,
    set_bars,
    with_recording_source,
)
from tools.in_process import work

pytestmark = pytest.mark.django_db
FIRST, LAST = date(2024, 3, 1), date(2024, 3, 29)
CLOSED = date(2024, 6, 28)  # the last session that is over, for these tests


@pytest.fixture(autouse=True)
def recording_source(settings, monkeypatch):
    settings.COLLECTOR = with_recording_source(settings.COLLECTOR)
    today_is(monkeypatch, CLOSED)


def today_is(monkeypatch, closed):
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: closed)


def collect(*codes, first=FIRST, last=LAST, **fields):
    """One task of the ledger, worked to its end."""
    order = make_order(
        source=fields.pop("source", "recording"), stock_codes=codes, start_date=first, end_date=last, **fields
    )
    task = lifecycle.start(order, Actor(Channel.COMMAND), today=date(2026, 1, 2))
    work()
    task.refresh_from_db()
    return task


def asked():
    """The spans that were asked for since the last look."""
    spans = [(request.code, request.start, request.end) for request in RecordingSource.requests]
    RecordingSource.requests.clear()
    return spans


def covered(code="600000"):
    return Series.objects.get(symbol=code).covered


def test_collecting_again_with_nothing_new_asks_the_source_nothing():
    days = sessions(FIRST, LAST)
    set_bars("600000", days)
    collect("600000")
    assert asked() == [("600000", FIRST, LAST)]
    again = collect("600000")
    assert asked() == []
    item = again.items.get()
    assert (again.status, again.success_count, again.collected_count) == ("completed", 1, 0)
    assert (again.skipped_count, item.rows_skipped, item.state) == (len(days), len(days), "skipped")


def test_an_increment_asks_from_the_first_to_the_last_missing_session():
    set_bars("600000", sessions(FIRST, date(2024, 4, 30)))
    collect("600000")
    asked()
    task = collect("600000", last=date(2024, 4, 7))
    # 29 March was the last session of the month; from 4 to 7 April the market was closed.
    assert asked() == [("600000", date(2024, 4, 1), date(2024, 4, 3))]
    assert (task.collected_count, task.skipped_count) == (3, len(sessions(FIRST, LAST)))
    assert covered() == [["2024-03-01", "2024-04-03"]]
    collect("600000", last=date(2024, 4, 8))
    assert asked() == [("600000", date(2024, 4, 8), date(2024, 4, 8))]
    assert covered() == [["2024-03-01", "2024-04-08"]], "nothing can be missing over the holiday"


def test_one_request_covers_what_is_missing_before_and_after():
    set_bars("600000", sessions(date(2024, 2, 1), date(2024, 4, 30)))
    collect("600000")
    asked()
    collect("600000", first=date(2024, 2, 1), last=date(2024, 4, 30))
    assert asked() == [("600000", date(2024, 2, 1), date(2024, 4, 30))]
    series = Series.objects.get()
    assert (series.bars, series.first_day, series.last_day) == (
        DailyBar.objects.count(),
        date(2024, 2, 1),
        date(2024, 4, 30),
    )


def test_a_suspended_day_is_remembered_and_not_asked_for_again():
    days = sessions(FIRST, LAST)
    set_bars("600000", [*days[:5], *days[8:]])
    collect("600000")
    asked()
    collect("600000")
    assert asked() == []


def test_a_task_within_what_is_stored_counts_the_bars_of_its_own_days():
    set_bars("600000", sessions(FIRST, LAST))
    collect("600000")
    task = collect("600000", first=date(2024, 3, 11), last=date(2024, 3, 15))
    assert (task.collected_count, task.skipped_count) == (0, 5)


def test_a_new_listing_is_asked_for_from_its_first_day_and_a_delisted_stock_up_to_its_last():
    Stock.objects.create(market="CN", code="600001", listed_on=date(2024, 3, 18))
    Stock.objects.create(market="CN", code="600002", delisted_on=date(2024, 3, 8))
    collect("600001", "600002")
    assert asked() == [("600001", date(2024, 3, 18), LAST), ("600002", FIRST, date(2024, 3, 8))]


def test_a_stock_that_was_not_listed_in_the_days_asked_for_is_not_asked_about():
    Stock.objects.create(market="CN", code="600001", listed_on=date(2024, 5, 1))
    task = collect("600001")
    assert asked() == []
    assert (task.status, task.items.get().state) == ("completed", "skipped")


def test_a_permanently_empty_stock_is_believed_the_second_time_and_never_asked_again():
    for spans in (1, 1, 0, 0):
        collect("600009")
        assert len(asked()) == spans
    collect("600009", force_update=True)
    assert asked() == [("600009", FIRST, LAST)]


def is_full(code="600000"):
    return Stock.objects.get(code=code).full_collection_completed


def test_a_history_is_full_once_every_day_of_it_was_answered():
    set_bars("600000", sessions(FIRST, LAST))
    collect("600000")
    assert not is_full(), "nobody asked for the full history"
    collect("600000", last=date(2024, 4, 3), full_collection_mode=True)
    assert is_full()


def test_an_empty_answer_in_full_mode_is_no_full_history_before_it_is_believed():
    collect("600009", full_collection_mode=True)
    assert not is_full("600009")
    collect("600009", full_collection_mode=True)
    assert is_full("600009")


def test_a_full_history_lacks_nothing_of_the_newest_days_either():
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days[:-1])
    collect("600000", first=days[0], last=CLOSED, full_collection_mode=True)
    assert not is_full()
    set_bars("600000", days)
    collect("600000", first=days[0], last=CLOSED, full_collection_mode=True)
    assert is_full()


def test_a_full_history_begins_with_the_listing():
    Stock.objects.create(market="CN", code="600001", listed_on=date(2024, 3, 18))
    set_bars("600001", sessions(date(2024, 3, 18), LAST))
    collect("600001", full_collection_mode=True)
    assert is_full("600001")


def test_the_bars_of_a_source_that_may_grow_are_its_full_history_for_now():
    set_bars("600000", sessions(FIRST, LAST)[3:10])
    collect("600000", "600001", source="growing", full_collection_mode=True)
    assert is_full("600000")
    assert not is_full("600001")


def test_force_update_asks_for_everything():
    set_bars("600000", sessions(FIRST, LAST))
    collect("600000")
    asked()
    task = collect("600000", force_update=True)
    assert asked() == [("600000", FIRST, LAST)]
    assert (task.collected_count, task.skipped_count) == (0, len(sessions(FIRST, LAST)))


def test_the_newest_days_without_a_bar_are_asked_for_again(monkeypatch):
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days[:-2])
    for _ in range(2):
        collect("600000", first=days[0], last=CLOSED)
    assert asked() == [("600000", days[0], CLOSED), ("600000", days[-2], CLOSED)]
    set_bars("600000", days)
    assert collect("600000", first=days[0], last=CLOSED).collected_count == 2


def test_an_empty_tail_by_throttling_is_never_taken_for_no_data(monkeypatch):
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days[:-1])
    set_bars("600001", days)
    collect("600001", "600000", first=days[0], last=days[-2])
    RecordingSource.bars["600000", ""] = []  # as a vendor answers that throttles
    collect("600001", "600000", first=days[0], last=CLOSED)
    set_bars("600000", days)
    asked()
    task = collect("600001", "600000", first=days[0], last=CLOSED)
    assert asked() == [("600000", CLOSED, CLOSED)]
    assert task.collected_count == 1


def test_a_newest_day_without_a_bar_is_remembered_once_another_stock_has_it():
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days[:-1])
    set_bars("600001", days)
    collect("600001", "600000", first=days[0], last=CLOSED)
    asked()
    collect("600001", "600000", first=days[0], last=CLOSED)
    assert asked() == []


def test_days_without_a_bar_are_believed_once_five_sessions_have_followed(monkeypatch):
    set_bars("600000", sessions(FIRST, date(2024, 6, 20)))
    collect("600000", last=CLOSED)
    assert covered() == [["2024-03-01", "2024-06-21"]]


def test_today_is_not_asked_for_before_the_market_has_closed(monkeypatch):
    monkeypatch.undo()
    before = datetime(2024, 6, 28, 6, 59, tzinfo=UTC)  # 14:59 in Shanghai
    after = datetime(2024, 6, 28, 7, 31, tzinfo=UTC)
    assert calendars.load_calendar("CN").latest_session(before) == date(2024, 6, 27)
    assert calendars.load_calendar("CN").latest_session(after) == date(2024, 6, 28)
    assert calendars.load_calendar("US").latest_session(after) == date(2024, 6, 27)
    assert calendars.load_calendar("CN").latest_session(datetime(2024, 6, 30, 12, tzinfo=UTC)) == date(
        2024, 6, 28
    )


def test_a_morning_run_neither_asks_for_today_nor_remembers_it_as_empty(settings, monkeypatch):
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days)
    today_is(monkeypatch, days[-2])
    collect("600000", first=days[0], last=CLOSED)
    assert asked() == [("600000", days[0], days[-2])]
    today_is(monkeypatch, CLOSED)
    assert collect("600000", first=days[0], last=CLOSED).collected_count == 1


def test_a_refused_bar_of_the_last_days_is_asked_for_again():
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days)
    bad = RecordingSource.bars["600000", ""]
    bad[-2] = bad[-2]._replace(high=1.0)
    collect("600000", first=days[0], last=CLOSED)
    asked()
    set_bars("600000", days)
    task = collect("600000", first=days[0], last=CLOSED)
    assert asked() == [("600000", days[-2], CLOSED)]
    assert task.collected_count == 1


def test_a_source_that_may_grow_is_asked_for_all_days_outside_its_bars():
    days = sessions(FIRST, LAST)
    set_bars("600000", days[3:10])
    collect("600000", source="growing")
    asked()
    set_bars("600000", days)
    assert collect("600000", source="growing").collected_count == len(days) - 7


def test_a_failed_stock_is_asked_for_again_as_a_whole():
    set_bars("600000", sessions(FIRST, LAST))
    RecordingSource.bars["600000", ""] = [
        bar._replace(high=1.0) for bar in RecordingSource.bars["600000", ""]
    ]
    assert collect("600000").status == "failed"
    asked()
    collect("600000")
    assert asked() == [("600000", FIRST, LAST)]
    assert not Series.objects.exists()


def test_a_day_that_was_imported_as_closed_is_not_missing():
    set_bars("600000", sessions(FIRST, LAST))
    collect("600000", last=date(2024, 3, 28))
    CalendarDay.objects.create(market="CN", day=LAST, is_session=False, note="a typhoon")
    asked()
    collect("600000")
    assert asked() == []


def test_beyond_the_calendar_weekdays_count_and_the_task_is_warned_once(settings, monkeypatch):
    known = exchange_sessions.load_sessions("CN")[1]
    end = date(2024, 3, 15)
    monkeypatch.setattr(
        exchange_sessions, "load_sessions", lambda market: (end, tuple(day for day in known if day <= end))
    )
    monkeypatch.setattr(calendars, "_load_published", calendars._load_published.__wrapped__)
    monkeypatch.setattr(calendars.cache, "get", lambda key: None)
    monkeypatch.setattr(calendars.cache, "set", lambda *args: None)
    set_bars("600000", sessions(FIRST, LAST))
    settings.COLLECTOR = replace(settings.COLLECTOR, fan_out=1)
    task = collect("600000", "600001", last=LAST)
    warning = TaskEvent.objects.get(task=task, kind=EventKind.WARNED)
    assert warning.params == {"code": "calendar_ends", "market": "CN", "end": "2024-03-15"}
    assert not collect("600000", last=end).events.filter(kind=EventKind.WARNED).exists()
    found = calendars.load_calendar("CN").sessions(date(2024, 3, 14), date(2024, 3, 19))
    assert (len(found.days), found.beyond) == (4, True)


def test_a_market_run_reads_ahead_instead_of_asking_the_database_for_each_stock(settings):
    codes = [f"60{n:04d}" for n in range(60)]
    for code in codes:
        set_bars(code, sessions(FIRST, LAST))
    collect(*codes)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        collect(*codes)
    looks = [q for q in queries.captured_queries if 'FROM "tasks_app_stock"' in q["sql"]]
    assert len(looks) < 10
