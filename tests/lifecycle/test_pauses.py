"""A paused task still runs, but nobody works on it; only its user, or its last stock under way, ends it."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.engine.source_router import is_stalled
from tasks_app.lifecycle import Outcome, progress, selectors
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask
from tasks_app.models.events import Channel
from tasks_app.models.states import ItemState
from tests.factories import (
    ACTOR,
    age_heartbeat,
    make_claim,
    make_ended,
    make_lane,
    make_run,
    make_task,
    make_user,
)

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL
HOUR = timedelta(hours=1)


def pause(task):
    lifecycle.pause(task.pk, ACTOR)
    task.refresh_from_db()


def age_pause(task, length):
    CollectionTask.objects.filter(pk=task.pk).update(paused_at=F("paused_at") - length)


def test_pause_keeps_the_status_and_the_slot():
    ann, task = make_user(), make_task()
    paused = lifecycle.pause(task.pk, Actor(Channel.API, ann))
    assert (paused.status, paused.paused_by) == ("running", "ann")
    assert paused.paused_at is not None
    event = task.events.get(kind="paused")
    assert (event.user, event.channel) == (ann, "api")
    with pytest.raises(errors.TaskIsPaused, match="is paused"):
        make_task()


@any_database
def test_pause_and_resume_are_refused_in_the_wrong_state():
    task = make_task()
    with pytest.raises(errors.TaskNotPaused):
        lifecycle.resume(task.pk, ACTOR)
    pause(task)
    with pytest.raises(errors.TaskAlreadyPaused):
        lifecycle.pause(task.pk, ACTOR)
    assert list(task.events.values_list("kind", flat=True)) == ["started", "paused"]


@any_database
@pytest.mark.parametrize("verb", [lifecycle.pause, lifecycle.resume])
def test_unknown_task_can_not_be_paused(verb):
    with pytest.raises(errors.TaskNotFound):
        verb(UUID(int=7), ACTOR)


@pytest.mark.parametrize("fields", [{"paused_at": Now()}, {"paused_by": "ann"}])
def test_database_refuses_a_pause_of_an_ended_task(fields):
    task = make_ended("completed")
    with pytest.raises(IntegrityError), transaction.atomic():
        CollectionTask.objects.filter(pk=task.pk).update(**fields)


def test_queued_slices_do_not_begin_after_a_pause():
    task = make_task()
    queued = list(task.lanes.values_list("number", "generation"))
    pause(task)
    for number, generation in queued:
        with pytest.raises(errors.StaleClaim):
            lifecycle.begin(task.pk, number, generation, "late")
    lifecycle.resume(task.pk, ACTOR)
    make_lane(task)


@any_database
def test_running_slice_claims_nothing_and_is_told():
    task = make_task()
    lane = make_lane(task)
    first = lifecycle.claim(lane, 1)[0]
    assert not lifecycle.beat(lane)
    pause(task)
    assert lifecycle.beat(lane)
    assert lifecycle.record_and_claim(first, Outcome(ItemState.SUCCEEDED), 2) == []
    assert lifecycle.claim(lane, 2) == []


def test_suspect_is_not_claimed_while_paused():
    task = make_task()
    CollectionItem.objects.filter(task=task).update(losses=1)
    lane = make_lane(task)
    pause(task)
    assert lifecycle.claim(lane, 1) == []
    lifecycle.resume(task.pk, ACTOR)
    assert len(lifecycle.claim(lane, 1)) == 1


@any_database
def test_closed_slice_has_no_successor_until_the_resume():
    task = make_task()
    lane = make_lane(task)
    lifecycle.claim(lane, 2)
    pause(task)
    lifecycle.close(lane)
    OrmQ.objects.all().delete()
    lifecycle.rescue(task.pk)
    assert not OrmQ.objects.exists()
    assert set(task.items.values_list("state", "attempts")) == {("pending", 0)}
    lifecycle.resume(task.pk, ACTOR)
    assert OrmQ.objects.count() == 2


@any_database
def test_result_under_way_is_recorded_and_may_be_the_last():
    task = make_task(stock_codes=("000001",))
    claim = make_claim(task)
    pause(task)
    lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=3))
    task.refresh_from_db()
    assert (task.status, task.paused_at, task.paused_by, task.collected_count) == ("completed", None, "", 3)


@any_database
def test_cancel_ends_a_paused_task():
    task = make_task()
    pause(task)
    cancelled = lifecycle.cancel(task.pk, ACTOR)
    assert (cancelled.status, cancelled.paused_at) == ("cancelled", None)
    assert make_task().status == "running"


@any_database
def test_silence_does_not_fail_a_paused_task(settings):
    task = make_task()
    pause(task)
    age_heartbeat(task, settings.COLLECTOR.abandon_after + 1)
    task.refresh_from_db()
    assert not selectors.is_unattended(task)
    lifecycle.rescue(task.pk)
    assert not lifecycle.abandon_if_unattended(task)
    lifecycle.resume(task.pk, ACTOR)
    lifecycle.rescue(task.pk)  # the silence counts from the resume on
    task.refresh_from_db()
    assert (task.status, selectors.is_unattended(task)) == ("running", False)


@any_database
def test_blocked_source_is_given_time_after_a_resume(settings):
    task = make_task()
    long_ago = Now() - timedelta(seconds=settings.COLLECTOR.source_give_up + 60)
    CollectionTask.objects.filter(pk=task.pk).update(planned_at=long_ago)
    assert is_stalled(task.pk, settings.COLLECTOR)
    pause(task)
    lifecycle.resume(task.pk, ACTOR)
    assert not is_stalled(task.pk, settings.COLLECTOR)


@any_database
def test_lost_planners_do_not_fail_a_paused_task():
    task = make_task(stock_codes=None)
    for _ in range(9):
        lifecycle.rescue_lane(make_lane(task), 1)
    lane = make_lane(task)
    pause(task)
    lifecycle.rescue_lane(lane, 1)
    lifecycle.rescue(task.pk)
    task.refresh_from_db()
    assert (task.status, task.events.filter(kind="rescued").count()) == ("running", 10)


@any_database
def test_worker_lost_during_a_pause_leaves_its_stock_for_later():
    task = make_task()
    claim = make_claim(task)
    pause(task)
    past = Now() - timedelta(seconds=1)
    CollectionItem.objects.filter(pk=claim.item_id).update(lease_until=past)
    CollectionLane.objects.filter(task=task).update(lease_until=past)
    lifecycle.rescue(task.pk)
    lifecycle.resume(task.pk, ACTOR)
    lane = make_lane(task)
    while claims := lifecycle.claim(lane, 3):
        for claim in claims:
            lifecycle.record(claim, Outcome(ItemState.SUCCEEDED))
        if CollectionTask.objects.get(pk=task.pk).status != "running":
            break
    assert CollectionTask.objects.get(pk=task.pk).status == "completed"


def test_time_of_pauses_does_not_count_for_the_pace():
    task = make_run(1000, [90.0 - n for n in range(80)], planned=100.0)
    before = progress.estimate_pace(task)
    pause(task)
    assert progress.estimate_pace(task) == progress.UNKNOWN
    age_pause(task, HOUR)
    lifecycle.resume(task.pk, ACTOR)
    CollectionTask.objects.filter(pk=task.pk).update(  # as if the hour had passed
        planned_at=F("planned_at") - HOUR, resumed_at=F("resumed_at") - timedelta(seconds=100)
    )
    task.refresh_from_db()
    assert 3600 <= task.paused_seconds < 3660
    after = progress.estimate_pace(task)
    assert after.high == pytest.approx(before.high, rel=0.2)


def test_pause_during_the_plan_does_not_count_for_the_pace():
    task = make_task(stock_codes=None)
    lane = make_lane(task)
    pause(task)
    age_pause(task, HOUR)
    lifecycle.resume(task.pk, ACTOR)
    lifecycle.plan(lane, ["000001"])
    assert CollectionTask.objects.get(pk=task.pk).paused_seconds == 0
