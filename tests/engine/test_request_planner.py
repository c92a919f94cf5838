"""Only missing days are requested, and a missing bar does not count as answered too soon."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app import errors, lifecycle
from tasks_app.lifecycle.events import Actor
from tasks_app.market import calendars
from tasks_app.models import CalendarDay, DailyBar, Series, Stock, TaskEvent
from tasks_app.models.events import Channel, EventKind
from tasks_app.sources import registry
from tests.engine.helpers import store
from tests.factories import make_order
from tests.fakes.recording_source import RecordingSource, sessions, set_bars, with_recording_source
from tools.in_process import work

pytestmark = pytest.mark.django_db
FIRST, LAST = date(2024, 3, 1), date(2024, 3, 29)
CLOSED = date(2024, 6, 28)  # the last closed session in these tests


@pytest.fixture(autouse=True)
def recording_source(settings, monkeypatch):
    settings.COLLECTOR = with_recording_source(settings.COLLECTOR)
    set_last_closed_day(monkeypatch, CLOSED)


def set_last_closed_day(monkeypatch, closed):
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: closed)


def collect(*codes, first=FIRST, last=LAST, **fields):
    """Runs a task for these stocks of the recording source to its end. Returns the task."""
    order = make_order(
        source=fields.pop("source", "recording"), stock_codes=codes, start_date=first, end_date=last, **fields
    )
    task = lifecycle.start(order, Actor(Channel.COMMAND), today=date(2026, 1, 2))
    work()
    task.refresh_from_db()
    return task


def keep(code, days, source="recording"):
    """Stores these days of the stock, as a task before has left them, and has the source send them, too."""
    set_bars(code, days)
    store(source, {code: RecordingSource.bars[code, ""]})


def take_requests():
    """Returns the code, first and last day of each request since the last call."""
    ranges = [(request.code, request.start, request.end) for request in RecordingSource.requests]
    RecordingSource.requests.clear()
    return ranges


def covered(code="600000"):
    return Series.objects.get(symbol=code).covered


def test_complete_stock_costs_no_request():
    days = sessions(FIRST, LAST)
    set_bars("600000", days)
    collect("600000")
    assert take_requests() == [("600000", FIRST, LAST)]
    again = collect("600000")
    assert take_requests() == []
    item = again.items.get()
    assert again.status == "completed"
    assert again.success_count == 1
    assert again.collected_count == 0
    assert again.skipped_count == len(days)
    assert item.rows_skipped == len(days)
    assert item.state == "skipped"


def test_increment_requests_missing_sessions_and_the_last_five():
    keep("600000", sessions(FIRST, LAST))
    set_bars("600000", sessions(FIRST, date(2024, 4, 30)))
    task = collect("600000", last=date(2024, 4, 7))
    # 29 March was the last session of the month; from 4 to 7 April the market was closed.
    assert take_requests() == [("600000", date(2024, 3, 25), date(2024, 4, 3))]
    assert task.collected_count == 3
    assert task.skipped_count == len(sessions(FIRST, LAST))
    assert covered() == [["2024-03-01", "2024-04-03"]]
    collect("600000", last=date(2024, 4, 8))
    assert take_requests() == [("600000", date(2024, 3, 28), date(2024, 4, 8))]
    assert covered() == [["2024-03-01", "2024-04-08"]], "no session is missing over the holiday"


def test_one_request_covers_both_missing_ends():
    keep("600000", sessions(FIRST, LAST))
    set_bars("600000", sessions(date(2024, 2, 1), date(2024, 4, 30)))
    collect("600000", first=date(2024, 2, 1), last=date(2024, 4, 30))
    assert take_requests() == [("600000", date(2024, 2, 1), date(2024, 4, 30))]
    series = Series.objects.get()
    assert series.bars == DailyBar.objects.count()
    assert series.first_day == date(2024, 2, 1)
    assert series.last_day == date(2024, 4, 30)


def test_suspended_day_is_not_requested_again():
    days = sessions(FIRST, LAST)
    set_bars("600000", [*days[:5], *days[8:]])
    collect("600000")
    take_requests()
    collect("600000")
    assert take_requests() == []


def test_skipped_bars_are_those_of_the_tasks_days():
    keep("600000", sessions(FIRST, LAST))
    task = collect("600000", first=date(2024, 3, 11), last=date(2024, 3, 15))
    assert task.collected_count == 0
    assert task.skipped_count == 5


def test_request_keeps_within_the_listed_days():
    Stock.objects.create(market="CN", code="600001", listed_on=date(2024, 3, 18))
    Stock.objects.create(market="CN", code="600002", delisted_on=date(2024, 3, 8))
    collect("600001", "600002")
    assert take_requests() == [("600001", date(2024, 3, 18), LAST), ("600002", FIRST, date(2024, 3, 8))]


def test_stock_not_listed_yet_is_skipped():
    Stock.objects.create(market="CN", code="600001", listed_on=date(2024, 5, 1))
    task = collect("600001")
    assert take_requests() == []
    assert task.status == "completed"
    assert task.items.get().state == "skipped"


def test_empty_stock_is_requested_only_twice():
    for requests in (1, 1, 0, 0):
        collect("600009")
        assert len(take_requests()) == requests
    collect("600009", force_update=True)
    assert take_requests() == [("600009", FIRST, LAST)]


def is_full(code="600000"):
    series = Series.objects.filter(symbol=code, full_at__isnull=False)
    stock = Stock.objects.get(code=code)
    assert stock.full_collection_completed == series.exists()
    return stock.full_collection_completed


def test_kind_of_few_days_are_not_a_full_history():
    """Five test days of a stock with decades of bars: in full collection mode it is requested again."""
    set_bars("600000", sessions(date(2023, 1, 3), CLOSED))
    collect("600000", full_collection_mode=True)
    assert not is_full()
    take_requests()
    task = collect("600000", first=date(2023, 1, 3), last=CLOSED, full_collection_mode=True)
    assert task.collected_count > len(sessions(FIRST, LAST))
    assert take_requests() == [("600000", date(2023, 1, 3), CLOSED)]


def test_history_is_full_once_the_listed_life_is_answered():
    Stock.objects.create(market="CN", code="600000", listed_on=FIRST)
    set_bars("600000", sessions(FIRST, CLOSED))
    collect("600000", first=FIRST, last=date(2024, 6, 14))
    assert not is_full(), "the newest sessions were not requested"
    collect("600000", first=date(2024, 6, 17), last=CLOSED)
    assert is_full(), "whatever the task's mode"


def test_history_of_unknown_listing_begins_with_the_market():
    set_bars("600000", sessions(FIRST, CLOSED))
    collect("600000", first=date(1991, 1, 2), last=CLOSED)
    assert not is_full()
    collect("600000", first=date(1990, 12, 19), last=CLOSED)
    assert is_full()


def test_history_of_a_delisted_stock_ends_with_it():
    Stock.objects.create(market="CN", code="600000", listed_on=FIRST, delisted_on=LAST)
    set_bars("600000", sessions(FIRST, LAST))
    collect("600000", last=CLOSED)
    assert is_full()


def test_newest_sessions_may_be_late_for_a_full_history():
    Stock.objects.create(market="CN", code="600000", listed_on=FIRST)
    set_bars("600000", sessions(FIRST, CLOSED)[:-2])
    collect("600000", last=CLOSED)
    assert is_full()


def test_empty_history_is_full_at_the_second_response():
    for expected in (False, True):
        collect("600009", first=date(1990, 12, 19), last=CLOSED)
        assert is_full("600009") == expected


def test_full_history_is_one_adjustments():
    Stock.objects.create(market="CN", code="600000", listed_on=FIRST)
    set_bars("600000", sessions(FIRST, CLOSED))
    set_bars("600000", sessions(FIRST, CLOSED), adjust="qfq")
    collect("600000", last=CLOSED, full_collection_mode=True)
    take_requests()
    task = collect("600000", last=CLOSED, full_collection_mode=True, adjust="qfq")
    assert task.collected_count == len(sessions(FIRST, CLOSED)), "only the unadjusted history is full"
    with pytest.raises(errors.NothingToCollect, match="whole listed life"):
        collect("600000", last=CLOSED, full_collection_mode=True)


def test_growing_source_answers_only_for_its_bars():
    Stock.objects.create(market="CN", code="600000", listed_on=FIRST)
    set_bars("600000", sessions(FIRST, CLOSED)[3:])
    collect("600000", source="growing", last=CLOSED, full_collection_mode=True)
    assert not is_full()
    set_bars("600000", sessions(FIRST, CLOSED))
    collect("600000", source="growing", last=CLOSED, full_collection_mode=True)
    assert is_full()


def test_stored_listing_makes_a_history_full_without_a_request():
    keep("600000", sessions(FIRST, CLOSED))
    Stock.objects.create(market="CN", code="600000", listed_on=FIRST)
    assert not is_full()
    collect("600000", last=CLOSED, full_collection_mode=True)
    assert (take_requests(), is_full()) == ([], True)


def test_force_update_requests_all_days():
    keep("600000", sessions(FIRST, LAST))
    task = collect("600000", force_update=True)
    assert take_requests() == [("600000", FIRST, LAST)]
    assert task.collected_count == 0
    assert task.skipped_count == len(sessions(FIRST, LAST))


def test_newest_days_without_bars_are_requested_again(monkeypatch):
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days[:-2])
    for _ in range(2):
        collect("600000", first=days[0], last=CLOSED)
    assert take_requests() == [("600000", days[0], CLOSED), ("600000", days[-7], CLOSED)]
    set_bars("600000", days)
    assert collect("600000", first=days[0], last=CLOSED).collected_count == 2


def test_empty_response_does_not_answer_newest_days(monkeypatch):
    days = sessions(date(2024, 6, 3), CLOSED)
    keep("600000", days[:-1])
    keep("600001", days[:-1])
    set_bars("600001", days)
    RecordingSource.bars["600000", ""] = []  # as a throttling vendor responds
    collect("600001", "600000", first=days[0], last=CLOSED)
    set_bars("600000", days)
    take_requests()
    task = collect("600001", "600000", first=days[0], last=CLOSED)
    assert take_requests() == [("600000", days[-6], CLOSED)]
    assert task.collected_count == 1


def test_newest_day_is_answered_by_another_stock():
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days[:-1])
    set_bars("600001", days)
    collect("600001", "600000", first=days[0], last=CLOSED)
    take_requests()
    collect("600001", "600000", first=days[0], last=CLOSED)
    assert take_requests() == []


def test_empty_days_are_answered_after_five_sessions(monkeypatch):
    set_bars("600000", sessions(FIRST, date(2024, 6, 20)))
    collect("600000", last=CLOSED)
    assert covered() == [["2024-03-01", "2024-06-21"]]


def test_latest_session_ends_with_the_market_close(monkeypatch):
    monkeypatch.undo()
    before = datetime(2024, 6, 28, 6, 59, tzinfo=UTC)  # 14:59 in Shanghai
    after = datetime(2024, 6, 28, 7, 31, tzinfo=UTC)
    assert calendars.load_calendar("CN").latest_session(before) == date(2024, 6, 27)
    assert calendars.load_calendar("CN").latest_session(after) == date(2024, 6, 28)
    assert calendars.load_calendar("US").latest_session(after) == date(2024, 6, 27)
    assert calendars.load_calendar("CN").latest_session(datetime(2024, 6, 30, 12, tzinfo=UTC)) == date(
        2024, 6, 28
    )


def test_today_is_not_requested_before_the_close(settings, monkeypatch):
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days)
    set_last_closed_day(monkeypatch, days[-2])
    collect("600000", first=days[0], last=CLOSED)
    assert take_requests() == [("600000", days[0], days[-2])]
    set_last_closed_day(monkeypatch, CLOSED)
    assert collect("600000", first=days[0], last=CLOSED).collected_count == 1


@pytest.mark.parametrize(("at", "requests"), [(time(16), 0), (time(17, 30), 1)])
def test_kind_of_day_that_the_source_does_not_have_yet_costs_no_request(monkeypatch, at, requests):
    """Case cli-13, by stock: the session is over, but the source has its bars from 17:30."""
    monkeypatch.undo()
    now = datetime.combine(CLOSED, at, ZoneInfo("Asia/Shanghai"))
    for name in ("last_closed_day", "last_day_ready_at"):
        function = getattr(calendars, name)
        monkeypatch.setattr(calendars, name, lambda *args, function=function: function(*args, now=now))
    monkeypatch.setattr(RecordingSource, "ready_at", time(17, 30), raising=False)
    registry.traits.cache_clear()
    set_bars("600000", [CLOSED])
    task = collect("600000", first=CLOSED, last=CLOSED)
    assert (len(take_requests()), task.status) == (requests, "completed")
    warnings = [event.params for event in task.events.filter(kind=EventKind.WARNED)]
    told = {"code": "day_not_ready", "source": "recording", "day": "2024-06-28", "time": "17:30"}
    assert warnings == ([] if requests else [told])


def test_refused_recent_bar_is_requested_again():
    days = sessions(date(2024, 6, 3), CLOSED)
    set_bars("600000", days)
    bad = RecordingSource.bars["600000", ""]
    bad[-2] = bad[-2]._replace(high=1.0)
    collect("600000", first=days[0], last=CLOSED)
    take_requests()
    set_bars("600000", days)
    task = collect("600000", first=days[0], last=CLOSED)
    assert take_requests() == [("600000", days[-2], CLOSED)]
    assert task.collected_count == 1


def test_growing_source_is_requested_beyond_its_bars():
    days = sessions(FIRST, LAST)
    keep("600000", days[3:10], "growing")
    set_bars("600000", days)
    assert collect("600000", source="growing").collected_count == len(days) - 7


def test_failed_stock_is_requested_again_as_a_whole():
    set_bars("600000", sessions(FIRST, LAST))
    RecordingSource.bars["600000", ""] = [
        bar._replace(high=1.0) for bar in RecordingSource.bars["600000", ""]
    ]
    assert collect("600000").status == "failed"
    take_requests()
    collect("600000")
    assert take_requests() == [("600000", FIRST, LAST)]
    assert not Series.objects.exists()


def test_day_imported_as_closed_is_not_missing():
    keep("600000", sessions(FIRST, date(2024, 3, 28)))
    CalendarDay.objects.create(market="CN", day=LAST, is_session=False, note="a typhoon")
    collect("600000")
    assert take_requests() == []


def test_days_beyond_the_calendar_warn_once(settings, monkeypatch):
    end = date(2024, 3, 15)
    days = tuple(day for day in calendars.load_calendar("CN").published.days if day <= end)
    monkeypatch.setattr(calendars, "_load_published", lambda *_: calendars.PublishedSessions(end, days))
    set_bars("600000", sessions(FIRST, LAST))
    settings.COLLECTOR = replace(settings.COLLECTOR, fan_out=1)
    task = collect("600000", "600001", last=LAST)
    warning = TaskEvent.objects.get(task=task, kind=EventKind.WARNED)
    assert warning.params == {"code": "calendar_ends", "market": "CN", "end": "2024-03-15"}
    assert not collect("600000", last=end).events.filter(kind=EventKind.WARNED).exists()
    sessions_then = calendars.load_calendar("CN").sessions(date(2024, 3, 14), date(2024, 3, 19))
    assert len(sessions_then.days) == 4
    assert sessions_then.beyond


def test_planner_reads_many_stocks_per_query(settings):
    codes = [f"60{n:04d}" for n in range(12)]
    for code in codes:
        keep(code, [FIRST])
    with CaptureQueriesContext(connection) as queries:
        collect(*codes, last=FIRST)
    reads = [query for query in queries.captured_queries if 'FROM "tasks_app_stock"' in query["sql"]]
    assert len(reads) < 10
