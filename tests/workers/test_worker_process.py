"""A worker process runs django-q2's own functions, one job after the other."""

import logging

import pytest
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure, OrmQ, Success
from django_q.signals import post_execute
from django_q.tasks import async_task

from tasks_app.workers import process_state, shutdown, worker_process
from tasks_app.workers.process_state import ProcessState
from tasks_app.workers.worker_process import GRACE_SECONDS, JobQueue
from tests.fakes.clock import Clock

pytestmark = pytest.mark.django_db(transaction=True)  # it closes connections between jobs
seen: list[object] = []


def append(value: object) -> None:
    seen.append(value)


def fail() -> None:
    raise ValueError("no such luck")


def stop_after(jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests a stop once so many jobs are done."""
    executed: list[object] = []

    def count(task: object, **_: object) -> None:
        executed.append(task)

    post_execute.connect(count, weak=False, dispatch_uid="stop_after")
    monkeypatch.setattr(shutdown, "is_requested", lambda: len(executed) >= jobs)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutdown, "install_handlers", lambda: None)
    monkeypatch.setattr(Conf, "POLL", 0)
    monkeypatch.setattr(Conf, "MAX_RSS", None)  # this process has grown with the tests before
    seen.clear()
    yield ProcessState()
    post_execute.disconnect(dispatch_uid="stop_after")


def test_jobs_run_in_order_and_leave_the_queue(state, monkeypatch):
    stop_after(2, monkeypatch)
    for value in (1, 2):
        async_task(f"{__name__}.append", value)
    worker_process.run(state)
    assert seen == [1, 2]
    assert not OrmQ.objects.exists()
    assert Success.objects.count() == 2


def test_failed_job_is_stored_and_leaves_the_queue(state, monkeypatch):
    stop_after(1, monkeypatch)
    async_task(f"{__name__}.fail")
    worker_process.run(state)
    assert "no such luck" in Failure.objects.get().result
    assert not OrmQ.objects.exists()


def test_unreadable_job_is_dropped(state, monkeypatch, caplog):
    stop_after(1, monkeypatch)
    get_broker().enqueue("not signed by us")
    async_task(f"{__name__}.append", "next")
    with caplog.at_level(logging.CRITICAL, "django-q"):
        worker_process.run(state)
    assert seen == ["next"]
    assert not OrmQ.objects.exists()


def test_retired_worker_ends_after_its_job(state, monkeypatch):
    monkeypatch.setattr(Conf, "MAX_RSS", 1)
    for value in (1, 2):
        async_task(f"{__name__}.append", value)
    worker_process.run(state)
    assert seen == [1]
    assert OrmQ.objects.count() == 1


def test_worker_ends_when_its_supervisor_is_gone(state, monkeypatch):
    queue = JobQueue(state)
    queue.supervisor = -1
    async_task(f"{__name__}.append", 1)
    assert queue.get() == "STOP"


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, Conf.TIMEOUT + GRACE_SECONDS),
        ({"timeout": 5}, 5 + GRACE_SECONDS),
        ({"timeout": -1}, float("inf")),
    ],
)
def test_busy_worker_may_be_silent_until_its_time_out(state, monkeypatch, options, seconds):
    monkeypatch.setattr(process_state, "time", clock := Clock())
    async_task(f"{__name__}.append", 1, **options)
    JobQueue(state).get()
    assert state.is_busy
    assert state.deadline == clock.monotonic() + seconds
