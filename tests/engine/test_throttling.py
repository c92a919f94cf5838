"""Slices at a source's gate: they wait, pause, go on by themselves, and stop at once when told to."""

import threading
import time
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.engine import slice
from tasks_app.lifecycle import payloads, selectors
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, SourceGate, TaskEvent
from tasks_app.sources.base import Symbol, Transient
from tasks_app.workers import shutdown
from tests.factories import ACTOR, make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import First
from tools.in_process import work

pytestmark = pytest.mark.django_db
CODES = ("000001", "000002", "000003")


@pytest.fixture
def script(settings, monkeypatch):
    """A function that gives the sources their scripts and the settings their values."""
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)

    def give(**given):
        conf = scripted_sources.with_scripted_sources(
            settings.COLLECTOR, monkeypatch, **{"slice_seconds": 0.3, "heartbeat": 0.05, **given}
        )
        settings.COLLECTOR = conf

    return give


def one_slice():
    """Run the first slice in the queue; how long it took."""
    job = OrmQ.objects.order_by("pk").first()
    job.delete()
    began = time.monotonic()
    slice.run(*job.task["args"])
    return time.monotonic() - began


def make_first(**fields):
    return make_task(**{"source": "first", "stock_codes": CODES, **fields})


def states(task):
    return sorted(set(task.items.values_list("state", "attempts")))


def open_again():
    SourceGate.objects.update(open_until=Now() - timedelta(seconds=1))


def test_a_rate_is_kept_by_a_slice(script):
    script(rates=(("first", 20.0),), slice_seconds=5.0)
    task = make_first(stock_codes=tuple(f"{n:06d}" for n in range(1, 13)))
    began = time.monotonic()
    work()
    assert time.monotonic() - began > 11 / 20
    task.refresh_from_db()
    assert (task.status, task.success_count) == ("completed", 12)
    # Who woke too late did not ask, and stood in line again.
    assert SourceGate.objects.get().requests_today >= 12


def test_no_throttle_keeps_no_rate(script):
    script(rates=(("first", 0.01),), no_throttle=True)
    make_first()
    began = time.monotonic()
    work()
    assert time.monotonic() - began < 100
    assert not SourceGate.objects.exists()


def test_a_day_that_is_used_up_pauses_the_task_and_burns_no_attempt(script):
    script(daily_caps=(("first", 1),))
    task = make_first()
    one_slice()
    assert len(First.calls) == 1
    assert task.items.filter(state="succeeded").count() == 1
    assert task.items.filter(state="pending", attempts=0).count() == 2
    told = payloads.task_statuses([selectors.get_task(task.pk)])[0]
    assert told["source_paused_until"] is not None
    assert "used up" in told["source_message"]
    assert not told["unattended"]
    SourceGate.objects.update(day="2020-01-01")
    work_until_ended(task)
    assert len(First.calls) >= 2


def work_until_ended(task):
    """Slices one after another; caps and pauses that stand in the way are lifted."""
    for _ in range(20):
        if not OrmQ.objects.exists():
            break
        SourceGate.objects.update(requests_today=0)
        open_again_if_paused()
        one_slice()
    task.refresh_from_db()
    assert task.status == "completed"


def open_again_if_paused():
    SourceGate.objects.filter(open_until__isnull=False).update(open_until=Now() - timedelta(seconds=1))


def test_refusals_open_the_breaker_which_claims_nothing_and_goes_on_by_itself(script, monkeypatch):
    script(rates=(("first", 1000.0),), first=scripted_sources.throttled, breaker_after=2, max_attempts=3)
    task = make_first()
    one_slice()
    asked = len(First.calls)
    assert asked == 2
    assert SourceGate.objects.get().refusals == 2
    assert sum(task.items.values_list("attempts", flat=True)) == 1, "the one that opened it burns nothing"
    beats_before = CollectionTask.objects.get().heartbeat_at
    one_slice()
    assert len(First.calls) == asked, "nothing is asked while it is paused"
    assert set(task.items.values_list("state", flat=True)) == {"pending"}
    assert CollectionTask.objects.get().heartbeat_at > beats_before, "its worker gives signs of life"
    open_again()
    one_slice()
    assert len(First.calls) == asked + 1, "one request probes"
    assert SourceGate.objects.get().refusals == 3
    monkeypatch.setattr(First, "script", staticmethod(scripted_sources.closes_at(11.0)))
    CollectionItem.objects.update(not_before=None)
    open_again()
    lifecycle.rescue(task.pk)
    work()
    task.refresh_from_db()
    assert (task.status, task.success_count) == ("completed", 3)
    assert SourceGate.objects.get().refusals == 0


def test_a_ban_pauses_at_once_and_costs_the_stock_nothing(script):
    script(rates=(("first", 1000.0),), first=scripted_sources.banned)
    task = make_first()
    one_slice()
    assert len(First.calls) == 1
    assert states(task) == [("pending", 0)]
    told = payloads.task_statuses([selectors.get_task(task.pk)])[0]
    assert told["source_message"] == "Come back in an hour."


def test_a_slice_that_finds_the_gate_shut_ends_in_time_and_leaves_a_successor(script):
    script(daily_caps=(("first", 1),), fan_out=1)
    make_first()
    one_slice()
    assert 0.1 < one_slice() < 2
    assert OrmQ.objects.count() == 1


def test_a_task_whose_source_stays_shut_fails_within_the_bound(script):
    script(rates=(("first", 1000.0),), first=scripted_sources.banned, source_give_up=3600.0)
    task = make_first()
    one_slice()
    one_slice()
    task.refresh_from_db()
    assert task.status == "running"
    hours_ago = Now() - timedelta(hours=2)
    CollectionTask.objects.update(start_time=hours_ago, planned_at=hours_ago)
    lifecycle.rescue(task.pk)
    while OrmQ.objects.exists():
        one_slice()
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "source_paused")
    assert "first" in task.error_message
    assert "Come back in an hour." in task.error_message


def test_the_bound_counts_from_the_last_stock_that_ended(script):
    script(daily_caps=(("first", 1),), source_give_up=3600.0)
    task = make_first()
    one_slice()
    hours_ago = Now() - timedelta(hours=2)
    CollectionTask.objects.update(start_time=hours_ago, planned_at=hours_ago)
    lifecycle.rescue(task.pk)
    one_slice()
    task.refresh_from_db()
    assert (task.status, task.success_count) == ("running", 1)


def test_a_whole_market_waits_for_its_stock_list_at_the_gate_too(script):
    script(daily_caps=(("first", 1),))
    SourceGate.objects.create(source="first", open_until=Now() + timedelta(hours=1), reason="Banned.")
    task = make_first(stock_codes=None)
    for _ in range(12):  # more slices than workers may be lost while they plan
        one_slice()
        lifecycle.rescue(task.pk)
    assert First.calls == []
    task.refresh_from_db()
    assert (task.status, task.planned_at) == ("running", None)
    SourceGate.objects.update(open_until=None)
    one_slice()
    task.refresh_from_db()
    assert First.calls == ["list"]
    assert task.total_stocks == 60


def refused_list(script, monkeypatch):
    """A function that runs a task for a market whose stock list is refused with a ban; its gate then."""
    script(rates=(("first", 1000.0),), list_max_age=0.0)

    def ban(self, market):
        First.calls.append("list")
        raise Transient("Banned.", code="blacklisted", retry_after=36_000)

    def run():
        monkeypatch.setattr(First, "symbols", ban)
        First.calls.clear()
        task = make_first(stock_codes=None, force_update=True)
        one_slice()
        task.refresh_from_db()
        return task, SourceGate.objects.get()

    return run


def test_a_refused_stock_list_counts_as_a_refusal(script, monkeypatch):
    task, door = refused_list(script, monkeypatch)()
    assert (task.status, task.error_code) == ("failed", "blacklisted")
    assert (door.open_until is not None, door.reason) == (True, "Banned.")


def test_a_refused_probe_for_the_list_keeps_the_breaker_open_though_the_stored_list_will_do(
    script, monkeypatch
):
    run = refused_list(script, monkeypatch)
    make_first(stock_codes=None)
    work()
    SourceGate.objects.update(open_until=Now() - timedelta(seconds=1), refusals=9, reason="Banned.")
    task, door = run()
    assert (task.status, task.total_stocks) == ("running", 60)
    assert First.calls == ["list"], "no stock is asked for while it is paused"
    assert (door.refusals, door.open_until > timezone.now()) == (10, True)


def reading_the_list(monkeypatch, meanwhile):
    """The list hangs, and then something happens at the lane's beat; what ends the hang."""
    asked, end = threading.Event(), threading.Event()

    def hang(self, market):
        First.calls.append("list")
        asked.set()
        end.wait(20)
        return [Symbol("000001")]

    beat = lifecycle.beat

    def beaten(lane):
        if asked.is_set():
            meanwhile()
        beat(lane)

    monkeypatch.setattr(First, "symbols", hang)
    monkeypatch.setattr(lifecycle, "beat", beaten)
    return end


def test_a_drain_does_not_wait_for_the_stock_list(script, monkeypatch):
    script()
    end = reading_the_list(monkeypatch, lambda: monkeypatch.setattr(shutdown, "is_requested", lambda: True))
    task = make_first(stock_codes=None)
    assert one_slice() < 5
    end.set()
    task.refresh_from_db()
    assert (task.status, task.planned_at, First.calls) == ("running", None, ["list"])
    assert OrmQ.objects.count() == 1, "its successor"


def test_a_cancel_while_the_stock_list_is_read_has_the_worker_replaced(script, monkeypatch):
    script()
    task = make_first(stock_codes=None)
    end = reading_the_list(monkeypatch, lambda: cancel(task))
    assert one_slice() < 5
    end.set()
    assert QConf.MAX_RSS == 1


def waiting_at_the_gate(script):
    """A task whose next request is a minute away, though it was reserved."""
    script(rates=(("first", 1000.0),), slice_seconds=5.0)
    task = make_first()
    SourceGate.objects.create(source="first", next_at=Now() + timedelta(seconds=0.95))
    return task


def test_a_cancel_stops_those_who_wait_at_the_gate_before_they_ask(script, monkeypatch):
    task = waiting_at_the_gate(script)
    beat = lifecycle.beat
    monkeypatch.setattr(lifecycle, "beat", lambda lane: (cancel(task), beat(lane)))
    assert one_slice() < 0.5
    time.sleep(1.2)  # well past the reserved time
    assert First.calls == []
    assert not DailyBar.objects.exists()
    assert QConf.MAX_RSS == 400_000, "nobody was asked, so no process must be replaced"


def cancel(task):
    if CollectionTask.objects.get(pk=task.pk).status == "running":
        lifecycle.cancel(task.pk, ACTOR)


def test_a_drain_does_not_wait_for_the_gate(script, monkeypatch):
    task = waiting_at_the_gate(script)
    beat = lifecycle.beat

    def drained(lane):
        monkeypatch.setattr(shutdown, "is_requested", lambda: True)
        beat(lane)

    monkeypatch.setattr(lifecycle, "beat", drained)
    assert one_slice() < 0.5
    assert First.calls == []
    assert states(task) == [("pending", 0)]
    assert QConf.MAX_RSS == 400_000


def test_several_requests_are_in_flight_where_the_rate_needs_it(script, monkeypatch):
    monkeypatch.setattr(First, "in_flight", 0)
    at_once, most, lock = 0, 0, threading.Lock()

    def slow(request):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.2)
        with lock:
            at_once -= 1
        return [scripted_sources.make_bar()]

    script(rates=(("first", 20.0),), first=slow, slice_seconds=10.0, heartbeat=1.0)
    make_first(stock_codes=tuple(f"{n:06d}" for n in range(1, 25)))
    work()
    assert 3 <= most <= 5


def test_a_source_says_how_many_requests_and_workers_it_bears(script, monkeypatch):
    monkeypatch.setattr(First, "most_workers", 1)
    script(fan_out=4, in_flight=8)
    most, at_once = 0, 0

    def count(request):
        nonlocal most, at_once
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.01)
        at_once -= 1
        return [scripted_sources.make_bar()]

    monkeypatch.setattr(First, "script", staticmethod(count))
    task = make_first()
    assert task.lanes.count() == 1
    work()
    assert most == 1


def test_a_plan_lost_again_and_again_is_still_noticed(script):
    script()
    task = make_first(stock_codes=None)
    for _ in range(11):
        task.lanes.update(begun=True, lease_until=Now() - timedelta(seconds=1))
        lifecycle.rescue(task.pk)
    task.refresh_from_db()
    assert task.error_code == "plan_lost"
    assert TaskEvent.objects.filter(task=task, kind="rescued").count() == 10
