"""The life cycle under interleavings chosen by hypothesis: promises 1 to 5 and 7.

Each turn is one committed step of a user, a worker, the watchdog or a fault. A worker that lost its lease
stays as a zombie and keeps trying to write, as a worker that was cut off from the database would.
"""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django_q.models import OrmQ
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasks_app import errors, lifecycle
from tasks_app.conf import Simulated
from tasks_app.engine import recorder
from tasks_app.lifecycle import Claim, Lane, Outcome, order_queue, recovery, worker_actions, yielding
from tasks_app.lifecycle.slot import locked_slot
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask, DailyBar
from tasks_app.models.priorities import Priority
from tasks_app.models.states import FINAL_STATES, ItemState
from tasks_app.quotes import upsert, validation
from tasks_app.sources.base import Bar, Request
from tests.factories import ACTOR, TODAY, make_order, make_plan
from tools.in_process import work

CODES = tuple(f"{n:06d}" for n in range(1, 4))
DAYS = [date(2024, 3, n) for n in (1, 4, 5)]
COUNTERS = ("collected", "corrected", "skipped", "refused")
COLUMNS = [field.attname for field in CollectionTask._meta.concrete_fields]
PAST = "2020-01-01T00:00:00Z"
WEIGHTS = {
    "worker steps": 8,
    "worker begins": 3,
    "watchdog round": 2,
    "fault": 2,
    "user acts": 1,
    "a plan is due": 1,
}
TURNS = [turn for turn, weight in WEIGHTS.items() for _ in range(weight)]


class Worker:
    """A running slice with its lane and the stocks it has claimed."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.claims: list[Claim] = []


class LifeCycleMachine(RuleBasedStateMachine):
    @initialize()
    def start_first_task(self) -> None:
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.workers: list[Worker] = []
        self.paused_work: Any = None
        self.jobs: list[OrmQ] = []
        self.ended: dict[Any, Any] = {}
        self.processed: dict[Any, int] = {}
        self.requeued: Counter[int] = Counter()  # by item: the attempts that ended with an error
        later = timezone.now() + timedelta(days=1)
        self.plan_due = make_plan(priority=Priority.HIGH, next_at=later)
        lifecycle.start(make_order(stock_codes=CODES), ACTOR, today=TODAY)

    def teardown(self) -> None:
        if hasattr(self, "transaction"):
            self.check_fresh_workers_end_the_task()
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    # One rule with weighted turns: hypothesis draws rules unevenly, and with a rule for each verb the
    # workers had so few turns that they hardly ever held a claim.

    @rule(turn=st.sampled_from(TURNS), data=st.data())
    def take_turn(self, turn: str, data: st.DataObject) -> None:
        if turn == "worker steps":
            self.step_worker(data)
        elif turn == "worker begins":
            self.begin_newest_job()
        elif turn == "watchdog round":
            self.run_watchdog(data)
        elif turn == "fault":
            self.cause_fault(data)
        elif turn == "a plan is due":
            self.overtake(data)
        else:
            self.act_as_user(data)

    def begin_newest_job(self) -> None:
        job = OrmQ.objects.order_by("pk").last()
        if job is None:
            return
        OrmQ.objects.filter(pk=job.pk).delete()
        self.jobs = [*self.jobs[-3:], job]
        self.begin_with(job)

    def step_worker(self, data: st.DataObject) -> None:
        if not self.workers:
            return
        worker = data.draw(st.sampled_from(self.workers))
        if self.is_unplanned(worker):
            self.attempt(lambda: self.plan(worker, data))
        elif not worker.claims:
            self.attempt(
                lambda: worker.claims.extend(lifecycle.claim(worker.lane, data.draw(st.integers(1, 3))))
            )
        else:
            claim = data.draw(st.sampled_from(worker.claims))
            self.STEPS[data.draw(st.sampled_from(list(self.STEPS)))](self, worker, claim)

    def plan(self, worker: Worker, data: st.DataObject) -> None:
        """Plans the task, or only some of the batches, of one item each."""
        batches = iter(range(data.draw(st.integers(0, 4))))
        with suppress(StopIteration):
            lifecycle.plan(worker.lane, data.draw(st.permutations(CODES)), lambda: next(batches) and None)

    def run_watchdog(self, data: st.DataObject) -> None:
        """Runs the watchdog, possibly after a time without heartbeats."""
        if data.draw(st.booleans()):
            self.expire_leases()
        if running := self.running():
            lifecycle.rescue(running.pk)

    def cause_fault(self, data: st.DataObject) -> None:
        kind = data.draw(
            st.sampled_from(
                ["job copy", "worker death", "death is noticed", "leases expire", "delays end", "queue lost"]
            )
        )
        if kind == "job copy" and self.jobs:
            self.begin_with(data.draw(st.sampled_from(self.jobs)))
        elif kind == "worker death" and self.workers:
            self.workers.remove(data.draw(st.sampled_from(self.workers)))
        elif kind == "death is noticed" and self.workers:
            dead = data.draw(st.sampled_from(self.workers))
            self.workers.remove(dead)
            self.attempt(lambda: lifecycle.rescue_lane(dead.lane, -9))
        elif kind == "leases expire":
            self.expire_leases()
        elif kind == "delays end":
            self.end_delays()
        elif kind == "queue lost":
            OrmQ.objects.all().delete()

    def act_as_user(self, data: st.DataObject) -> None:
        running = self.running()
        if running and data.draw(st.integers(0, 3)) == 0:
            lifecycle.cancel(running.pk, ACTOR)
        elif running and data.draw(st.booleans()):
            self.pause_or_resume(running)
        elif self.ended and data.draw(st.booleans()):
            self.retry(data.draw(st.sampled_from(list(self.ended))))
        else:
            self.start(data.draw(st.sampled_from([None, CODES])), running)

    def overtake(self, data: st.DataObject) -> None:
        """A plan asks the running task to yield, changes its mind, or overtakes it; then the rest goes on."""
        running = self.running()
        if running is None:
            return
        if running.yielding_at is None:
            assert yielding.ask(running.pk, self.plan_due, ACTOR) == (running.paused_at is None)
        elif data.draw(st.integers(0, 3)) == 0:
            assert yielding.resume(running.pk)
        else:
            is_held = yielding.is_held(running.pk)
            with locked_slot():
                ended = yielding.end_for(self.plan_due, ACTOR)
            assert not (ended and is_held)
            if ended:
                self.go_on_after(ended)

    def go_on_after(self, old: CollectionTask) -> None:
        rest = order_queue.start_next()
        assert isinstance(rest, CollectionTask)
        assert rest.continues_id == old.pk
        if not old.planned_at:
            return
        left = {item.code: item for item in old.items.filter(state="pending")}
        new = list(rest.items.all())
        assert {item.code for item in new} == set(left)
        for item in new:
            self.requeued[item.pk] = self.requeued[left[item.code].pk]
            assert (item.attempts, item.losses) == (left[item.code].attempts, left[item.code].losses)

    def start(self, codes: tuple[str, ...] | None, running: CollectionTask | None) -> None:
        is_free = running is None or self.is_lost(running)
        try:
            lifecycle.start(make_order(stock_codes=codes), ACTOR, today=TODAY)
            assert is_free
        except errors.TaskAlreadyRunning:
            assert not is_free

    def pause_or_resume(self, running: CollectionTask) -> None:
        """The other verb of the two changes nothing."""
        verbs = lifecycle.pause, lifecycle.resume
        right, wrong = verbs if running.paused_at is None else verbs[::-1]
        with pytest.raises((errors.TaskNotPaused, errors.TaskAlreadyPaused)):
            wrong(running.pk, ACTOR)
        right(running.pk, ACTOR)

    def retry(self, old: Any) -> None:
        with pytest.raises(errors.TaskNotRunning):
            lifecycle.cancel(old, ACTOR)
        unfinished = CollectionItem.objects.filter(task_id=old).exclude(state="succeeded")
        left = set(unfinished.values_list("code", flat=True))
        first = CollectionTask.objects.get(pk=old).chain_id
        before = CollectionItem.objects.filter(Q(task=first) | Q(task__first_part=first), state="failed")
        left |= set(before.values_list("code", flat=True))
        try:
            new = lifecycle.retry(old, ACTOR)
        except errors.TaskGoesOn:
            assert CollectionTask.objects.filter(continues=old).exists()
            return
        except (errors.NothingToRetry, errors.TaskAlreadyRunning):
            return
        assert set(new.items.values_list("code", flat=True)) == left

    def begin_with(self, job: OrmQ) -> None:
        task_id, number, generation = job.task["args"]
        lane = (UUID(task_id), number, generation)
        self.attempt(lambda: self.workers.append(Worker(lifecycle.begin(*lane, "w"))))

    def record(self, worker: Worker, claim: Claim, state: ItemState, more: int = 0) -> None:
        stale = CollectionItem.objects.get(pk=claim.item_id).fence != claim.fence
        claims: list[Claim] = []
        recorded = self.attempt(lambda: claims.extend(_write(claim, state, more)))
        assert not (recorded and stale)
        worker.claims.extend(claims)

    def requeue(self, claim: Claim, delay: float) -> None:
        self.requeued[claim.item_id] += self.attempt(lambda: lifecycle.requeue(claim, "busy", "later", delay))

    def expire_leases(self) -> None:
        CollectionItem.objects.filter(state="claimed").update(lease_until=PAST)
        CollectionLane.objects.filter(lease_until__isnull=False).update(lease_until=PAST)

    def end_delays(self) -> None:
        paused = CollectionItem.objects.filter(not_before__isnull=False, task__status="running")
        paused.update(not_before=PAST)

    STEPS = {
        "succeed": lambda self, worker, claim: self.record(worker, claim, ItemState.SUCCEEDED),
        "succeed and claim": lambda self, worker, claim: self.record(worker, claim, ItemState.SUCCEEDED, 2),
        "fail": lambda self, worker, claim: self.record(worker, claim, ItemState.FAILED),
        "try again": lambda self, worker, claim: self.requeue(claim, 0),
        "try much later": lambda self, worker, claim: self.requeue(claim, 3600),
        "claim more": lambda self, worker, claim: self.attempt(
            lambda: worker.claims.extend(lifecycle.claim(worker.lane, 1))
        ),
        "beat": lambda self, worker, claim: self.attempt(lambda: lifecycle.beat(worker.lane)),
        "close": lambda self, worker, claim: self.attempt(lambda: lifecycle.close(worker.lane)),
    }

    # Invariants after each turn

    @invariant()
    def every_promise_holds(self) -> None:
        """All of them are checked on the same rows, which are read once."""
        tasks, items = _rows()
        running = [task for task in tasks if task.status == "running"]
        assert len(running) <= 1
        self.check_ended_tasks_never_change(tasks, items)
        self.check_counters_are_sums_and_never_fall(tasks, items)
        self.check_bars_are_stored_once_per_succeeded_stock(items)
        self.check_suspects_are_held_alone(items)
        self.check_only_losses_in_isolation_cost_attempts(running, items)
        self.check_no_stock_ends_in_two_tasks_of_a_chain(tasks, items)
        for task in running:
            self.check_halted_task_gets_no_work(task, [item for item in items if item.task_id == task.pk])

    def check_ended_tasks_never_change(
        self, tasks: list[CollectionTask], items: list[CollectionItem]
    ) -> None:
        for pk, now in _snapshots([task for task in tasks if task.status != "running"], items).items():
            assert self.ended.setdefault(pk, now) == now

    def check_counters_are_sums_and_never_fall(
        self, tasks: list[CollectionTask], items: list[CollectionItem]
    ) -> None:
        for task in tasks:
            rows = [item for item in items if item.task_id == task.pk]
            states = [row.state for row in rows]
            assert task.success_count == states.count("succeeded")
            assert task.failed_count == states.count("failed")
            assert task.processed_stocks == task.success_count + task.failed_count <= task.total_stocks
            assert task.processed_stocks >= self.processed.get(task.pk, 0)
            self.processed[task.pk] = task.processed_stocks
            for name in COUNTERS:
                of_rows = sum(getattr(row, f"rows_{name}") for row in rows)
                assert getattr(task, f"{name}_count") == of_rows, name

    def check_bars_are_stored_once_per_succeeded_stock(self, items: list[CollectionItem]) -> None:
        succeeded = {item.code for item in items if item.state == "succeeded"}
        stored = DailyBar.objects.values_list("symbol", "day")
        assert sorted(stored) == sorted((code, day) for code in succeeded for day in DAYS)

    def check_suspects_are_held_alone(self, items: list[CollectionItem]) -> None:
        held = [item for item in items if item.state == "claimed"]
        lanes = Counter((item.task_id, item.lane) for item in held)
        assert all(lanes[item.task_id, item.lane] == 1 for item in held if item.losses > 0)

    def check_only_losses_in_isolation_cost_attempts(
        self, running: list[CollectionTask], items: list[CollectionItem]
    ) -> None:
        going_on = {task.pk for task in running}
        for item in items:
            ongoing = item.state != "pending"  # this attempt, or the one that ended the stock
            isolated = max(item.losses - 1, 0)
            if item.task_id in going_on:
                assert item.attempts <= self.requeued[item.pk] + isolated + ongoing
            if item.state == "failed" and item.error_code == "worker_lost":
                assert item.losses > 3

    def check_no_stock_ends_in_two_tasks_of_a_chain(
        self, tasks: list[CollectionTask], items: list[CollectionItem]
    ) -> None:
        chains = {task.pk: task.chain_id for task in tasks}
        keys = [(chains[item.task_id], item.code) for item in items if item.state in FINAL_STATES]
        assert len(set(keys)) == len(keys)

    def check_halted_task_gets_no_work(self, task: CollectionTask, items: list[CollectionItem]) -> None:
        """Neither slices nor claims begin while it is paused or yields."""
        if halted_at := task.paused_at or task.yielding_at:
            lanes = list(task.lanes.all())
            begun = sum(lane.begun for lane in lanes)
            held = {(item.pk, item.fence) for item in items if item.state == "claimed"}
            if self.paused_work and self.paused_work[0] == halted_at:
                assert begun <= self.paused_work[1]
                assert held <= self.paused_work[2]
            self.paused_work = halted_at, begun, held
            assert all(lane.begun or lane.lease_until is None for lane in lanes)

    # helpers

    def running(self) -> CollectionTask | None:
        return CollectionTask.objects.filter(status="running").first()

    def is_lost(self, task: CollectionTask) -> bool:
        """Whether a start's rescue ends the task: each open stock was lost with its last attempt."""
        if task.planned_at is None:
            is_given_up = task.events.filter(kind="rescued").count() >= recovery.PLAN_ATTEMPTS
            return is_given_up and task.paused_at is None
        unprocessed = task.items.filter(state__in=["pending", "claimed"])
        lost = unprocessed.filter(state="claimed", lease_until=PAST, attempts__gte=3, losses__gte=3)
        return unprocessed.count() == lost.count()

    def is_unplanned(self, worker: Worker) -> bool:
        return CollectionTask.objects.filter(
            pk=worker.lane.task_id, status="running", planned_at__isnull=True
        ).exists()

    def attempt(self, step: Any) -> bool:
        """Runs a worker's step; returns False if it raised `StaleClaim`, which must leave no trace."""
        before = _snapshots(*_rows())
        try:
            with transaction.atomic():
                step()
            return True
        except errors.StaleClaim:
            assert _snapshots(*_rows()) == before
            return False

    def check_fresh_workers_end_the_task(self) -> None:
        """Promises 5 and 6: whatever happened before, the watchdog and fresh workers end the task."""
        self.workers.clear()
        for _ in range(10):
            running = self.running()
            if running is None:
                return
            self.expire_leases()
            self.end_delays()
            if running.paused_at:
                lifecycle.resume(running.pk, ACTOR)
            yielding.resume(running.pk)
            lifecycle.rescue(running.pk)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    recorder.validation,
                    "validate",
                    lambda bars, request, context: validation.ValidationResult(_bars()),
                )
                work()
        raise AssertionError("the task never ends")


def _bars() -> list[Bar]:
    return [Bar(day, 10.0, 12.0, 9.0, 11.0, 100) for day in DAYS]


def _write(claim: Claim, state: ItemState, more: int) -> list[Claim]:
    """Writes as a slice does: bars, the record and the next claims in one transaction."""
    stored = upsert.UpsertResult()
    if state == ItemState.SUCCEEDED:
        request = Request("SIM", claim.code, DAYS[0], DAYS[-1])
        stored = upsert.upsert_bars(request, upsert.Provenance("simulated", claim.item_id), _bars())
    counts = {"collected": stored.collected, "corrected": stored.corrected, "skipped": stored.skipped}
    return lifecycle.record_and_claim(claim, Outcome(state, **counts), more)


def _rows() -> tuple[list[CollectionTask], list[CollectionItem]]:
    return list(CollectionTask.objects.all()), list(CollectionItem.objects.order_by("pk"))


def _snapshots(tasks: list[CollectionTask], items: list[CollectionItem]) -> dict[UUID, Any]:
    """Returns by task all that must not change once it has ended; a retry still adds an event."""
    by_task: dict[UUID, list[Any]] = {task.pk: [] for task in tasks}
    for item in items:
        if item.task_id in by_task:
            by_task[item.task_id].append(
                (item.pk, item.state, item.fence, item.attempts, item.rows_collected)
            )
    return {task.pk: ([getattr(task, name) for name in COLUMNS], by_task[task.pk]) for task in tasks}


@pytest.mark.django_db
def test_no_interleaving_breaks_a_promise(small: None) -> None:
    usual = "5" if connection.vendor == "sqlite" else "3"  # the same steps take twice as long on PostgreSQL
    quiet = settings(
        max_examples=int(os.environ.get("SOAK_EXAMPLES", usual)),
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(LifeCycleMachine, settings=quiet)


@pytest.fixture
def small(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_actions, "PLAN_BATCH", 1)
    settings.COLLECTOR = replace(settings.COLLECTOR, simulated=Simulated(stocks=3, bars=3))
