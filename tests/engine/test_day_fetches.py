"""A source that answers a day for all stocks is asked by day, when few days of many stocks are missing."""

import threading
from datetime import date, timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf as QConf

from tasks_app.conf import Simulated
from tasks_app.engine import day_fetches
from tasks_app.market import calendars
from tasks_app.models import CollectionItem, DailyBar, TaskEvent
from tasks_app.sources.base import Transient
from tasks_app.workers import watchdog
from tests.factories import make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import ByDay
from tools.in_process import work

pytestmark = pytest.mark.django_db
FRIDAY, MONDAY = date(2024, 3, 1), date(2024, 3, 4)


@pytest.fixture
def script(settings, monkeypatch):
    """A function that gives the source its script by day, and the settings their values."""
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)
    day_fetches._caches.clear()

    def give(days, **given):
        monkeypatch.setattr(ByDay, "days", staticmethod(days))
        settings.COLLECTOR = scripted_sources.with_scripted_sources(
            settings.COLLECTOR, monkeypatch, **{"slice_seconds": 5.0, **given}
        )

    return give


def make_increment(**fields):
    """A task for the whole market of 60 stocks and two sessions."""
    span = {"start_date": FRIDAY, "end_date": MONDAY}
    return make_task(**{"source": "by_day", "stock_codes": None, **span, **fields})


def collect(task):
    for _ in range(10):
        work()
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        watchdog.tick()
    task.refresh_from_db()
    return task


def asked():
    """The requests, but for the stock list."""
    return [call for call in ByDay.calls if call != "list"]


def test_two_missing_days_of_a_whole_market_cost_two_requests(script):
    script(scripted_sources.whole_market)
    task = collect(make_increment())
    assert sorted(asked()) == ["2024-03-01", "2024-03-04"]
    assert (task.status, task.success_count, task.collected_count) == ("completed", 60, 120)
    assert DailyBar.objects.filter(source="by_day").count() == 120
    assert set(task.items.values_list("source", "attempts", "rows_collected")) == {("by_day", 1, 2)}


def test_a_stock_that_is_absent_from_a_day_has_no_bar_on_it_and_is_not_asked_for_again(script):
    def days(day):
        market = scripted_sources.whole_market(day)
        if day == FRIDAY:
            del market["000007"]
        return market

    script(days)
    collect(make_increment())
    assert DailyBar.objects.get(symbol="000007").day == MONDAY
    ByDay.calls.clear()
    again = collect(make_increment())
    assert asked() == []
    assert again.status == "completed"


@pytest.mark.parametrize(
    "fields",
    [
        {"start_date": FRIDAY - timedelta(days=30)},
        {"stock_codes": ("000001", "000002")},
    ],
)
def test_many_days_or_few_stocks_are_asked_for_stock_by_stock(script, fields):
    script(scripted_sources.whole_market)
    task = collect(make_increment(**fields))
    assert set(asked()) == set(task.items.values_list("code", flat=True))


def test_an_adjustment_that_days_do_not_come_in_is_asked_for_stock_by_stock(script, monkeypatch):
    monkeypatch.setattr(ByDay, "day_adjusts", ("",), raising=False)
    script(scripted_sources.whole_market)
    collect(make_increment(adjust="qfq"))
    assert len(asked()) == 60
    assert "2024-03-01" not in asked()


def test_a_source_is_not_asked_for_days_that_it_does_not_offer(script, monkeypatch):
    monkeypatch.setattr(ByDay, "offers_day", lambda self, market, day: day == MONDAY, raising=False)
    script(scripted_sources.whole_market)
    collect(make_increment())
    assert "2024-03-01" not in asked()
    assert len(asked()) == 60


def test_a_day_that_fails_in_passing_is_asked_for_again_and_no_stock_is_the_worse_for_it(script):
    failed = []

    def days(day):
        if not failed:
            failed.append(day)
            raise Transient("Not now.")
        return scripted_sources.whole_market(day)

    script(days)
    task = collect(make_increment())
    assert len(asked()) == 3
    assert (task.success_count, task.failed_count) == (60, 0)
    assert set(task.items.values_list("attempts", flat=True)) == {1}


def busy(day):
    raise Transient("Not now.")


def crash(day):
    raise ZeroDivisionError("a vendor's bug")


@pytest.mark.parametrize(
    ("days", "tries"),
    [
        (busy, 3),
        (crash, 1),
        (lambda day: {}, 3),
        (lambda day: ["<html>"], 3),
        (lambda day: None, 3),
    ],
)
def test_days_that_can_not_be_had_are_given_up_with_a_warning_and_the_stocks_go_one_by_one(
    script, days, tries
):
    script(days)
    task = collect(make_increment())
    assert (task.status, task.success_count) == ("completed", 60)
    assert len([call for call in asked() if "-" in call]) == tries
    assert len(set(asked())) >= 60
    warning = TaskEvent.objects.get(task=task, kind="warned", params__code="by_day_failed")
    assert warning.params["source"] == "by_day"
    assert warning.params["reason"]


SPAN = {"start_date": MONDAY, "end_date": MONDAY}


def each(request):
    """A stock's bars as it has them when it is asked for by itself."""
    return [
        scripted_sources.make_bar(day=day) for day in (FRIDAY, MONDAY) if request.start <= day <= request.end
    ]


def page(size):
    """The first page of the market's list, and no more."""
    return lambda day: dict(list(scripted_sources.whole_market(day).items())[:size])


def make_stored(script, size=60):
    """The Friday of so many stocks, which then are known to trade."""
    script(page(size), by_day=each)
    collect(make_increment(end_date=FRIDAY))
    day_fetches._caches.clear()
    ByDay.calls.clear()


def test_a_day_that_lacks_most_stocks_was_cut_off_and_they_are_asked_for_one_by_one(script):
    make_stored(script)
    script(page(1), by_day=each)
    task = collect(make_increment(**SPAN))
    assert (task.status, task.collected_count) == ("completed", 60)
    assert asked().count(MONDAY.isoformat()) == 3
    assert len(asked()) == 63
    warning = TaskEvent.objects.get(task=task, kind="warned", params__code="by_day_failed")
    assert "1 of 60 stocks" in warning.params["reason"]


def test_a_day_that_was_cut_off_in_passing_is_asked_for_again(script):
    make_stored(script)
    sizes = [60, 3]

    def days(day):
        return page(sizes.pop())(day)

    script(days)
    task = collect(make_increment(**SPAN))
    assert asked() == [MONDAY.isoformat()] * 2
    assert (task.success_count, task.collected_count) == (60, 60)
    assert not task.events.filter(kind="warned").exists()


def test_the_second_of_two_days_is_measured_like_the_first(script):
    make_stored(script)
    script(lambda day: page(60 if day == MONDAY else 1)(day), by_day=each)
    task = collect(make_increment(start_date=MONDAY, end_date=MONDAY + timedelta(days=1)))
    assert task.events.filter(kind="warned").count() == 1
    assert DailyBar.objects.filter(day=MONDAY).count() == 60


def test_a_few_stocks_may_be_absent_from_a_day_and_those_that_traded_no_more_are_not_expected(script):
    make_stored(script, size=20)
    script(page(17))
    task = collect(make_increment(**SPAN))
    assert asked() == [MONDAY.isoformat()]
    assert (task.success_count, task.collected_count) == (60, 17)


def test_each_day_is_measured_by_one_query(script):
    make_stored(script)
    script(scripted_sources.whole_market)
    with CaptureQueriesContext(connection) as caught:
        collect(make_increment(**SPAN))
    assert sum('"first_day" <=' in query["sql"] for query in caught.captured_queries) == 1


def test_a_refused_bar_of_the_last_days_is_asked_for_again_though_its_day_was_answered(script, monkeypatch):
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: MONDAY)

    def days(day):
        market = scripted_sources.whole_market(day)
        if day == MONDAY:
            market["000007"] = market["000007"]._replace(high=1.0)
        return market

    script(days)
    assert collect(make_increment()).items.get(code="000007").rows_refused == 1
    day_fetches._caches.clear()
    ByDay.calls.clear()
    script(scripted_sources.whole_market)
    task = collect(make_increment())
    assert asked() == [MONDAY.isoformat()]
    assert task.collected_count == 1


def test_a_day_that_hangs_is_given_up_and_the_next_process_knows(script):
    released = threading.Event()
    script(lambda day: released.wait(30) and {}, fetch_timeout=0.2, heartbeat=0.05)
    task = make_increment()
    work()
    day_fetches._caches.clear()  # as a new process would find it
    collect(task)
    released.set()
    assert (task.status, task.success_count) == ("completed", 60)
    assert len([call for call in asked() if "-" in call]) == 1
    assert QConf.MAX_RSS == 1, "the worker process must be replaced, or its thread goes on asking"


def test_days_pass_the_gate_like_any_request(script):
    script(scripted_sources.whole_market, daily_caps=(("by_day", 3),))
    task = collect(make_increment())
    assert (task.status, len(ByDay.calls)) == ("completed", 3)


def test_a_process_never_keeps_more_days_than_it_may_ask_at_once(script):
    script(scripted_sources.whole_market, days_at_once=2)
    collect(make_increment())
    collect(make_increment(start_date=MONDAY, end_date=MONDAY + timedelta(days=1), force_update=True))
    assert len(day_fetches._caches) == 1
    assert all(len(cache.days) <= 2 for cache in day_fetches._caches.values())


def test_the_simulated_days_hold_the_same_bars_as_its_stocks(settings):
    from tasks_app.sources.base import Request
    from tasks_app.sources.simulated.source import SimulatedSource

    source = SimulatedSource(Simulated(stocks=3))
    day = source.fetch_day("CN", FRIDAY, "")
    assert len(day) == 3
    for code, bar in day.items():
        assert [bar] == source.fetch(Request("CN", code, FRIDAY, FRIDAY))
    assert source.fetch_day("CN", FRIDAY + timedelta(days=1), "") == {}
