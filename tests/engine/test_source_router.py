"""A stock that fails on one source is tried on the next; the answer says who gave it."""

import time
from dataclasses import replace
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db.models.functions import Now
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.engine import slice
from tasks_app.lifecycle import Outcome, payloads, selectors
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, SourceGate
from tasks_app.models.states import ItemState
from tasks_app.sources.base import Transient
from tasks_app.workers import watchdog
from tests.factories import ACTOR, make_lane, make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import First, Second, Third
from tools.in_process import work

pytestmark = pytest.mark.django_db
CHAIN = (("CN", ("first", "second", "third")),)


@pytest.fixture
def script(settings, monkeypatch):
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)

    def give(**given):
        given = {"fallbacks": CHAIN, "slice_seconds": 5.0, **given}
        settings.COLLECTOR = scripted_sources.with_scripted_sources(settings.COLLECTOR, monkeypatch, **given)

    return give


def collect(code="000001", **fields):
    """Collect one code to its end; its item."""
    task = make_task(**{"source": "first", "stock_codes": (code,), **fields})
    for _ in range(12):
        work()
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        watchdog.tick()
    return task.items.get()


def once_then(first, then):
    """A script that does one thing the first time and another from then on."""
    asked = []

    def script(request):
        asked.append(request)
        return (first if len(asked) == 1 else then)(request)

    return script


def test_the_sources_that_follow_in_the_setting_are_the_task_s_fallbacks(script):
    script()
    assert make_task(source="second", stock_codes=("000001",)).fallbacks == ["third"]


def test_a_source_that_is_not_in_the_chain_has_no_fallbacks(script):
    script()
    assert make_task(source="simulated").fallbacks == []


def test_a_fallback_that_does_not_serve_the_adjustment_is_left_out(script):
    script()
    task = make_task(source="first", stock_codes=("000001",), adjust="qfq")
    assert task.fallbacks == ["second"]


def test_a_market_s_chain_names_its_usual_source(script):
    script(default_source="simulated")
    task = make_task(source="", market="CN", stock_codes=("000001",))
    assert (task.source, task.fallbacks) == ("first", ["second", "third"])


def test_an_order_may_name_its_own_fallbacks_or_none(script):
    script()
    task = make_task(source="first", stock_codes=("000001",), fallbacks=("third", "first", "third"))
    assert payloads.task_started(task)["fallbacks"] == ["third"]
    lifecycle.cancel(task.pk, ACTOR)
    assert make_task(source="first", stock_codes=("000001",), fallbacks=()).fallbacks == []


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"fallbacks": ("nowhere",)}, errors.UnknownSource),
        ({"fallbacks": ("third",), "adjust": "qfq"}, errors.AdjustNotServed),
        ({"fallbacks": ("second",), "source": "simulated", "market": "HK"}, errors.MarketNotServed),
    ],
)
def test_a_named_fallback_that_does_not_fit_is_refused(script, fields, error):
    script()
    with pytest.raises(error):
        make_task(**{"source": "first", "stock_codes": ("000001",), **fields})


@pytest.mark.parametrize("failure", [scripted_sources.unknown_stock, scripted_sources.columns_changed])
def test_a_stock_that_fails_for_good_is_tried_on_the_next_source_at_once(script, failure):
    script(first=failure, second=scripted_sources.closes_at(11.5))
    item = collect()
    assert (item.state, item.source, item.attempts) == ("succeeded", "second", 1)
    assert (First.calls, Second.calls, Third.calls) == (["000001"], ["000001"], [])
    bar = DailyBar.objects.get()
    assert (bar.source, bar.close) == ("second", 11.5)


def test_a_stock_is_tried_on_the_next_source_once_its_attempts_are_used_up(script):
    script(first=scripted_sources.throttled)
    item = collect()
    assert (item.state, item.source) == ("succeeded", "second")
    assert (len(First.calls), len(Second.calls)) == (3, 1)


def test_a_passing_fault_of_a_fallback_is_tried_there_again_and_the_first_is_left_alone(script):
    script(
        first=scripted_sources.unknown_stock,
        second=once_then(scripted_sources.throttled, scripted_sources.closes_at(11.5)),
    )
    item = collect()
    assert (item.state, item.source) == ("succeeded", "second")
    assert (len(First.calls), len(Second.calls)) == (1, 2)


def test_every_source_has_its_tries_and_the_error_names_all_of_them(script):
    script(
        first=scripted_sources.unknown_stock,
        second=scripted_sources.throttled,
        third=scripted_sources.columns_changed,
    )
    item = collect()
    assert (item.state, item.error_code) == ("failed", "unknown_stock")
    assert item.error_message == (
        "first: Unknown stock 000001.; second: Not now.; third: The columns have changed."
    )
    assert (len(First.calls), len(Second.calls), len(Third.calls)) == (1, 3, 1)


def test_an_empty_answer_by_contract_is_an_answer(script):
    script(first=lambda request: [])
    item = collect()
    assert (item.state, item.source, Second.calls) == ("succeeded", "first", [])


def test_an_empty_answer_that_means_throttling_is_none(script):
    def empty(request):
        raise Transient("Nothing, though it traded.", code="empty_answer")

    script(first=empty)
    assert collect().source == "second"


def test_a_source_that_is_shut_for_long_is_passed_by(script):
    script(rates=(("first", 1000.0),), fallback_after=60.0)
    pause = Now() + timedelta(hours=1)
    SourceGate.objects.create(source="first", open_until=pause, refusals=5, reason="Banned.")
    item = collect()
    assert (item.state, item.source, First.calls) == ("succeeded", "second", [])


def test_the_error_names_a_source_that_was_passed_by_and_why(script):
    failing = {"second": scripted_sources.columns_changed, "third": scripted_sources.columns_changed}
    script(rates=(("first", 1000.0),), fallback_after=60.0, **failing)
    pause = Now() + timedelta(hours=1)
    SourceGate.objects.create(source="first", open_until=pause, refusals=5, reason="Banned.")
    assert collect().error_message.startswith("first: Banned.; second: The columns")


def test_a_source_that_is_shut_for_a_moment_is_waited_for(script):
    script(rates=(("first", 1000.0),), fallback_after=60.0, heartbeat=0.05)
    moment = Now() + timedelta(seconds=0.5)
    SourceGate.objects.create(source="first", open_until=moment, refusals=5, reason="Busy.")
    began = time.monotonic()
    assert collect().source == "first"
    assert time.monotonic() - began > 0.4


def test_a_stock_passed_on_by_a_slice_at_its_end_is_not_asked_of_the_first_source_again(script, settings):
    def slow(request):
        time.sleep(0.3)
        return scripted_sources.unknown_stock(request)

    script(first=slow, slice_seconds=0.2, fan_out=1)
    task = make_task(source="first", stock_codes=("000001",))
    job = OrmQ.objects.get()
    job.delete()
    slice.run(*job.task["args"])
    assert (task.items.get().state, len(First.calls)) == ("pending", 1)
    settings.COLLECTOR = replace(settings.COLLECTOR, slice_seconds=5.0)
    lifecycle.rescue(task.pk)
    work()
    assert (task.items.get().source, len(First.calls)) == ("second", 1)


def test_the_task_says_how_many_stocks_and_bars_came_from_which(script):
    def some(request):
        return (
            [scripted_sources.make_bar()]
            if request.code < "000003"
            else scripted_sources.unknown_stock(request)
        )

    script(first=some)
    task = make_task(source="first", stock_codes=("000001", "000002", "000003"))
    work()
    told = payloads.task_statuses([selectors.get_task(task.pk)])[0]
    assert told["sources"] == {"first": {"stocks": 2, "bars": 2}, "second": {"stocks": 1, "bars": 1}}
    assert (told["fallbacks"], told["source_paused_until"]) == (["second", "third"], None)


@pytest.mark.parametrize("end", ["finished", "cancelled"])
def test_an_ended_task_carries_what_came_from_which_and_reads_no_item_for_it(
    script, django_assert_num_queries, end
):
    script()
    task = make_task(source="first", stock_codes=("000001", "000002"))
    lane = make_lane(task)
    for number, claim in enumerate(lifecycle.claim(lane, 1 if end == "cancelled" else 2)):
        lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=3, source=["first", "second"][number]))
    if end == "cancelled":
        lifecycle.cancel(task.pk, ACTOR)
    ended = selectors.get_task(task.pk)
    with django_assert_num_queries(0):
        (told,) = payloads.task_statuses([ended])
    first, second = {"first": {"stocks": 1, "bars": 3}}, {"second": {"stocks": 1, "bars": 3}}
    assert told["sources"] == (first if end == "cancelled" else first | second)


def test_tasks_that_ended_before_they_carried_it_are_given_it_by_the_migration(script):
    script()
    task = make_task(source="first", stock_codes=("000001",))
    work()
    CollectionTask.objects.update(shares=None)
    fill = import_module("tasks_app.migrations.0006_what_came_from_which_source").fill
    fill(apps, None)
    assert CollectionTask.objects.get(pk=task.pk).shares == {"first": {"stocks": 1, "bars": 1}}


def test_a_task_without_fallbacks_costs_no_query_for_them(script, django_assert_num_queries):
    script(fallbacks=())
    task = make_task(source="simulated", stock_codes=("000001",))
    with django_assert_num_queries(0):
        (told,) = payloads.task_statuses([task])
    assert (told["fallbacks"], told["sources"]) == ([], {})


def test_a_retry_keeps_the_fallbacks_of_the_order(script):
    script(
        first=scripted_sources.columns_changed,
        second=scripted_sources.columns_changed,
        third=scripted_sources.columns_changed,
    )
    old = make_task(source="first", stock_codes=("000001",), fallbacks=("third",))
    work()
    assert lifecycle.retry(old.pk, ACTOR).fallbacks == ["third"]


def test_a_stock_on_a_fallback_whose_worker_is_lost_is_tried_again(script):
    script()
    task = make_task(source="first", stock_codes=("000001",))
    task.items.update(attempts=3)
    lane = task.lanes.get(number=0)
    held = lifecycle.begin(task.pk, 0, lane.generation, "test")
    lifecycle.claim(held, 1)
    past = Now() - timedelta(seconds=1)
    task.items.update(lease_until=past)
    task.lanes.update(lease_until=past)
    lifecycle.rescue(task.pk)
    assert task.items.get().state == "pending"
