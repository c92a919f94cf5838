"""More time for a job: its alarm and its supervisor's deadline move together."""

import signal

import pytest

from tasks_app.workers import job_time, process_state
from tasks_app.workers.process_state import ProcessState


@pytest.fixture
def alarm(monkeypatch):
    """A job that has 100 seconds left, and whose process must report in 104."""
    state = ProcessState()
    state.extend_deadline(104)
    monkeypatch.setattr(process_state, "own_state", state)
    earlier = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.alarm(100)
    yield lambda: signal.getitimer(signal.ITIMER_REAL)[0]
    signal.alarm(0)
    signal.signal(signal.SIGALRM, earlier)


def test_job_gets_as_much_time_as_it_lacks(alarm):
    job_time.extend(200)
    assert alarm() == pytest.approx(200, abs=20)
    assert process_state.own_state.deadline_left() == pytest.approx(204, abs=20)


def test_job_with_time_enough_keeps_its_own(alarm):
    job_time.extend(50)
    assert alarm() == pytest.approx(100, abs=20)


def test_outside_a_job_there_is_no_alarm(alarm):
    signal.alarm(0)
    job_time.extend(50)
    assert alarm() == 0
