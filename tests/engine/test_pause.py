"""A slice whose task is paused: it asks its source for nothing more, and loses nothing."""

import math
from dataclasses import replace

import pytest
from django_q.conf import Conf as QConf
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.models import CollectionTask, DailyBar
from tests.engine.helpers import make_first_task, run_one_slice
from tests.factories import ACTOR, make_task
from tests.fakes.broken_sources import BrokenSource, with_broken_source
from tests.fakes.scripted_sources import STOCKS, First, make_bar
from tools.in_process import work

pytestmark = pytest.mark.django_db


def pause_on(monkeypatch, task, name):
    """Pauses the task before the slice's first call of this verb."""
    verb = getattr(lifecycle, name)

    def pause_first(*args):
        if CollectionTask.objects.get(pk=task.pk).paused_at is None:
            lifecycle.pause(task.pk, ACTOR)
        return verb(*args)

    monkeypatch.setattr(lifecycle, name, pause_first)


def test_stock_in_hand_is_recorded_and_no_other_requested(configure, monkeypatch):
    configure()
    monkeypatch.setattr(First, "script", staticmethod(lambda request: [make_bar()]))
    task = make_first_task()
    pause_on(monkeypatch, task, "record_and_claim")
    work()
    task.refresh_from_db()
    assert (task.status, task.processed_stocks, len(First.calls)) == ("running", 1, 1)
    assert not OrmQ.objects.exists()


def test_resumed_task_asks_for_the_rest_only(configure, monkeypatch):
    configure()
    task = make_first_task()
    with monkeypatch.context() as patch:
        pause_on(patch, task, "record_and_claim")
        work()
    lifecycle.resume(task.pk, ACTOR)
    work()
    task.refresh_from_db()
    assert (task.status, sorted(First.calls)) == ("completed", ["000001", "000002", "000003"])
    assert DailyBar.objects.count() == 3


def test_hung_request_is_left_within_seconds(settings, monkeypatch, clock):
    conf = with_broken_source(settings.COLLECTOR)
    settings.COLLECTOR = replace(conf, heartbeat=1.0, fetch_timeout=60.0)
    monkeypatch.setattr(BrokenSource, "good", lambda *_: clock.sleep(math.inf))
    monkeypatch.setattr(QConf, "MAX_RSS", 400_000)
    task = make_task(source="broken", stock_codes=("GOOD",))
    pause_on(monkeypatch, task, "beat")
    assert clock.duration_of(run_one_slice) == pytest.approx(4.0)  # the first heartbeat, and three seconds
    assert QConf.MAX_RSS == 1, "the worker process must be replaced, or its thread continues the request"
    assert set(task.items.values_list("state", "attempts", "losses")) == {("pending", 0, 0)}
    assert not OrmQ.objects.exists()


def test_stock_list_is_requested_only_after_the_resume(configure, monkeypatch):
    configure()
    task = make_first_task(stock_codes=None)
    lifecycle.pause(task.pk, ACTOR)
    work()
    assert First.calls == []
    lifecycle.resume(task.pk, ACTOR)
    work()
    task.refresh_from_db()
    assert (task.status, First.calls.count("list"), task.total_stocks) == ("completed", 1, STOCKS)
