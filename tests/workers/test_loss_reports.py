"""A worker process that dies with a lane is reported to the watchdog, which releases the lane."""

import time
from uuid import uuid4

import pytest
from django.db import DataError, OperationalError

from tasks_app import lifecycle
from tasks_app.models import CollectionItem
from tasks_app.workers import shutdown, watchdog
from tasks_app.workers.loss_reports import Loss, LossReports
from tasks_app.workers.process_state import HeldLane, ProcessState
from tests.factories import make_claim, make_task

LOSS = Loss(HeldLane(uuid4(), 1, 12), -9)


@pytest.fixture
def held():
    """A claim whose worker process has died, and the report of it."""
    claim = make_claim(make_task())
    lane = claim.lane
    return claim, Loss(HeldLane(lane.task_id, lane.number, lane.generation), -9)


def test_report_arrives():
    reports = LossReports()
    other = LOSS._replace(exit_code=1)
    reports.send(LOSS)
    reports.send(other)
    assert reports.receive(60.0) == [LOSS, other]
    assert reports.receive(0.01) == []


def test_reports_that_nobody_reads_block_nobody():
    reports = LossReports()
    for _ in range(5000):
        reports.send(LOSS)
    received = reports.receive(60.0)
    assert set(received) == {LOSS}
    assert len(received) > 100


def test_stop_ends_the_wait_for_reports(monkeypatch):
    monkeypatch.setattr(shutdown, "is_requested", lambda: True)
    began = time.monotonic()
    assert LossReports().receive(3600.0) == []
    assert time.monotonic() - began < 60.0


def test_dead_process_leaves_its_lane_once():
    state = ProcessState()
    holding = state.holding(LOSS.lane)
    holding.__enter__()
    assert state.take_lane() == LOSS.lane  # it died there
    assert state.take_lane() is None


def test_process_whose_slice_has_ended_leaves_no_lane():
    state = ProcessState()
    with pytest.raises(ZeroDivisionError), state.holding(LOSS.lane):
        raise ZeroDivisionError
    assert state.take_lane() is None


@pytest.mark.django_db
def test_watchdog_releases_what_a_dead_worker_held(held):
    claim, loss = held
    loop = watchdog.WatchdogLoop()
    loop.losses.append(loss)
    loop.run_round()
    assert not claim.item.exists()
    assert loop.losses == []
    loop.losses.append(loss)  # by a watchdog that died before it could note that it had done so
    loop.run_round()
    assert not loop.problem
    assert CollectionItem.objects.get(pk=claim.item_id).losses == 1


@pytest.mark.django_db
def test_report_waits_for_the_database(held, monkeypatch):
    claim, loss = held
    loop, ticks = watchdog.WatchdogLoop(), []
    loop.losses.append(loss)

    def fail(*_):
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "rescue_lane", fail)
        patch.setattr(watchdog.connections, "close_all", lambda: None)
        patch.setattr(watchdog, "tick", lambda: ticks.append(1))
        loop.run_round()
    assert ticks, "the other work goes on if it can"
    assert loop.problem == watchdog.DATABASE_DOWN
    assert claim.item.exists()
    loop.run_round()
    assert not claim.item.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("error", [DataError("out of range"), ZeroDivisionError("a bug")])
def test_report_that_fails_is_dropped_and_the_round_goes_on(held, monkeypatch, caplog, error):
    _, loss = held
    loop, reported, ticks = watchdog.WatchdogLoop(), [], []
    second = loss._replace(lane=loss.lane._replace(generation=7))
    loop.losses += [loss, second]

    def fail(lane, exit_code):
        reported.append(lane.generation)
        raise error

    monkeypatch.setattr(lifecycle, "rescue_lane", fail)
    monkeypatch.setattr(watchdog, "tick", lambda: ticks.append(1))
    loop.run_round()
    loop.run_round()
    assert reported == [loss.lane.generation, 7]
    assert (loop.losses, loop.problem, len(ticks)) == ([], "", 2)
    assert caplog.text.count("waits for its lease to expire") == 2
