"""The queue of jobs: by the database's clock, whatever this host's says, and fair to other hosts."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ

from tasks_app.queue import dispatch
from tasks_app.queue.broker import COURTESY, Broker

pytestmark = pytest.mark.django_db
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def broker(monkeypatch):
    monkeypatch.setattr(Conf, "POLL", 0)
    return get_broker()


@pytest.fixture(params=[-TEN_MINUTES, timedelta(0), TEN_MINUTES], ids=["behind", "right", "ahead"])
def clock(request, monkeypatch):
    """This host's clock, from here on."""
    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + request.param)


def test_django_q2_uses_this_broker(broker):
    assert type(broker) is Broker


def test_what_any_host_queues_is_due_at_once(broker, clock):
    number = broker.enqueue("job")
    assert (broker.queue_size(), broker.lock_size()) == (1, 0)
    assert broker.dequeue() == [(number, "job")]


def test_what_any_host_has_taken_is_not_taken_again(broker, clock, monkeypatch):
    broker.enqueue("job")
    broker.dequeue()
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)
    monkeypatch.undo()
    assert broker.dequeue() == []
    assert OrmQ.objects.filter(lock__gt=Now() + timedelta(seconds=Conf.RETRY - 5)).exists()


def test_the_jobs_that_wait_are_counted_by_the_database_s_clock(broker, clock):
    broker.enqueue("job")
    assert dispatch.waiting_jobs() == 1
    broker.dequeue()
    assert dispatch.waiting_jobs() == 0


def test_a_job_is_due_again_when_nobody_has_acknowledged_it_in_time(broker, clock):
    number = broker.enqueue("job")
    broker.dequeue()
    OrmQ.objects.update(lock=Now() - timedelta(seconds=1))
    assert broker.dequeue() == [(number, "job")]
    broker.acknowledge(number)
    assert broker.dequeue() == []
    assert not OrmQ.objects.exists()


def test_a_job_that_another_host_takes_in_between_is_left_to_it(broker, monkeypatch):
    broker.enqueue("job")
    take = Broker._take

    def slower(self, job):
        assert take(Broker(), job)
        return take(self, job)

    monkeypatch.setattr(Broker, "_take", slower)
    assert broker.dequeue() == []


def test_the_oldest_jobs_come_first_and_those_of_other_queues_never(broker, monkeypatch):
    monkeypatch.setattr(Conf, "BULK", 2)
    Broker("other").enqueue("not ours")
    numbers = [broker.enqueue(f"job {n}") for n in range(3)]
    assert broker.dequeue() == [(numbers[0], "job 0"), (numbers[1], "job 1")]


def test_while_its_workers_are_busy_a_host_leaves_new_jobs_to_the_others(broker, monkeypatch):
    monkeypatch.setattr(Conf, "WORKERS", 2)
    numbers = [broker.enqueue(f"job {n}") for n in range(4)]
    assert [broker.dequeue()[0][0] for _ in range(2)] == numbers[:2]
    assert broker.dequeue() == []
    assert get_broker().dequeue() == [(numbers[2], "job 2")]
    broker.acknowledge(numbers[0])
    assert broker.dequeue() == [(numbers[3], "job 3")]


def test_a_busy_host_takes_what_nobody_else_has_wanted_for_a_while(broker, monkeypatch):
    monkeypatch.setattr(Conf, "WORKERS", 1)
    broker.enqueue("job")
    broker.dequeue()
    unwanted = broker.enqueue("unwanted")
    OrmQ.objects.filter(pk=unwanted).update(lock=Now() - COURTESY)
    assert broker.dequeue() == [(unwanted, "unwanted")]
