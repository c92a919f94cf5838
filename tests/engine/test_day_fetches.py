"""Few missing days of many stocks are requested as whole days, if the source offers them."""

from datetime import date, timedelta
from math import inf

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.conf import Simulated
from tasks_app.engine import call_pool, day_fetches
from tasks_app.market import calendars
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, TaskEvent
from tasks_app.sources.base import Request, Transient
from tasks_app.sources.simulated.source import SimulatedSource
from tests.engine.helpers import run_all_attempts, run_one_slice, store
from tests.factories import make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import STOCKS, ByDay
from tools.in_process import work

pytestmark = pytest.mark.django_db
FRIDAY, MONDAY = date(2024, 3, 1), date(2024, 3, 4)


@pytest.fixture
def configure_days(configure, monkeypatch):
    """Returns `configure` with the script of whole days as its first argument."""
    day_fetches._caches.clear()

    def set_days(days, **values):
        monkeypatch.setattr(ByDay, "days", staticmethod(days))
        configure(**{"by_day_from": STOCKS, **values})

    return set_days


def make_increment(**fields):
    """Starts a task for the whole market: all its stocks and two sessions."""
    dates = {"start_date": FRIDAY, "end_date": MONDAY}
    return make_task(**{"source": "by_day", "stock_codes": None, **dates, **fields})


def collect(**fields):
    """Runs such a task to its end and returns it."""
    task = make_increment(**fields)
    run_all_attempts(task, rounds=10)
    return task


def requests():
    """Returns the days and stocks that were requested."""
    return [call for call in ByDay.calls if call != "list"]


def requested_days():
    return [call for call in requests() if "-" in call]


def test_two_days_of_a_market_cost_two_requests(configure_days):
    configure_days(scripted_sources.whole_market, daily_caps=(("by_day", 3),))  # the limiter counts them
    task = collect()
    assert len(ByDay.calls) == 3, "the stock list, too"
    assert sorted(requests()) == ["2024-03-01", "2024-03-04"]
    assert task.status == "completed"
    assert task.success_count == STOCKS
    assert task.collected_count == 2 * STOCKS
    assert DailyBar.objects.filter(source="by_day").count() == 2 * STOCKS
    assert set(task.items.values_list("source", "attempts", "rows_collected")) == {("by_day", 1, 2)}


def test_day_in_the_sources_own_spelling_answers_its_stocks(configure_days):
    def days(day):
        return {f"{code}.SZ": bar for code, bar in scripted_sources.whole_market(day).items()}

    configure_days(days)
    assert collect().collected_count == 2 * STOCKS
    assert len(requested_days()) == len(requests()) == 2


def test_stock_absent_from_a_day_is_not_requested_again(configure_days):
    def days(day):
        market = scripted_sources.whole_market(day)
        if day == FRIDAY:
            del market["000003"]
        return market

    configure_days(days)
    collect()
    assert DailyBar.objects.get(symbol="000003").day == MONDAY
    ByDay.calls.clear()
    again = collect()
    assert requests() == []
    assert again.status == "completed"


@pytest.mark.parametrize(
    "fields",
    [
        {"start_date": FRIDAY - timedelta(days=30)},
        {"stock_codes": ("000001", "000002")},
    ],
)
def test_many_days_or_few_stocks_use_single_requests(configure_days, fields):
    configure_days(scripted_sources.whole_market)
    task = collect(**fields)
    assert set(requests()) == set(task.items.values_list("code", flat=True))


def test_adjustment_without_days_uses_single_requests(configure_days, monkeypatch):
    monkeypatch.setattr(ByDay, "day_adjusts", ("",), raising=False)
    configure_days(scripted_sources.whole_market)
    collect(adjust="qfq")
    assert len(requests()) == STOCKS
    assert "2024-03-01" not in requests()


class WorkerDied(BaseException):
    """Ends the slice at once, as the death of its process does."""


@pytest.fixture
def lose_worker(monkeypatch):
    """Returns a function: it loses a worker while a request to this method of the source is in flight."""

    def lose(task, method):
        CollectionItem.objects.filter(state="pending").update(not_before=None, losses=0)
        day_fetches._caches.clear()  # as in a new process
        job = OrmQ.objects.get()

        def die(pool, wait):
            raise WorkerDied

        with monkeypatch.context() as patch:
            patch.setattr(call_pool.CallPool, "next", die)
            patch.setattr(ByDay, method, lambda *args: {})
            with pytest.raises(WorkerDied):
                run_one_slice()
        lifecycle.rescue_lane(lifecycle.Lane(task.pk, *job.task["args"][1:]), -9)

    return lose


def test_days_are_given_up_after_three_lost_workers(configure_days, lose_worker):
    configure_days(scripted_sources.whole_market)
    task = make_increment(stock_codes=tuple(scripted_sources.whole_market(MONDAY)))
    for _ in range(3):
        lose_worker(task, "fetch_day")
    CollectionItem.objects.update(losses=0)
    day_fetches._caches.clear()
    work()
    task.refresh_from_db()
    assert (task.success_count, requested_days()) == (STOCKS, [])
    warning = task.events.get(kind="warned").params
    assert (warning["code"], warning["reason"]) == (
        "by_day_failed",
        "Workers lost while they requested one: 3.",
    )


def test_workers_lost_with_single_stocks_give_up_no_days(configure_days, lose_worker):
    configure_days(scripted_sources.whole_market)
    task = make_increment(stock_codes=tuple(scripted_sources.whole_market(MONDAY)))
    CollectionTask.objects.update(start_date=FRIDAY - timedelta(days=60))  # too many days for whole ones
    for _ in range(3):
        lose_worker(task, "fetch")
    CollectionTask.objects.update(start_date=FRIDAY)
    work()
    assert task.events.filter(kind="rescued").count() == 3
    assert len(requested_days()) == 2
    assert not task.events.filter(kind="warned").exists()


def test_lane_notes_a_day_only_while_it_is_in_flight(configure_days, monkeypatch):
    configure_days(scripted_sources.whole_market)
    task = make_increment(stock_codes=tuple(scripted_sources.whole_market(MONDAY)))
    original, seen = call_pool.CallPool.next, []

    def look_and_wait(pool, wait):
        keys = pool.in_flight()
        seen.append((any(key.day for key in keys), task.lanes.get().fetches_day))
        return original(pool, wait)

    monkeypatch.setattr(call_pool.CallPool, "next", look_and_wait)
    task.items.filter(code="000001").update(losses=1)  # requested by itself, before the days
    run_one_slice()
    assert set(seen) == {(False, False), (True, True)}


def test_day_not_offered_is_not_requested(configure_days, monkeypatch):
    monkeypatch.setattr(ByDay, "offers_day", lambda self, market, day: day == MONDAY, raising=False)
    configure_days(scripted_sources.whole_market)
    collect()
    assert "2024-03-01" not in requests()
    assert len(requests()) == STOCKS


def test_suspect_is_requested_by_itself_before_the_source_is_asked_for_a_day(configure_days, monkeypatch):
    def offers_day(self, market, day):
        ByDay.calls.append("offers")
        return True

    monkeypatch.setattr(ByDay, "offers_day", offers_day, raising=False)
    configure_days(scripted_sources.whole_market)
    task = make_increment(stock_codes=tuple(scripted_sources.whole_market(MONDAY)))
    task.items.filter(code="000001").update(losses=1)
    work()
    assert ByDay.calls[:2] == ["000001", "offers"]
    assert sorted(set(requests()) - {"offers"}) == ["000001", "2024-03-01", "2024-03-04"]


def test_hung_day_request_replaces_the_worker(configure_days, monkeypatch, clock):
    monkeypatch.setattr(ByDay, "offers_day", lambda *args: clock.sleep(inf), raising=False)
    configure_days(scripted_sources.whole_market)
    task = make_increment(stock_codes=tuple(scripted_sources.whole_market(MONDAY)))
    while_asked = Now() + timedelta(seconds=day_fetches.OFFER_SECONDS / 2)
    task.items.exclude(code="000001").update(losses=1, not_before=while_asked)
    run_one_slice()
    assert requests() == ["000001"]
    assert task.items.filter(state="pending", losses=1).count() == STOCKS - 1
    assert QConf.MAX_RSS == 1, "the process is replaced, and the next one takes the suspects"
    assert task.events.filter(kind="warned", params__code="by_day_failed").exists()


def test_failed_day_is_retried_and_costs_no_attempt(configure_days):
    failed = []

    def days(day):
        if not failed:
            failed.append(day)
            raise Transient("Not now.")
        return scripted_sources.whole_market(day)

    configure_days(days)
    task = collect()
    assert len(requests()) == 3
    assert task.success_count == STOCKS
    assert task.failed_count == 0
    assert set(task.items.values_list("attempts", flat=True)) == {1}


def raise_transient(day):
    raise Transient("Not now.")


def raise_unexpected(day):
    raise ZeroDivisionError("a vendor's bug")


@pytest.mark.parametrize(
    ("days", "attempts"),
    [
        (raise_transient, 3),
        (raise_unexpected, 1),
        pytest.param(lambda day: {}, 3, marks=pytest.mark.soak),
        pytest.param(lambda day: ["<html>"], 1, marks=pytest.mark.soak),
        pytest.param(lambda day: None, 1, marks=pytest.mark.soak),
    ],
)
def test_failed_days_warn_and_use_single_requests(configure_days, days, attempts):
    configure_days(days)
    task = collect()
    assert task.status == "completed"
    assert task.success_count == STOCKS
    assert len(requested_days()) == attempts
    assert len(set(requests())) >= STOCKS
    warning = TaskEvent.objects.get(task=task, kind="warned", params__code="by_day_failed")
    assert warning.params["source"] == "by_day"
    assert warning.params["reason"]


ONLY_MONDAY = {"start_date": MONDAY, "end_date": MONDAY}


def fetch_single_stock(request):
    """Returns what a request for a single stock returns: its bars of the requested days."""
    return [
        scripted_sources.make_bar(day=day) for day in (FRIDAY, MONDAY) if request.start <= day <= request.end
    ]


def truncate(size):
    """Returns a script that returns only the first stocks of each day."""
    return lambda day: dict(list(scripted_sources.whole_market(day).items())[:size])


def store_friday(size=STOCKS):
    """Stores the bars of Friday of so many stocks, so that Monday is expected to have them."""
    store("by_day", {code: [bar] for code, bar in truncate(size)(FRIDAY).items()})


def test_truncated_days_warn_and_use_single_requests(configure_days):
    store_friday()
    configure_days(truncate(1), by_day=fetch_single_stock)
    task = collect(**ONLY_MONDAY)
    assert task.status == "completed"
    assert task.collected_count == STOCKS
    assert requests().count(MONDAY.isoformat()) == 3
    assert len(requests()) == STOCKS + 3
    warning = TaskEvent.objects.get(task=task, kind="warned", params__code="by_day_failed")
    assert f"1 of {STOCKS} stocks" in warning.params["reason"]


def test_truncated_day_is_retried(configure_days):
    store_friday()
    sizes = [STOCKS, 3]

    def days(day):
        return truncate(sizes.pop())(day)

    configure_days(days)
    task = collect(**ONLY_MONDAY)
    assert requests() == [MONDAY.isoformat()] * 2
    assert task.success_count == STOCKS
    assert task.collected_count == STOCKS
    assert not task.events.filter(kind="warned").exists()


def test_second_day_is_checked_like_the_first(configure_days):
    store_friday()
    configure_days(lambda day: truncate(STOCKS if day == MONDAY else 1)(day), by_day=fetch_single_stock)
    task = collect(start_date=MONDAY, end_date=MONDAY + timedelta(days=1))
    assert task.events.filter(kind="warned").count() == 1
    assert DailyBar.objects.filter(day=MONDAY).count() == STOCKS


def test_only_recently_traded_stocks_are_expected(configure_days):
    store_friday(size=5)
    configure_days(truncate(4))
    task = collect(**ONLY_MONDAY)
    assert requests() == [MONDAY.isoformat()]
    assert task.success_count == STOCKS
    assert task.collected_count == 4


def test_check_of_a_day_costs_one_query(configure_days):
    store_friday()
    configure_days(scripted_sources.whole_market)
    with CaptureQueriesContext(connection) as caught:
        collect(**ONLY_MONDAY)
    assert sum('"tasks_app_series"."first_day" <=' in query["sql"] for query in caught.captured_queries) == 1


def test_refused_recent_bar_is_requested_again(configure_days, monkeypatch):
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: MONDAY)

    def days(day):
        market = scripted_sources.whole_market(day)
        if day == MONDAY:
            market["000003"] = market["000003"]._replace(high=1.0)
        return market

    configure_days(days)
    assert collect().items.get(code="000003").rows_refused == 1
    day_fetches._caches.clear()
    ByDay.calls.clear()
    configure_days(scripted_sources.whole_market)
    task = collect()
    assert requests() == [FRIDAY.isoformat(), MONDAY.isoformat()], "Friday is compared once more"
    assert task.collected_count == 1


def test_hung_day_is_given_up_for_all_processes(configure_days, clock):
    configure_days(lambda day: clock.sleep(inf))
    task = make_increment()
    work()
    day_fetches._caches.clear()  # as in a new process
    run_all_attempts(task, rounds=10)
    assert task.status == "completed"
    assert task.success_count == STOCKS
    assert len(requested_days()) == 1
    assert QConf.MAX_RSS == 1, "the worker process must be replaced, or its thread continues the request"


def test_cache_holds_at_most_days_at_once(configure_days):
    configure_days(scripted_sources.whole_market, days_at_once=2)
    collect()
    collect(start_date=MONDAY, end_date=MONDAY + timedelta(days=1), force_update=True)
    assert len(day_fetches._caches) == 1
    assert all(len(cache.days) <= 2 for cache in day_fetches._caches.values())


def test_simulated_days_equal_its_single_stocks(settings):
    source = SimulatedSource(Simulated(stocks=3))
    day = source.fetch_day("SIM", FRIDAY, "")
    assert len(day) == 3
    for code, bar in day.items():
        assert [bar] == source.fetch(Request("SIM", code, FRIDAY, FRIDAY))
    assert source.fetch_day("SIM", FRIDAY + timedelta(days=1), "") == {}


def test_etf_is_requested_by_itself_beside_the_days_of_the_stocks(configure_days):
    configure_days(scripted_sources.whole_market)
    codes = [f"{n:06d}" for n in range(1, STOCKS + 1)]
    collect(stock_codes=(*codes, "510300"))
    assert sorted(requests()) == ["2024-03-01", "2024-03-04", "510300"]
