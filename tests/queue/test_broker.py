"""The job queue uses the database's clock, whatever this host's clock says."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ

from tasks_app.queue import broker as broker_module, dispatch
from tasks_app.queue.broker import Broker

pytestmark = pytest.mark.django_db
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def broker(monkeypatch):
    monkeypatch.setattr(Conf, "POLL", 0)
    return get_broker()


@pytest.fixture(params=[-TEN_MINUTES, timedelta(0), TEN_MINUTES], ids=["behind", "right", "ahead"])
def clock(request, monkeypatch):
    """Sets this host's clock."""
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + request.param)


def test_django_q2_uses_this_broker(broker):
    assert type(broker) is Broker


def test_dead_clusters_hide_no_living_one(own_cache, broker):
    for name in ("first", "second", "third", "fourth"):
        broker.set_stat(f"heartbeat:{name}", name, 60)
    broker.cache.delete_many(["heartbeat:first", "heartbeat:third"])
    assert broker.get_stats("") == ["second", "fourth"]


def test_queued_job_is_due_at_once_on_any_host(broker, clock):
    number = broker.enqueue("job")
    assert (broker.queue_size(), broker.lock_size()) == (1, 0)
    assert broker.dequeue() == [(number, "job")]


def test_taken_job_is_not_taken_again(broker, clock, monkeypatch):
    broker.enqueue("job")
    broker.dequeue()
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)
    monkeypatch.undo()
    assert broker.dequeue() == []
    assert OrmQ.objects.filter(lock__gt=Now() + timedelta(seconds=Conf.RETRY - 5)).exists()


def test_waiting_jobs_use_the_database_clock(broker, clock):
    broker.enqueue("job")
    assert dispatch.waiting_jobs() == 1
    broker.dequeue()
    assert dispatch.waiting_jobs() == 0


def test_unacknowledged_job_is_due_again(broker, clock):
    number = broker.enqueue("job")
    broker.dequeue()
    OrmQ.objects.update(lock=Now() - timedelta(seconds=1))
    assert broker.dequeue() == [(number, "job")]
    broker.acknowledge(number)
    assert broker.dequeue() == []
    assert not OrmQ.objects.exists()


def test_job_taken_by_another_host_is_left(broker, monkeypatch):
    broker.enqueue("job")
    other_host = Broker()

    def timeout(job):  # asked for after the look for due jobs, before the update that takes one
        assert other_host.dequeue()
        return Broker.timeout(broker, job)

    monkeypatch.setattr(broker, "timeout", timeout)
    assert broker.dequeue() == []


def test_oldest_jobs_of_this_queue_come_first(broker, monkeypatch):
    monkeypatch.setattr(Conf, "BULK", 2)
    Broker("other").enqueue("not ours")
    numbers = [broker.enqueue(f"job {n}") for n in range(3)]
    assert broker.dequeue() == [(numbers[0], "job 0"), (numbers[1], "job 1")]


def test_database_failure_takes_no_job(broker, monkeypatch, caplog):
    def fail(self):
        raise OperationalError("gone\nfor good")

    broker.enqueue("job")
    monkeypatch.setattr(broker_module, "OUTAGE_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Broker, "_due", fail)
        assert (broker.dequeue(), broker.dequeue()) == ([], [])
    assert [record.getMessage() for record in caplog.records] == [
        "no job is taken while the database fails: gone"
    ]
    assert len(broker.dequeue()) == 1
