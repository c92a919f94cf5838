"""Every transition of a task, legal and illegal, and the fences around them."""

import signal
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.lifecycle import Lane, Outcome, completion, recovery, selectors, slot
from tasks_app.lifecycle.events import Actor
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, ExecutionSlot, TaskEvent, states
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState, TaskStatus
from tasks_app.workers import watchdog
from tests.factories import (
    ACTOR,
    TODAY,
    finish,
    make_claim,
    make_ended,
    make_lane,
    make_order,
    make_task,
    make_user,
)
from tests.fakes.broken_sources import with_broken_source

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL
ENDED = ("completed", "failed", "cancelled")
CODES = ("000001", "000002", "000003", "000004")


def test_start_creates_items_lanes_and_jobs():
    task = make_task()
    assert task.status == "running"
    assert task.total_stocks == 3
    assert list(task.items.values_list("code", flat=True).order_by("position")) == [
        "000001",
        "000002",
        "000003",
    ]
    assert CollectionLane.objects.filter(task=task, generation=1).count() == 2
    assert OrmQ.objects.count() == 2
    assert ExecutionSlot.objects.get().task == task
    assert task.events.get().kind == EventKind.STARTED


@any_database
def test_start_is_refused_while_a_task_runs():
    task = make_task()
    with pytest.raises(errors.TaskAlreadyRunning, match=str(task.pk)):
        make_task()
    assert CollectionTask.objects.count() == 1


@any_database
def test_rolled_back_start_leaves_no_job():
    with pytest.raises(RuntimeError), transaction.atomic():
        make_task()
        raise RuntimeError
    assert not OrmQ.objects.exists()


@any_database
def test_start_after_an_ended_task_succeeds():
    for status in ENDED:
        make_ended(status)
    assert make_task().status == "running"


@any_database
def test_table_holds_exactly_the_three_task_edges():
    assert set(TaskStatus.values) == {"running", "completed", "failed", "cancelled"}
    edges = {("running", "completed"), ("running", "failed"), ("running", "cancelled")}
    assert set(states.TASK_EDGES) == edges
    assert {"completed", "failed", "cancelled"} == states.FINAL_STATUSES


@any_database
def test_table_holds_exactly_the_five_item_edges():
    assert set(ItemState.values) == {"pending", "claimed", "succeeded", "failed", "skipped"}
    ends = {("claimed", "succeeded"), ("claimed", "failed"), ("claimed", "skipped")}
    assert set(states.ITEM_EDGES) == {("pending", "claimed"), ("claimed", "pending")} | ends
    assert {"succeeded", "failed", "skipped"} == states.FINAL_STATES
    assert {"pending", "claimed"} == states.OPEN_STATES


def test_database_and_verbs_refuse_every_illegal_task_edge():
    """`completion.end` names the legal earlier statuses in its update: an ended task does not match."""
    for old in TaskStatus:
        task = make_task() if old == TaskStatus.RUNNING else make_ended(old.value)
        for new in TaskStatus:
            if (old, new) in states.TASK_EDGES:
                continue
            if old != new:
                with pytest.raises(IntegrityError), transaction.atomic():
                    end = None if new == TaskStatus.RUNNING else Now()
                    CollectionTask.objects.filter(pk=task.pk).update(status=new.value, end_time=end)
            with pytest.raises(errors.StaleClaim), transaction.atomic():
                completion.end(task.pk, new)
            assert CollectionTask.objects.get(pk=task.pk).status == old
        CollectionTask.objects.filter(status="running").delete()


def test_database_refuses_every_edge_from_a_final_item_state():
    task = make_task(stock_codes=CODES)
    for old, claim in zip(sorted(states.FINAL_STATES), lifecycle.claim(make_lane(task), 3), strict=True):
        lifecycle.record(claim, Outcome(ItemState(old)))
        item = CollectionItem.objects.filter(task=task, state=old)
        for new in set(ItemState) - {old}:
            with pytest.raises(IntegrityError), transaction.atomic():
                item.update(state=new)
        assert item.count() == 1


@pytest.mark.parametrize("status", ENDED)
def test_no_verb_changes_an_ended_task(status):
    task = make_task(stock_codes=("000001", "000002"))
    lane = make_lane(task)
    claim = lifecycle.claim(lane, 1)[0]
    _end(task, status)
    before = _snapshot(task)
    calls = {
        "cancel": lambda: lifecycle.cancel(task.pk, ACTOR),
        "pause": lambda: lifecycle.pause(task.pk, ACTOR),
        "resume": lambda: lifecycle.resume(task.pk, ACTOR),
        "fail": lambda: lifecycle.fail(task.pk, "x", "x"),
        "rescue": lambda: lifecycle.rescue(task.pk),
        "begin": lambda: lifecycle.begin(task.pk, 0, lane.generation, "w"),
        "claim": lambda: lifecycle.claim(lane, 1),
        "record": lambda: lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=5)),
        "hand_back": lambda: lifecycle.requeue(claim, "x", "x", 0),
        "beat": lambda: lifecycle.beat(lane),
        "close": lambda: lifecycle.close(lane),
        "rescue_lane": lambda: lifecycle.rescue_lane(lane, 1),
    }
    for verb, call in calls.items():
        with pytest.raises((errors.StaleClaim, errors.TaskNotRunning)):
            _atomic(call)
        assert _snapshot(task) == before, verb


@any_database
def test_cancel_releases_items_and_is_recorded():
    user = make_user()
    task = make_task()
    make_claim(task)
    cancelled = lifecycle.cancel(task.pk, Actor(ACTOR.channel, user))
    assert cancelled.status == "cancelled"
    assert cancelled.end_time is not None
    assert set(task.items.values_list("state", flat=True)) == {"pending"}
    event = task.events.get(kind=EventKind.CANCELLED)
    assert (event.user, event.user_name, event.channel) == (user, "ann", "command")


@any_database
def test_last_stock_completes_the_task():
    task = make_task()
    finish(task, collected=10, skipped=1)
    task.refresh_from_db()
    assert (task.status, task.processed_stocks, task.success_count) == ("completed", 3, 3)
    assert (task.collected_count, task.skipped_count) == (30, 3)
    assert task.events.filter(kind=EventKind.COMPLETED).exists()


@any_database
def test_task_fails_when_every_stock_failed():
    task = make_task()
    finish(task, ItemState.FAILED, error_code="unknown_stock", error_message="no such stock")
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "all_failed")
    assert "000001: no such stock" in task.error_message


@any_database
def test_task_with_one_success_completes():
    task = make_task(stock_codes=("000001", "000002"))
    bad, good = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(bad, Outcome(ItemState.FAILED))
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED))
    task.refresh_from_db()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 1)


def test_record_with_a_stale_fence_writes_nothing():
    task = make_task()
    claim = make_claim(task)
    CollectionItem.objects.filter(pk=claim.item_id).update(fence=claim.fence + 1)
    with pytest.raises(errors.StaleClaim):
        _atomic(lambda: lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=9)))
    task.refresh_from_db()
    assert (task.processed_stocks, task.collected_count) == (0, 0)


@any_database
def test_stock_is_recorded_once():
    task = make_task()
    claim = make_claim(task)
    lifecycle.record(claim, Outcome(ItemState.SUCCEEDED))
    with pytest.raises(errors.StaleClaim):
        _atomic(lambda: lifecycle.record(claim, Outcome(ItemState.SUCCEEDED)))
    task.refresh_from_db()
    assert task.processed_stocks == 1


def test_job_delivered_twice_begins_once():
    task = make_task()
    lane = make_lane(task)
    with pytest.raises(errors.StaleClaim):
        lifecycle.begin(task.pk, lane.number, lane.generation, "copy")


@any_database
def test_job_of_an_older_generation_is_stale():
    task = make_task()
    lane = make_lane(task)
    lifecycle.close(lane)
    with pytest.raises(errors.StaleClaim):
        lifecycle.begin(task.pk, lane.number, lane.generation, "late")


@any_database
def test_close_releases_items_and_queues_successor():
    task = make_task()
    lane = make_lane(task)
    lifecycle.claim(lane, 2)
    jobs = OrmQ.objects.count()
    lifecycle.close(lane)
    assert set(task.items.values_list("state", "attempts")) == {("pending", 0)}
    assert OrmQ.objects.count() == jobs + 1


def test_lanes_never_claim_the_same_stock():
    task = make_task()
    first = lifecycle.claim(make_lane(task, 0), 2)
    second = lifecycle.claim(make_lane(task, 1), 2)
    assert {c.code for c in first} | {c.code for c in second} == {"000001", "000002", "000003"}
    assert len(first) + len(second) == 3


def test_requeued_stock_waits_for_its_delay():
    task = make_task(stock_codes=("000001",))
    lane = make_lane(task)
    lifecycle.requeue(lifecycle.claim(lane, 1)[0], "busy", "later", delay=60)
    assert lifecycle.claim(lane, 1) == []
    CollectionItem.objects.update(not_before=Now())
    assert lifecycle.claim(lane, 1)[0].attempts == 2


def test_requeue_delay_is_capped(settings):
    task = make_task(stock_codes=("000001",))
    lifecycle.requeue(make_claim(task), "busy", "later", delay=24 * 3600)
    longest = Now() + timedelta(seconds=settings.COLLECTOR.backoff_max * 1.5)
    assert task.items.filter(not_before__gt=Now(), not_before__lte=longest).exists()


def test_rescue_releases_items_and_rearms_lane():
    task = make_task()
    claim = make_claim(task)
    _expire_leases(task)
    lifecycle.rescue(task.pk)
    item = CollectionItem.objects.get(pk=claim.item_id)
    assert (item.state, item.error_code, item.attempts) == ("pending", "worker_lost", 0)
    assert CollectionLane.objects.get(task=task, number=0).generation == claim.lane.generation + 1
    assert TaskEvent.objects.get(kind=EventKind.RESCUED).params == {"codes": [claim.code]}


@any_database
def test_rescue_leaves_a_living_worker_alone():
    task = make_task()
    claim = make_claim(task)
    lifecycle.rescue(task.pk)
    assert claim.item.exists()
    assert claim.lane.row.filter(begun=True).exists()


@any_database
def test_rescue_is_idempotent():
    task = make_task()
    _expire_leases(task)
    lifecycle.rescue(task.pk)
    jobs, lanes = OrmQ.objects.count(), _lanes(task)
    lifecycle.rescue(task.pk)
    assert (OrmQ.objects.count(), _lanes(task)) == (jobs, lanes)


@any_database
def test_lost_workers_stocks_keep_their_attempts():
    task = make_task()
    lane = make_lane(task)
    lifecycle.claim(lane, 3)
    lifecycle.rescue_lane(lane, -signal.SIGKILL)
    assert set(task.items.values_list("state", "attempts", "losses")) == {("pending", 0, 1)}
    message = "Workers lost while they collected only this stock: 0. The last worker lost with it "
    assert task.items.first().error_message == f"{message}was killed by SIGKILL."


def test_stock_that_fills_the_memory_of_its_worker_alone_fails_at_once():
    task = make_task()
    lane = make_lane(task)
    lifecycle.claim(lane, 3)
    lifecycle.rescue_lane(lane, lifecycle.OUT_OF_MEMORY)
    assert set(task.items.values_list("state", "attempts", "losses")) == {("pending", 0, 1)}
    lane = make_lane(task)
    (claim,) = lifecycle.claim(lane, 3)
    lifecycle.rescue_lane(lane, lifecycle.OUT_OF_MEMORY)
    item = task.items.get(code=claim.code)
    assert (item.state, item.losses, item.error_code) == ("failed", 2, "memory_limit")
    assert item.error_message.startswith("The request filled the worker's memory")


@any_database
def test_suspect_is_claimed_alone():
    task = make_task(stock_codes=CODES)
    _make_suspects(task, 2)
    lane = make_lane(task)
    assert [claim.code for claim in lifecycle.claim(lane, 4)] == [CODES[0]]
    assert lifecycle.claim(lane, 4) == []


@any_database
def test_lane_that_holds_a_stock_takes_no_suspect():
    task = make_task(stock_codes=CODES)
    lane = make_lane(task)
    lifecycle.claim(lane, 1)
    CollectionItem.objects.filter(code=CODES[1]).update(losses=1)
    assert [claim.code for claim in lifecycle.claim(lane, 2)] == [CODES[2], CODES[3]]


@any_database
def test_busy_worker_takes_no_suspect():
    task = make_task(stock_codes=CODES)
    _make_suspects(task, 2)
    lane = make_lane(task)
    assert [claim.code for claim in lifecycle.claim(lane, 1, may_isolate=False)] == [CODES[2]]


def test_one_lane_takes_suspects_while_other_stocks_are_due():
    task = make_task(stock_codes=CODES)
    _make_suspects(task, 2)
    first, second = make_lane(task, 0), make_lane(task, 1)
    assert [claim.code for claim in lifecycle.claim(first, 2)] == [CODES[0]]
    others = lifecycle.claim(second, 2)
    assert [claim.code for claim in others] == [CODES[2], CODES[3]]
    for claim in others:
        lifecycle.record(claim, Outcome(ItemState.SUCCEEDED))
    assert [claim.code for claim in lifecycle.claim(second, 2)] == [CODES[1]]


@any_database
def test_record_claims_no_suspect():
    task = make_task(stock_codes=CODES)
    lane = make_lane(task)
    claim = lifecycle.claim(lane, 1)[0]
    CollectionItem.objects.filter(code=CODES[1]).update(losses=1)
    following = lifecycle.record_and_claim(claim, Outcome(ItemState.SUCCEEDED), 1)
    assert [claim.code for claim in following] == [CODES[2]]


def test_database_refuses_two_suspects_in_one_lane():
    task = make_task()
    lifecycle.claim(make_lane(task), 2)
    with pytest.raises(IntegrityError), transaction.atomic():
        CollectionItem.objects.filter(state="claimed").update(losses=1)


@any_database
def test_stock_fails_after_three_losses_in_isolation():
    task = make_task(stock_codes=("000001", "000002"))
    for _ in range(4):
        _lose(task, limit=1)
    item = task.items.get(code="000001")
    assert (item.state, item.error_code, item.attempts, item.losses) == ("failed", "worker_lost", 3, 4)
    assert "only this stock: 3. The last worker lost with it exited with" in item.error_message
    finish(task)
    task.refresh_from_db()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 1)


@any_database
def test_worker_that_lived_is_not_told_as_a_lost_one():
    task = make_task(stock_codes=("000001",))
    lane = make_lane(task)
    (claim,) = lifecycle.claim(lane, 1)
    lifecycle.suspect(claim, "memory_limit", "The worker ran out of memory.")
    lifecycle.close(lane)
    for _ in range(3):
        _lose(task, limit=1)
    item = task.items.get()
    assert (item.state, item.attempts, item.losses) == ("failed", 3, 4)
    assert item.error_message.startswith("Workers lost while they collected only this stock: 3. ")


@any_database
def test_stock_never_fails_before_three_losses_in_isolation():
    """Its attempts were used up by errors of the source; its workers may have been killed from outside."""
    task = make_task(stock_codes=("000001",))
    for _ in range(2):
        lane = make_lane(task)
        lifecycle.requeue(lifecycle.claim(lane, 1)[0], "timeout", "late", delay=0)
        lifecycle.close(lane)
    for _ in range(3):
        _lose(task)
    assert task.items.values_list("state", "attempts", "losses").get() == ("pending", 2, 3)
    _lose(task)
    assert task.items.values_list("state", "attempts", "losses").get() == ("failed", 3, 4)


def test_suspect_waits_between_its_attempts():
    task = make_task(stock_codes=("000001",))
    _lose(task)
    lane = make_lane(task)
    lifecycle.claim(lane, 1)
    lifecycle.rescue_lane(lane, 1)
    assert task.items.filter(state="pending", not_before__gt=Now()).exists()


@any_database
def test_dead_worker_releases_its_lane_at_once():
    task = make_task()
    lane = make_lane(task)
    claim = lifecycle.claim(lane, 1)[0]
    lifecycle.rescue_lane(lane, -signal.SIGKILL)
    assert not claim.item.exists()
    assert CollectionLane.objects.get(task=task, number=0).generation == lane.generation + 1


@any_database
@pytest.mark.parametrize("state", ["closed", "begun by another slice"])
def test_report_of_a_dead_worker_leaves_other_slices_alone(state):
    task = make_task()
    old = make_lane(task)
    lifecycle.close(old)
    claim = make_claim(task) if state == "begun by another slice" else None
    before = _snapshot(task)
    with pytest.raises(errors.StaleClaim):
        lifecycle.rescue_lane(old, -signal.SIGKILL)
    assert _snapshot(task) == before
    assert claim is None or claim.item.exists()


@any_database
def test_start_ends_a_task_whose_stocks_were_lost():
    """A start rescues the running task first; here its stock was lost with its last attempt."""
    old = make_task(stock_codes=("000001",))
    for _ in range(3):
        _lose(old)
    lifecycle.claim(make_lane(old), 3)
    _expire_leases(old)
    new = make_task()
    old.refresh_from_db()
    assert (old.status, old.error_code, old.failed_count) == ("failed", "all_failed", 1)
    assert CollectionTask.objects.get(status="running") == new


def test_abandoned_task_fails_and_frees_the_slot():
    task = make_task()
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    assert make_task(stock_codes=("000009",)).status == "running"
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "no_worker")
    assert "900" in task.error_message


@any_database
def test_returning_workers_continue_the_task():
    task = make_task()
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    lifecycle.rescue(task.pk, watched=899.0)
    task.refresh_from_db()
    assert task.status == "running"
    lifecycle.rescue(task.pk, watched=900.0)
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "no_worker")


@any_database
def test_watchdog_counts_only_observed_silence(monkeypatch):
    task, silence, clock = make_task(), watchdog.SilenceTimer(), [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: clock[0])
    heard = []
    for passed in (0, 2, 2, 3600):  # the database was away for an hour
        clock[0] += passed
        heard.append(silence.seconds(task))
    assert heard == [0.0, 2.0, 4.0, 4.0 + watchdog.LONGEST_GAP]
    task.heartbeat_at += timedelta(seconds=1)
    assert silence.seconds(task) == 0.0


@any_database
def test_task_with_waiting_stocks_is_not_abandoned():
    task = make_task(stock_codes=("000001",))
    lifecycle.requeue(make_claim(task), "busy", "later", delay=3600)
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    lifecycle.rescue(task.pk)
    task.refresh_from_db()
    assert task.status == "running"
    assert not selectors.is_unattended(task)


@any_database
def test_silent_task_is_unattended():
    task = make_task()
    assert not selectors.is_unattended(task)
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    task.refresh_from_db()
    assert selectors.is_unattended(task)


def test_whole_market_is_planned_by_one_slice():
    task = make_task(stock_codes=None)
    assert (task.total_stocks, task.planned_at, OrmQ.objects.count()) == (0, None, 1)
    lane = make_lane(task)
    lifecycle.plan(lane, ["000001", "000002", "000003"])
    task.refresh_from_db()
    assert task.total_stocks == 3
    assert OrmQ.objects.count() == 2


@any_database
def test_empty_plan_completes_at_once():
    task = make_task(stock_codes=None)
    lifecycle.plan(make_lane(task), [])
    task.refresh_from_db()
    assert task.status == "completed"


@any_database
def test_plan_fails_after_ten_lost_workers():
    task = make_task(stock_codes=None)
    for _ in range(10):
        make_lane(task)
        _expire_leases(task)
        lifecycle.rescue(task.pk)
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "plan_lost")
    assert task.error_message.endswith("The last one did not report until its lease expired.")


def test_plan_that_always_fails_names_the_error(monkeypatch):
    monkeypatch.setattr(recovery, "PLAN_ATTEMPTS", 2)
    task = make_task(stock_codes=None)
    for _ in range(2):
        lifecycle.abort(make_lane(task), "ConnectionError")
        lifecycle.rescue(task.pk)
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "plan_lost")
    assert task.error_message.endswith("The last one failed with ConnectionError.")


@any_database
def test_plan_never_begun_counts_no_lost_worker(monkeypatch):
    monkeypatch.setattr(recovery, "PLAN_ATTEMPTS", 2)
    task = make_task(stock_codes=None)
    for _ in range(3):
        _expire_leases(task)
        lifecycle.rescue(task.pk)
    assert CollectionTask.objects.get().status == "running"
    assert not task.events.filter(kind=EventKind.RESCUED).exists()
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    lifecycle.rescue(task.pk)
    assert CollectionTask.objects.get().error_code == "no_worker"


def test_beat_is_activity_but_begin_is_not():
    task = make_task()
    CollectionTask.objects.update(heartbeat_at="2020-01-01T00:00:00Z")
    lane = make_lane(task)
    assert CollectionTask.objects.get().heartbeat_at.year == 2020
    lifecycle.beat(lane)
    assert CollectionTask.objects.get().heartbeat_at.year > 2020


@any_database
def test_start_succeeds_when_running_task_just_ended(monkeypatch):
    old, rescue = make_task(), slot.rescue

    def late(task_id):
        finish(old)
        rescue(task_id)

    monkeypatch.setattr(slot, "rescue", late)
    new = make_task()
    old.refresh_from_db()
    assert (old.status, new.status) == ("completed", "running")


@pytest.mark.parametrize(
    ("model", "column"),
    [(CollectionItem, "task_id"), (CollectionLane, "task_id"), (CollectionTask, "created_by_id")],
)
def test_foreign_keys_lead_an_index(model, column):
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
    firsts = [one["columns"][0] for one in found.values() if one["index"] or one["unique"]]
    assert column in firsts
    assert [column] not in [one["columns"] for one in found.values() if one["index"]]


def test_retry_takes_failed_and_unprocessed_stocks():
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.cancel(task.pk, ACTOR)
    new = lifecycle.retry(task.pk, ACTOR)
    assert list(new.items.values_list("code", flat=True)) == ["000002", "000003"]
    assert new.retry_of == task
    assert task.events.get(kind=EventKind.RETRIED).params["by"] == str(new.pk)


@any_database
def test_retry_by_error_code_takes_only_those():
    task = make_task()
    first, second, third = lifecycle.claim(make_lane(task), 3)
    lifecycle.record(first, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.record(second, Outcome(ItemState.FAILED, error_code="unknown_stock"))
    lifecycle.record(third, Outcome(ItemState.SUCCEEDED))
    assert list(lifecycle.retry(task.pk, ACTOR, "timeout").items.values_list("code", flat=True)) == ["000001"]


@any_database
def test_retry_is_refused_if_running_or_nothing_left():
    done = make_ended("completed")
    with pytest.raises(errors.NothingToRetry):
        lifecycle.retry(done.pk, ACTOR)
    failed = make_ended("failed")
    running = make_task()
    with pytest.raises(errors.TaskAlreadyRunning):
        lifecycle.retry(failed.pk, ACTOR)
    with pytest.raises(errors.TaskStillRunning):
        lifecycle.retry(running.pk, ACTOR)


@any_database
def test_retry_from_a_missing_source_is_refused(settings):
    plain = settings.COLLECTOR
    settings.COLLECTOR = with_broken_source(plain)
    old = make_ended("failed", source="broken")
    settings.COLLECTOR = plain
    with pytest.raises(errors.UnknownSource) as start:
        make_task(source="broken")
    with pytest.raises(errors.UnknownSource) as retry:
        lifecycle.retry(old.pk, ACTOR)
    assert str(retry.value) == str(start.value)


@any_database
def test_same_idempotency_key_returns_same_task():
    actor = Actor(ACTOR.channel, make_user())
    first = lifecycle.start(make_order(), actor, today=TODAY, idempotency_key="k")
    assert lifecycle.start(make_order(), actor, today=TODAY, idempotency_key="k") == first
    with pytest.raises(errors.IdempotencyConflict):
        lifecycle.start(make_order(test_mode=True), actor, today=TODAY, idempotency_key="k")


def test_database_refuses_a_second_running_task():
    make_task()
    with pytest.raises(IntegrityError), transaction.atomic():
        CollectionTask.objects.create(start_date=TODAY, end_date=TODAY, market="SIM", source="simulated")


def test_database_refuses_an_inconsistent_task():
    task = make_task()
    for change in (
        {"status": "paused", "end_time": Now()},
        {"success_count": 1},
        {"processed_stocks": 4, "success_count": 4},
        {"end_time": Now()},
        {"start_date": "2030-01-01"},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            CollectionTask.objects.filter(pk=task.pk).update(**change)


def test_database_refuses_a_falling_counter():
    task = make_task()
    lifecycle.record(make_claim(task), Outcome(ItemState.SUCCEEDED))
    with pytest.raises(IntegrityError), transaction.atomic():
        CollectionTask.objects.filter(pk=task.pk).update(processed_stocks=0, success_count=0)


def test_triggers_exist_after_migrate():
    from tasks_app.db import triggers

    triggers.install()
    with connection.cursor() as cursor:
        catalogue = "sqlite_master WHERE type = 'trigger'" if connection.vendor == "sqlite" else "pg_trigger"
        name = "name" if connection.vendor == "sqlite" else "tgname"
        cursor.execute(f"SELECT {name} FROM {catalogue}")
        found = {row[0] for row in cursor.fetchall()}
    assert {"tasks_app_task_is_final", "tasks_app_item_is_final"} <= found


def _atomic(call):
    with transaction.atomic():
        call()


def _end(task, status):
    if status == "cancelled":
        lifecycle.cancel(task.pk, ACTOR)
    elif status == "failed":
        lifecycle.fail(task.pk, "broken", "It is broken.")
    else:
        lane = Lane(task.pk, 0, CollectionLane.objects.get(task=task, number=0).generation)
        CollectionItem.objects.filter(task=task, state="claimed").update(
            state="pending", lane=None, lease_until=None
        )
        for claim in lifecycle.claim(lane, 10):
            lifecycle.record(claim, Outcome(ItemState.SUCCEEDED))


def _snapshot(task):
    return (
        CollectionTask.objects.filter(pk=task.pk).values().get(),
        list(task.items.order_by("pk").values()),
        task.events.count(),
    )


def _make_suspects(task, count):
    """Has a worker lost that holds the task's first stocks."""
    lane = make_lane(task)
    lifecycle.claim(lane, count)
    lifecycle.rescue_lane(lane, -signal.SIGKILL)


def _lose(task, limit=3):
    """Has a worker lost that holds what it can claim; no stock waits for its next attempt."""
    lane = make_lane(task)
    assert lifecycle.claim(lane, limit)
    lifecycle.rescue_lane(lane, 1)
    task.items.filter(state="pending").update(not_before=None)
    with suppress(errors.StaleClaim):  # it was the last stock
        lifecycle.rescue(task.pk)


def _expire_leases(task):
    """Expires every lease of the task."""
    past = "2020-01-01T00:00:00Z"
    CollectionItem.objects.filter(task=task, state="claimed").update(lease_until=past)
    CollectionLane.objects.filter(task=task, lease_until__isnull=False).update(lease_until=past)


def _lanes(task):
    return list(
        CollectionLane.objects.filter(task=task).order_by("number").values_list("number", "generation")
    )
