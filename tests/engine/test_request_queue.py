"""Requests of a slice through the limiter: its rate, cap and breaker, calls in flight, cancel and drain."""

import os
import socket
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf

import pytest
from django.db.models.functions import Now
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.engine.source_router import RECHECK_SECONDS
from tasks_app.lifecycle import attempts, payloads, selectors
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, SourceGate
from tasks_app.sources.base import take_permit
from tasks_app.sources.shared_process import handle
from tasks_app.sources.shared_process.remote_source import make_remote
from tasks_app.throttle import history
from tasks_app.throttle.limiter import JITTER
from tasks_app.throttle.windows import SPARE
from tasks_app.workers import shutdown
from tests.engine.helpers import (
    cancel_if_running,
    end_pause,
    make_first_task,
    run_all_attempts,
    run_one_slice,
)
from tests.fakes import scripted_sources
from tests.fakes.own_process_source import OwnProcessSource
from tests.fakes.scripted_sources import First
from tools.in_process import work

pytestmark = pytest.mark.django_db
LIMITED = (("first", 1000.0),)  # a rate that never waits, so that the source has a limiter


@pytest.fixture
def open_breaker(configure_short_slices):
    """Returns a function that runs a slice whose two requests are refused, which opens the breaker."""

    def run_refused_slice(**values):
        configure_short_slices(
            **{"rates": LIMITED, "first": scripted_sources.throttled, "breaker_after": 2, **values}
        )
        task = make_first_task()
        run_one_slice()
        return task

    return run_refused_slice


@pytest.fixture
def waiting_task(configure):
    """A task whose first request has reserved a time that is nearly a second away."""
    configure(rates=LIMITED, heartbeat=0.05)
    task = make_first_task()
    SourceGate.objects.create(source="first", next_at=Now() + timedelta(seconds=0.95))
    return task


def item_states(task):
    return sorted(set(task.items.values_list("state", "attempts")))


def source_message(task):
    return payloads.task_statuses([selectors.get_task(task.pk)])[0]["source_message"]


@pytest.mark.any_database  # test_rate_limit.py keeps it there with real processes
def test_slice_keeps_the_rate(configure, clock):
    times = []
    configure(rates=(("first", 20.0),), first=lambda request: times.append(clock.elapsed) or [])
    task = make_first_task(stock_codes=tuple(f"{n:06d}" for n in range(1, 13)))
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert SourceGate.objects.get().requests_today == len(times) == 12
    gaps = [later - earlier for earlier, later in pairwise(times)]
    jitter = JITTER / 20
    assert gaps == pytest.approx([(1 + SPARE) / 20] * 11, abs=jitter)


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_further_requests_of_a_call_keep_the_rate_and_count(configure, clock):
    times = []

    def two_pages(request):
        times.append(clock.elapsed)
        take_permit()
        times.append(clock.elapsed)
        return []

    configure(rates=(("first", 20.0),), first=two_pages, in_flight=4)
    task = make_first_task(stock_codes=tuple(f"{n:06d}" for n in range(1, 9)))
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert SourceGate.objects.get().requests_today == len(times) == 16
    gaps = [later - earlier for earlier, later in pairwise(sorted(times))]
    assert min(gaps) >= 1 / 20
    assert 20 * sum(gaps) / len(gaps) <= 1 / 0.95


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_calls_that_take_turns_lose_no_permit(configure, clock, monkeypatch):
    """Each makes two requests in a process that the machine shares, for which another call waits."""
    monkeypatch.setenv("NO_PROXY", f"test-{os.getpid()}")  # no other test's process
    monkeypatch.setattr(handle, "time", clock)
    remote = make_remote(OwnProcessSource, Conf(fetch_timeout=60.0, worker_memory=1_000_000))

    def two_requests(request):
        return remote.fetch(replace(request, code="two requests"))

    monkeypatch.setattr(First, "takes_first_permit", True, raising=False)
    monkeypatch.setattr(First, "in_flight", 2)
    configure(rates=(("first", 20.0),), first=two_requests, fetch_timeout=60.0, in_flight=2)
    task = make_first_task(stock_codes=tuple(f"{n:06d}" for n in range(1, 9)))
    took = clock.duration_of(work)
    remote.process.close()
    task.refresh_from_db()
    assert (task.status, task.success_count) == ("completed", 8)
    assert SourceGate.objects.get().requests_today == 16
    assert 15 / took >= 0.95 * 20


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_first_permit_that_a_call_takes_itself_may_be_refused(configure_short_slices, monkeypatch):
    """Nothing was sent, so the stock waits as before; the vendor's history does not show it."""
    monkeypatch.setattr(First, "takes_first_permit", True, raising=False)
    monkeypatch.setattr(First, "in_flight", 2)

    def one_request(request):
        take_permit()
        return []

    configure_short_slices(daily_caps=(("first", 1),), first=one_request, in_flight=2)
    task = make_first_task()
    run_one_slice()
    assert len(First.calls) > 1, "both had a turn before the day was used up"
    assert SourceGate.objects.get().requests_today == 1
    assert item_states(task) == [("pending", 0), ("succeeded", 1)]
    assert set(task.items.filter(state="pending").values_list("error_code", flat=True)) == {""}


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_rest_of_a_call_is_tried_again_where_the_day_is_used_up(configure_short_slices):
    def two_pages(request):
        take_permit()
        return []

    configure_short_slices(daily_caps=(("first", 3),), first=two_pages)
    task = make_first_task(stock_codes=("000001", "000002"))
    run_one_slice()
    assert SourceGate.objects.get().requests_today == 3
    assert item_states(task) == [("pending", 0), ("succeeded", 1)]
    assert SourceGate.objects.get().refusals == 0


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_no_throttle_keeps_no_rate(configure, clock):
    configure(rates=(("first", 0.01),), no_throttle=True)
    make_first_task()
    assert clock.duration_of(work) == 0.0
    assert not SourceGate.objects.exists()


@pytest.mark.any_database  # told by the limiter, whose statements tests/throttle runs there
def test_used_up_daily_cap_costs_no_attempt(configure_short_slices):
    configure_short_slices(daily_caps=(("first", 1),))
    task = make_first_task()
    run_one_slice()
    assert len(First.calls) == 1
    assert task.items.filter(state="succeeded").count() == 1
    assert task.items.filter(state="pending", attempts=0).count() == 2


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_status_shows_the_used_up_daily_cap(configure_short_slices):
    configure_short_slices(daily_caps=(("first", 1),))
    task = make_first_task()
    run_one_slice()
    status = payloads.task_statuses([selectors.get_task(task.pk)])[0]
    assert status["source_paused_until"] is not None
    assert "used up" in status["source_message"]
    assert not status["unattended"]


@pytest.mark.any_database  # told by the limiter, whose statements tests/throttle runs there
def test_task_continues_on_the_next_day(configure_short_slices):
    configure_short_slices(daily_caps=(("first", 1),))
    task = make_first_task()
    run_one_slice()
    SourceGate.objects.update(day="2020-01-01")
    for _ in range(20):
        if not OrmQ.objects.exists():
            break
        SourceGate.objects.update(requests_today=0)
        end_pause()
        run_one_slice()
    task.refresh_from_db()
    assert task.status == "completed"
    assert len(First.calls) >= 2


@pytest.mark.any_database  # test_rate_limit.py opens it there with real processes
def test_refusals_open_the_breaker(open_breaker):
    task = open_breaker()
    assert len(First.calls) == 2
    assert SourceGate.objects.get().refusals == 2
    attempts = sum(task.items.values_list("attempts", flat=True))
    assert attempts == 1, "the refusal that opens the breaker costs no attempt"


@pytest.mark.any_database  # test_rate_limit.py pauses it there with real processes
def test_paused_source_gets_no_request(open_breaker):
    task = open_breaker()
    heartbeat = CollectionTask.objects.get().heartbeat_at
    run_one_slice()
    assert len(First.calls) == 2
    assert set(task.items.values_list("state", flat=True)) == {"pending"}
    assert CollectionTask.objects.get().heartbeat_at > heartbeat, "the lane keeps its heartbeat"


@pytest.mark.any_database  # test_rate_limit.py probes there with real processes
def test_one_request_probes_after_the_pause(open_breaker):
    open_breaker(slice_seconds=1.0)
    end_pause()
    run_one_slice()
    assert len(First.calls) == 3
    assert SourceGate.objects.get().refusals == 3


@pytest.mark.any_database  # told by the limiter, whose statements tests/throttle runs there
def test_task_completes_once_the_source_responds(open_breaker, monkeypatch):
    task = open_breaker()
    monkeypatch.setattr(First, "script", staticmethod(scripted_sources.closes_at(11.0)))
    CollectionItem.objects.update(not_before=None)
    end_pause()
    lifecycle.rescue(task.pk)
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert task.success_count == 3
    assert SourceGate.objects.get().refusals == 0


@pytest.mark.any_database  # told by the limiter, whose statements tests/throttle runs there
def test_ban_pauses_at_once_and_costs_no_attempt(configure_short_slices):
    configure_short_slices(rates=LIMITED, first=scripted_sources.banned)
    task = make_first_task()
    run_one_slice()
    assert len(First.calls) == 1
    assert item_states(task) == [("pending", 0)]
    assert source_message(task) == "Come back in an hour."


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_slice_at_a_blocked_source_ends_in_time(configure, clock):
    configure(daily_caps=(("first", 1),), fan_out=1, slice_seconds=60.0, heartbeat=5.0)
    make_first_task()
    run_one_slice()
    assert 45.0 <= clock.duration_of(run_one_slice) <= 60.0 + RECHECK_SECONDS
    assert OrmQ.objects.count() == 1


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_cancel_stops_requests_before_their_time(waiting_task, clock, monkeypatch):
    beat = lifecycle.beat
    monkeypatch.setattr(lifecycle, "beat", lambda lane: (cancel_if_running(waiting_task), beat(lane)))
    assert clock.duration_of(run_one_slice) == pytest.approx(0.05)
    clock.sleep(1.2)  # well past the reserved time
    assert First.calls == []
    assert not DailyBar.objects.exists()
    assert QConf.MAX_RSS == 400_000, "no request was sent, so no process must be replaced"


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_drain_does_not_wait_for_reserved_times(waiting_task, clock, monkeypatch):
    beat = lifecycle.beat

    def drain_at_heartbeat(lane):
        monkeypatch.setattr(shutdown, "is_requested", lambda: True)
        beat(lane)

    monkeypatch.setattr(lifecycle, "beat", drain_at_heartbeat)
    assert clock.duration_of(run_one_slice) == pytest.approx(0.05)
    assert First.calls == []
    assert item_states(waiting_task) == [("pending", 0)]
    assert QConf.MAX_RSS == 400_000


class InFlight:
    """A script that takes 0.2 s and records the most requests that ran at the same time."""

    def __init__(self, clock):
        self.clock, self.now, self.most = clock, 0, 0
        self.lock = threading.Lock()

    def __call__(self, request):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.clock.sleep(0.2)
        with self.lock:
            self.now -= 1
        return [scripted_sources.make_bar()]


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_slow_source_has_several_requests_in_flight(configure, clock, monkeypatch):
    monkeypatch.setattr(First, "in_flight", 0)
    in_flight = InFlight(clock)
    configure(rates=(("first", 20.0),), first=in_flight, slice_seconds=10.0, heartbeat=1.0)
    make_first_task(stock_codes=tuple(f"{n:06d}" for n in range(1, 25)))
    work()
    assert in_flight.most == 4


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_source_limits_requests_and_workers(configure, clock, monkeypatch):
    monkeypatch.setattr(First, "most_workers", 1)
    in_flight = InFlight(clock)
    configure(first=in_flight, fan_out=4, in_flight=8)
    task = make_first_task()
    assert task.lanes.count() == 1
    work()
    assert in_flight.most == 1


@pytest.mark.any_database  # claims of suspects are tested there by test_transitions.py
def test_suspect_is_requested_while_nothing_else_is_in_flight(configure, clock, monkeypatch):
    monkeypatch.setattr(First, "in_flight", 0)
    companions, in_flight = {}, set()
    codes = tuple(f"{n:06d}" for n in range(1, 9))

    def script(request):
        in_flight.add(request.code)
        clock.sleep(0.2)
        companions[request.code] = len(in_flight) - 1
        clock.sleep(0.2)
        in_flight.discard(request.code)
        return [scripted_sources.make_bar()]

    configure(first=script, in_flight=4)
    task = make_first_task(stock_codes=codes)
    task.items.filter(code__in=codes[:2]).update(losses=1)
    work()
    assert companions == dict.fromkeys(codes[:2], 0) | dict.fromkeys(codes[2:6], 3) | dict.fromkeys(
        codes[6:], 1
    )
    assert First.calls[:2] == list(codes[:2])


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_worker_with_an_abandoned_request_takes_no_suspect(configure, clock):
    configure(first=lambda request: clock.sleep(inf), fetch_timeout=1.0, slice_seconds=60.0)
    task = make_first_task()
    task.items.update(losses=1)
    run_one_slice()
    assert First.calls == ["000001"]
    assert QConf.MAX_RSS == 1, "the process is replaced, and the next one takes the other suspects"
    assert OrmQ.objects.exists()


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_request_that_runs_out_of_memory_beside_others_is_tried_again_alone(configure, clock):
    def script(request):
        clock.sleep(0.2)
        if request.code == "000002" or First.calls.count(request.code) == 1:
            raise MemoryError
        return [scripted_sources.make_bar()]

    configure(first=script, in_flight=3)
    task = make_first_task()
    run_one_slice()
    assert QConf.MAX_RSS == 1, "the process is replaced"
    assert item_states(task) == [("pending", 0)]
    work()
    items = task.items.order_by("position").values_list("state", "attempts", "losses", "error_code")
    assert list(items) == [
        ("succeeded", 1, 1, ""),
        ("failed", 1, 1, "memory_limit"),
        ("succeeded", 1, 1, ""),
    ]
    assert First.calls[3:] == ["000001", "000002", "000003"]


def test_how_requests_ended_is_stored(configure):
    def script(request):
        if request.code == "000003" and First.calls.count("000003") == 1:
            return scripted_sources.throttled(request)
        if request.code == "000002":
            return scripted_sources.unknown_stock(request)
        return [] if request.code == "000004" else [scripted_sources.make_bar()]

    configure(rates=LIMITED, first=script, backoff=0.0)
    make_first_task(stock_codes=tuple(f"{n:06d}" for n in range(1, 5)))
    work()
    (day,) = history.days_of("first", 1)
    assert day.kinds == {"answered": 2, "empty": 1 + First.calls.count("000004"), "refused": 1, "failed": 0}
    assert day.codes == {"unknown_stock": 1, "throttled": 1}
    assert day.requests == len(First.calls) == day.permits


def test_attempts_of_a_stock_that_failed_and_came(configure):
    refuse_first = iter([True])
    configure(
        first=lambda request: (
            scripted_sources.throttled(request)
            if next(refuse_first, False)
            else [scripted_sources.make_bar()]
        )
    )
    task = make_first_task(stock_codes=("000001",))
    run_all_attempts(task, rounds=3)
    refused, came = attempts.read(task.items.get().attempt_log)
    assert (refused.source, refused.result, refused.error_code) == ("first", "error", "throttled")
    assert (came.source, came.result, came.bars) == ("first", "bars", 1)
    assert came.worker == f"{socket.gethostname()}:{os.getpid()}"
    assert datetime.fromisoformat(refused.at) <= datetime.fromisoformat(came.at)
