"""Factories of orders, tasks, claims, plans and users."""

import time as time_module
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from threading import Barrier, Thread
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from django.utils import timezone
from django.utils.crypto import get_random_string

from tasks_app import lifecycle
from tasks_app.history.versions import read_numbers
from tasks_app.lifecycle import Claim, Lane, Outcome, order_queue
from tasks_app.lifecycle.events import Actor
from tasks_app.models import (
    CollectionItem,
    CollectionLane,
    CollectionPlan,
    CollectionTask,
    QueuedOrder,
    RecordedCall,
)
from tasks_app.models.events import Channel
from tasks_app.models.priorities import Priority
from tasks_app.models.states import ItemState
from tasks_app.orders.order import Order
from tasks_app.quotes.raw_answers import SourceCallRecord, save
from tasks_app.sources.raw_answers import record, recording
from tasks_app.workers import plan_scheduler

TODAY = date(2026, 1, 2)
ACTOR = Actor(Channel.COMMAND)


def make_order(**fields: Any) -> Order:
    """Returns an order for three stocks of the simulated exchange; `fields` override it."""
    defaults: dict[str, Any] = {
        "start_date": date(2024, 1, 1),
        "end_date": date(2024, 12, 31),
        "stock_codes": ("000001", "000002", "000003"),
        "source": "simulated",
    }
    return Order(**{**defaults, **fields})


def make_task(**fields: Any) -> CollectionTask:
    """Returns a running task, started by `lifecycle.start`."""
    priority = fields.pop("priority", Priority.NORMAL)
    return lifecycle.start(make_order(**fields), ACTOR, today=TODAY, priority=priority)


def make_lane(task: CollectionTask, number: int = 0) -> Lane:
    """Begins the task's lane, as a worker does."""
    row = CollectionLane.objects.get(task=task, number=number)
    return lifecycle.begin(task.pk, number, row.generation, "test")


def make_claim(task: CollectionTask) -> Claim:
    """Claims one stock."""
    return lifecycle.claim(make_lane(task), 1)[0]


def make_ended(status: str, **fields: Any) -> CollectionTask:
    """Returns a task that has ended as `status`, by the verbs that lead there."""
    task = make_task(**{"stock_codes": ("000001",), **fields})
    if status == "cancelled":
        lifecycle.cancel(task.pk, ACTOR)
    else:
        state = ItemState.SUCCEEDED if status == "completed" else ItemState.FAILED
        finish(task, state)
    task.refresh_from_db()
    assert task.status == status
    return task


def finish(task: CollectionTask, state: ItemState = ItemState.SUCCEEDED, **outcome: Any) -> None:
    """Records every stock of the task with the same outcome."""
    lane = make_lane(task)
    for claim in lifecycle.claim(lane, 10_000):
        lifecycle.record(claim, Outcome(state, **outcome))


def make_outcome(outcome: str) -> CollectionTask:
    """Returns a completed task of two stocks with this outcome."""
    task, bars = (
        make_task(stock_codes=("000001", "000002")),
        {"complete": 3, "with_failures": 3}.get(outcome, 0),
    )
    first, second = lifecycle.claim(make_lane(task), 2)
    skipped = 3 if outcome == "nothing_new" else 0
    lifecycle.record(first, Outcome(ItemState.SUCCEEDED, collected=bars, skipped=skipped))
    failed = outcome == "with_failures"
    last = Outcome(ItemState.FAILED, error_code="timeout") if failed else Outcome(ItemState.SUCCEEDED)
    lifecycle.record(second, last)
    task.refresh_from_db()
    assert task.outcome == outcome
    return task


def age_heartbeat(task: CollectionTask, seconds: float) -> None:
    """Moves the task's last heartbeat back by so many seconds."""
    earlier = F("heartbeat_at") - timedelta(seconds=seconds)
    CollectionTask.objects.filter(pk=task.pk).update(heartbeat_at=earlier)


def make_user(name: str = "ann", *permissions: str, **fields: Any) -> User:
    """Creates a user with some of the app's permissions, by codename."""
    user = User(username=name, password=make_password("pass-word-1"), **fields)
    User.objects.bulk_create([user])  # without signals: a user outside of a request would be audited
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def sign_in(client: Client, user: User) -> None:
    """Gives a client a session of the user's by one query; its `force_login` takes eight."""
    data = {
        SESSION_KEY: str(user.pk),
        BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
        HASH_SESSION_KEY: user.get_session_auth_hash(),
    }
    key = get_random_string(32)
    Session.objects.save(key, data, timezone.now() + timedelta(days=1))
    client.cookies[settings.SESSION_COOKIE_NAME] = key


def make_run(
    total: int, ages: Sequence[float], *, planned: float, failed: int = 0, now: datetime | None = None
) -> CollectionTask:
    """Returns a running task, planned `planned` seconds ago.

    Its first stocks ended `ages` seconds ago, and the first `failed` of them failed; the others are pending.
    """
    now = now or timezone.now()
    task = make_task(stock_codes=None)
    ends = [now - timedelta(seconds=age) for age in ages]
    items = [CollectionItem(task=task, position=n, code=f"{n + 1:06d}") for n in range(total)]
    for number, (item, end) in enumerate(zip(items, ends, strict=False)):
        item.state = ItemState.FAILED if number < failed else ItemState.SUCCEEDED
        item.error_code = "timeout" if number < failed else ""
        item.attempts, item.started_at, item.finished_at = 1, end - timedelta(seconds=1), end
    CollectionItem.objects.bulk_create(items, batch_size=500)
    CollectionTask.objects.filter(pk=task.pk).update(
        total_stocks=total,
        processed_stocks=len(ends),
        success_count=len(ends) - failed,
        failed_count=failed,
        start_time=now - timedelta(seconds=planned),
        planned_at=now - timedelta(seconds=planned),
    )
    task.refresh_from_db()
    return task


def make_plan(**fields: Any) -> CollectionPlan:
    """Creates a daily plan of three stocks of the simulated exchange, due since a minute ago."""
    defaults = {
        "name": "nightly",
        "market": "CN",
        "source": "simulated",
        "stock_codes": ["000001", "000002", "000003"],
        "at": time(18),
        "rhythm": "daily",
        "next_at": timezone.now() - timedelta(minutes=1),
    }
    return CollectionPlan.objects.create(**{**defaults, **fields})


def make_yielded(done: int = 1, **fields: Any) -> CollectionTask:
    """Returns a task of a low priority that yielded to a due plan, whose task now runs.

    The first `done` of its three stocks had succeeded.
    """
    task = make_task(**{"priority": Priority.LOW, **fields})
    lane = make_lane(task)
    for claim in lifecycle.claim(lane, done):
        lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=3))
    lifecycle.close(lane)
    make_plan(name=f"plan {CollectionPlan.objects.count()}", market="SIM")
    plan_scheduler.start_due()
    task.refresh_from_db()
    assert task.has_yielded
    return task


def start_next() -> CollectionTask | QueuedOrder | None:
    """Starts the first waiting order, as a watchdog's round does: once the runs of plans have gone on."""
    plan_scheduler.continue_runs()
    return order_queue.start_next()


def make_continued(**fields: Any) -> tuple[CollectionTask, CollectionTask]:
    """Returns such a task, and the running one that continues it."""
    task = make_yielded(**fields)
    finish(CollectionTask.objects.get(status="running"), collected=3)
    rest = start_next()
    assert isinstance(rest, CollectionTask)
    return task, rest


def make_queued_order(actor: Actor = ACTOR, **fields: Any) -> QueuedOrder:
    """Queues an order for three stocks of the simulated exchange, as if another task were running."""
    priority = fields.pop("priority", Priority.NORMAL)
    with patch.object(order_queue, "_must_wait", return_value=True):
        row = order_queue.start_or_queue(make_order(**fields), actor, today=TODAY, priority=priority)
    assert isinstance(row, QueuedOrder)
    return row


def make_raw_answer(item: CollectionItem, body: bytes = b'{"close": 11}') -> RecordedCall:
    """Creates a raw answer of an item of a US stock."""
    call = SourceCallRecord("sample", "US", "bars", {"codes": {item.code: item.code}})
    call.asked_at, call.first_day, call.last_day = timezone.now(), date(2000, 1, 1), date(2024, 12, 31)
    with recording(call.recording):
        asked = f"GET https://vendor.example/{item.code}?token=a-secret"
        record(asked, body, {"status": 200, "content_type": "application/json"})
    save([call], item.pk, item.code)
    return RecordedCall.objects.get(pk=call.row_id)


def run_on_hosts(count: int, action: Callable[[], object]) -> list[Exception]:
    """Runs the action in `count` threads at once, each with its own connection; returns what they raised."""
    barrier, raised = Barrier(count), []

    def host() -> None:
        try:
            barrier.wait()
            action()
        except Exception as error:
            raised.append(error)
        finally:
            connections.close_all()

    hosts = [Thread(target=host) for _ in range(count)]
    for one in hosts:
        one.start()
    for one in hosts:
        one.join()
    return raised


def settle() -> int:
    """Numbers the changes of the test's transaction, as a commit does; returns the last number.

    On SQLite it waits for the next millisecond: until then a statement may add to the last change.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    time_module.sleep(0.002)
    return read_numbers().last
