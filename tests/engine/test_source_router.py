"""A stock that fails at one source is tried at the next one, and the bars name their source."""

from dataclasses import replace
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.engine.source_router import RECHECK_SECONDS
from tasks_app.lifecycle import Outcome, payloads, selectors
from tasks_app.models import CollectionTask, DailyBar, SourceGate
from tasks_app.models.states import ItemState
from tasks_app.sources.base import Transient
from tests.engine.helpers import make_first_task, run_all_attempts, run_one_slice
from tests.factories import ACTOR, make_lane, make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import First, Second, Third
from tools.in_process import work

pytestmark = pytest.mark.django_db
CHAIN = (("CN", ("first", "second", "third")),)
CODE = "000001"


@pytest.fixture
def configure_chain(configure):
    """Returns `configure` with the sources first, second and third as a fallback chain."""
    return lambda **values: configure(**{"fallbacks": CHAIN, **values})


def collect(code=CODE, **fields):
    """Collects one stock until it has ended. Returns its item."""
    task = make_first_task(**{"stock_codes": (code,), **fields})
    run_all_attempts(task, rounds=12)
    return task.items.get()


def first_then(first, then):
    """Returns a script that does one thing for the first request and another for all later ones."""
    requests = []

    def script(request):
        requests.append(request)
        return (first if len(requests) == 1 else then)(request)

    return script


def pause_first(seconds, reason):
    SourceGate.objects.create(
        source="first", open_until=Now() + timedelta(seconds=seconds), refusals=5, reason=reason
    )


def test_later_sources_of_the_chain_are_fallbacks(configure_chain):
    configure_chain()
    assert make_task(source="second", stock_codes=(CODE,)).fallbacks == ["third"]


def test_source_outside_the_chain_has_no_fallbacks(configure_chain):
    configure_chain()
    assert make_task(source="simulated").fallbacks == []


def test_fallback_without_the_adjustment_is_left_out(configure_chain):
    configure_chain()
    assert make_first_task(stock_codes=(CODE,), adjust="qfq").fallbacks == ["second"]


def test_chain_names_the_default_source_of_its_market(configure_chain):
    configure_chain(default_source="simulated")
    task = make_task(source="", market="CN", stock_codes=(CODE,))
    assert task.source == "first"
    assert task.fallbacks == ["second", "third"]


def test_order_may_name_its_fallbacks(configure_chain):
    configure_chain()
    task = make_first_task(stock_codes=(CODE,), fallbacks=("third", "first", "third"))
    assert payloads.task_started(task)["fallbacks"] == ["third"]


def test_order_may_exclude_fallbacks(configure_chain):
    configure_chain()
    assert make_first_task(stock_codes=(CODE,), fallbacks=()).fallbacks == []


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"fallbacks": ("nowhere",)}, errors.UnknownSource),
        ({"fallbacks": ("third",), "adjust": "qfq"}, errors.AdjustNotServed),
        ({"fallbacks": ("second",), "source": "simulated", "market": "HK"}, errors.MarketNotServed),
    ],
)
def test_unsuitable_fallback_is_an_error(configure_chain, fields, error):
    configure_chain()
    with pytest.raises(error):
        make_first_task(**{"stock_codes": (CODE,), **fields})


@pytest.mark.parametrize("failure", [scripted_sources.unknown_stock, scripted_sources.columns_changed])
def test_permanent_failure_falls_back_at_once(configure_chain, failure):
    configure_chain(first=failure, second=scripted_sources.closes_at(11.5))
    item = collect()
    assert item.state == "succeeded"
    assert item.source == "second"
    assert item.attempts == 1
    assert First.calls == [CODE]
    assert Second.calls == [CODE]
    assert Third.calls == []
    bar = DailyBar.objects.get()
    assert bar.source == "second"
    assert bar.close == 11.5


def test_used_up_attempts_fall_back(configure_chain):
    configure_chain(first=scripted_sources.throttled)
    item = collect()
    assert item.state == "succeeded"
    assert item.source == "second"
    assert len(First.calls) == 3
    assert len(Second.calls) == 1


def test_fallback_retries_at_the_same_source(configure_chain):
    second = first_then(scripted_sources.throttled, scripted_sources.closes_at(11.5))
    configure_chain(first=scripted_sources.unknown_stock, second=second)
    item = collect()
    assert item.state == "succeeded"
    assert item.source == "second"
    assert len(First.calls) == 1
    assert len(Second.calls) == 2


def test_error_names_all_sources_that_were_tried(configure_chain):
    configure_chain(
        first=scripted_sources.unknown_stock,
        second=scripted_sources.throttled,
        third=scripted_sources.columns_changed,
    )
    item = collect()
    assert item.state == "failed"
    assert item.error_code == "unknown_stock"
    assert item.error_message == (
        "first: Unknown stock 000001.; second: Not now.; third: The columns have changed."
    )
    assert len(First.calls) == 1
    assert len(Second.calls) == 3
    assert len(Third.calls) == 1


def test_empty_response_is_no_failure(configure_chain):
    configure_chain(first=lambda request: [])
    item = collect()
    assert item.state == "succeeded"
    assert item.source == "first"
    assert Second.calls == []


def test_empty_response_by_throttling_falls_back(configure_chain):
    def raise_empty(request):
        raise Transient("Nothing, though it traded.", code="empty_answer")

    configure_chain(first=raise_empty)
    assert collect().source == "second"


def test_source_blocked_for_long_is_skipped(configure_chain):
    configure_chain(rates=(("first", 1000.0),), fallback_after=60.0)
    pause_first(3600, "Banned.")
    item = collect()
    assert item.state == "succeeded"
    assert item.source == "second"
    assert First.calls == []


def test_error_names_skipped_source_and_reason(configure_chain):
    failing = {"second": scripted_sources.columns_changed, "third": scripted_sources.columns_changed}
    configure_chain(rates=(("first", 1000.0),), fallback_after=60.0, **failing)
    pause_first(3600, "Banned.")
    assert collect().error_message.startswith("first: Banned.; second: The columns")


def test_briefly_blocked_source_is_waited_for(configure_chain, clock):
    configure_chain(rates=(("first", 1000.0),), fallback_after=60.0)
    pause_first(6.0, "Busy.")
    assert collect().source == "first"
    assert 6.0 <= clock.elapsed < 6.0 + 2 * RECHECK_SECONDS


def test_fallback_outlives_the_end_of_its_slice(configure_chain, settings, clock):
    def slow(request):
        clock.sleep(0.3)
        return scripted_sources.unknown_stock(request)

    configure_chain(first=slow, slice_seconds=0.2)
    task = make_first_task(stock_codes=(CODE,))
    assert OrmQ.objects.count() == 1
    run_one_slice()
    assert task.items.get().state == "pending"
    assert len(First.calls) == 1
    settings.COLLECTOR = replace(settings.COLLECTOR, slice_seconds=5.0)
    lifecycle.rescue(task.pk)
    work()
    assert task.items.get().source == "second"
    assert len(First.calls) == 1


def test_status_counts_stocks_and_bars_per_source(configure_chain):
    def some(request):
        known = request.code < "000003"
        return [scripted_sources.make_bar()] if known else scripted_sources.unknown_stock(request)

    configure_chain(first=some)
    task = make_first_task()
    work()
    status = payloads.task_statuses([selectors.get_task(task.pk)])[0]
    assert status["sources"] == {"first": {"stocks": 2, "bars": 2}, "second": {"stocks": 1, "bars": 1}}
    assert status["fallbacks"] == ["second", "third"]
    assert status["source_paused_until"] is None


@pytest.mark.parametrize("end", ["finished", "cancelled"])
def test_ended_task_reads_no_items_for_its_shares(configure_chain, django_assert_num_queries, end):
    configure_chain()
    task = make_first_task(stock_codes=("000001", "000002"))
    lane = make_lane(task)
    for number, claim in enumerate(lifecycle.claim(lane, 1 if end == "cancelled" else 2)):
        lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=3, source=["first", "second"][number]))
    if end == "cancelled":
        lifecycle.cancel(task.pk, ACTOR)
    ended = selectors.get_task(task.pk)
    with django_assert_num_queries(0):
        (status,) = payloads.task_statuses([ended])
    first, second = {"first": {"stocks": 1, "bars": 3}}, {"second": {"stocks": 1, "bars": 3}}
    assert status["sources"] == (first if end == "cancelled" else first | second)


def test_migration_fills_the_shares_of_older_tasks(configure_chain):
    configure_chain()
    task = make_first_task(stock_codes=(CODE,))
    work()
    CollectionTask.objects.update(shares=None)
    fill = import_module("tasks_app.migrations.0006_what_came_from_which_source").fill
    fill(apps, None)
    assert CollectionTask.objects.get(pk=task.pk).shares == {"first": {"stocks": 1, "bars": 1}}


def test_task_without_fallbacks_costs_no_query(configure_chain, django_assert_num_queries):
    configure_chain(fallbacks=())
    task = make_task(source="simulated", stock_codes=(CODE,))
    with django_assert_num_queries(0):
        (status,) = payloads.task_statuses([task])
    assert status["fallbacks"] == []
    assert status["sources"] == {}


def test_retry_keeps_the_fallbacks_of_the_order(configure_chain):
    failing = dict.fromkeys(("first", "second", "third"), scripted_sources.columns_changed)
    configure_chain(**failing)
    old = make_first_task(stock_codes=(CODE,), fallbacks=("third",))
    work()
    assert lifecycle.retry(old.pk, ACTOR).fallbacks == ["third"]


def test_stock_at_a_fallback_outlives_its_worker(configure_chain):
    configure_chain()
    task = make_first_task(stock_codes=(CODE,))
    task.items.update(attempts=3)
    lane = task.lanes.get(number=0)
    lifecycle.claim(lifecycle.begin(task.pk, 0, lane.generation, "test"), 1)
    past = Now() - timedelta(seconds=1)
    task.items.update(lease_until=past)
    task.lanes.update(lease_until=past)
    lifecycle.rescue(task.pk)
    assert task.items.get().state == "pending"
