"""Plans: when they are due, how they start, and what happens to those that can't."""

import shutil
from datetime import UTC, date, datetime, time, timedelta
from threading import Thread
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_app import errors, lifecycle
from tasks_app.db import disk_reserve, sqlite_priority
from tasks_app.models import CollectionPlan, CollectionTask
from tasks_app.orders import plans
from tasks_app.workers import plan_scheduler, watchdog
from tests.factories import ACTOR, make_ended, make_plan, make_task, make_user, run_on_hosts
from tools.worker_machine import eventually

pytestmark = pytest.mark.django_db


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "after", "due"),
    [
        ({"rhythm": "daily"}, "2026-03-10 09:59", "2026-03-10 10:00"),
        ({"rhythm": "daily"}, "2026-03-10 10:00", "2026-03-11 10:00"),
        ({"rhythm": "daily", "at": time(6)}, "2026-03-10 22:30", "2026-03-11 22:00"),
        ({"rhythm": "weekly", "weekday": 4}, "2026-03-10 09:59", "2026-03-13 10:00"),
        ({"rhythm": "weekly", "weekday": 4}, "2026-03-13 10:00", "2026-03-20 10:00"),
        ({"rhythm": "sessions"}, "2026-03-13 10:00", "2026-03-16 10:00"),  # over a week-end
        ({"rhythm": "sessions"}, "2025-09-30 10:00", "2025-10-09 10:00"),  # over the golden week
        ({"rhythm": "daily", "market": "US", "at": time(18)}, "2026-03-07 23:00", "2026-03-08 22:00"),
    ],
)
def test_next_run_follows_rhythm_in_market_time(fields, after, due):
    plan = make_plan(**fields)
    assert plans.next_run(plan, at(after)) == at(due)


def test_following_runs_begin_with_the_due_one():
    plan = make_plan(rhythm="sessions", next_at=at("2026-03-12 10:00"))
    days = [12, 13, 16, 17, 18]
    assert [run.day for run in plans.following_runs(plan, at("2026-03-11 09:00"))] == days
    late = plans.following_runs(
        plan, at("2026-03-16 10:00")
    )  # it still waits: what was missed is not made up
    assert [run.day for run in late] == [12, 17, 18, 19, 20]
    plan.next_at = None
    assert plans.following_runs(plan, at("2026-03-11 09:00")) == []


@pytest.mark.parametrize(
    ("days", "due", "started", "first", "last"),
    [
        (1, "2026-03-13 10:00", "2026-03-13 10:01", date(2026, 3, 13), date(2026, 3, 13)),
        (1, "2026-03-13 10:00", "2026-03-13 17:00", date(2026, 3, 13), date(2026, 3, 14)),  # past midnight
        (5, "2026-03-11 10:00", "2026-03-13 10:00", date(2026, 3, 7), date(2026, 3, 13)),
        (1, None, "2026-03-13 10:00", date(2026, 3, 13), date(2026, 3, 13)),  # a plan that is only tried
    ],
)
def test_delayed_plan_orders_the_missed_days_too(days, due, started, first, last):
    plan = make_plan(days=days, next_at=due and at(due), enabled=bool(due))
    order = plans.build_order(plan, at(started))
    assert (order.start_date, order.end_date) == (first, last)


def test_due_plan_starts_and_is_scheduled_again():
    user = make_user("ann")
    plan = make_plan(created_by=user, days=10, force_update=True, adjust="qfq")
    due = plan.next_at.astimezone(ZoneInfo("Asia/Shanghai")).date()
    watchdog.tick()
    plan.refresh_from_db()
    task = CollectionTask.objects.get()
    assert plan.last_task == task
    assert plan.next_at > timezone.now()
    assert plan.late_runs == 0
    assert (task.market, task.source, task.adjust, task.force_update) == ("SIM", "simulated", "qfq", True)
    assert (due - task.start_date).days == 9
    assert task.stock_codes == ["000001", "000002", "000003"]
    event = task.events.first()
    assert (event.kind, event.channel, event.user_name) == ("started", "schedule", "ann")


@pytest.mark.parametrize(
    "fields", [{"next_at": None, "enabled": False}, {"next_at": timezone.now() + timedelta(hours=1)}]
)
def test_disabled_or_early_plan_does_not_start(fields):
    make_plan(**fields)
    watchdog.tick()
    assert not CollectionTask.objects.exists()


def test_plan_waits_while_a_task_runs():
    running, plan = make_task(), make_plan()
    watchdog.tick()
    plan.refresh_from_db()
    first = plan.waiting_since
    assert first is not None
    watchdog.tick()
    plan.refresh_from_db()
    assert (plan.waiting_since, plan.last_task) == (first, None)
    lifecycle.cancel(running.pk, ACTOR)
    watchdog.tick()
    plan.refresh_from_db()
    assert plan.last_task.status == "running"
    assert (plan.waiting_since, plan.late_runs) == (None, 1)


def test_plan_starts_once_after_many_missed_runs():
    make_plan(next_at=timezone.now() - timedelta(days=9))
    watchdog.tick()
    lifecycle.cancel(CollectionTask.objects.get().pk, ACTOR)
    watchdog.tick()
    assert CollectionTask.objects.count() == 1


def test_later_of_two_due_plans_waits():
    make_plan(name="early", next_at=timezone.now() - timedelta(minutes=9))
    late = make_plan(name="late")
    watchdog.tick()
    late.refresh_from_db()
    assert late.waiting_since is not None
    assert CollectionPlan.objects.get(name="early").last_task is not None


def test_invalid_order_is_stored_and_tried_next_time():
    plan = make_plan(source="gone")
    watchdog.tick()
    plan.refresh_from_db()
    assert plan.error_code == "unknown_source"
    assert "gone" in plan.error_message
    assert plan.next_at > timezone.now()
    assert not CollectionTask.objects.exists()
    CollectionPlan.objects.update(source="simulated", next_at=timezone.now() - timedelta(minutes=1))
    watchdog.tick()
    plan.refresh_from_db()
    assert (plan.error_code, plan.error_message) == ("", "")
    assert plan.last_task is not None


def test_plan_disabled_meanwhile_does_not_start():
    plan = make_plan()
    plan.now = timezone.now()
    CollectionPlan.objects.update(enabled=False, next_at=None)
    plan_scheduler._start(plan, plan.now)
    assert not CollectionTask.objects.exists()


def test_database_refuses_enabled_plan_never_due():
    with pytest.raises(IntegrityError):
        make_plan(next_at=None)


def test_round_without_due_plan_costs_one_query():
    make_plan(next_at=timezone.now() + timedelta(days=1))
    with CaptureQueriesContext(connection) as caught:
        plan_scheduler.start_due()
    assert len(caught) == 1


def test_plan_outlives_its_last_task():
    plan = make_plan(last_task=make_ended("failed"))
    CollectionTask.objects.all().delete()
    (left,) = CollectionPlan.objects.select_related("last_task")
    assert (left, left.last_task) == (plan, None)


def test_unreadable_disk_does_not_stop_plans(monkeypatch, tmp_path, caplog):
    def broken(path):
        raise OSError("Input/output error")

    monkeypatch.setattr(disk_reserve, "path", lambda: tmp_path / "ballast")
    monkeypatch.setattr(shutil, "disk_usage", broken)
    make_plan()
    watchdog.tick()
    assert CollectionTask.objects.get().status == "running"
    assert "Input/output error" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_next_run_is_computed_outside_a_transaction(monkeypatch):
    plan, next_run, locked = make_plan(), plans.next_run, []

    def look_up(plan, after):
        locked.append(connection.in_atomic_block)
        return next_run(plan, after)

    monkeypatch.setattr(plans, "next_run", look_up)
    plan_scheduler._start(plan, timezone.now())
    assert (CollectionTask.objects.count(), set(locked)) == (1, {False})


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite needs turns")
@pytest.mark.django_db(transaction=True)
def test_starting_plan_and_user_do_not_deadlock(monkeypatch):
    ended, _ = make_ended("completed"), make_plan()
    lock, take, refused = f"{sqlite_priority.database_file()}-turn", plan_scheduler._advance, []

    def cancel():
        try:
            lifecycle.cancel(ended.pk, ACTOR)
        except errors.TaskNotRunning as error:
            refused.append(error)
        finally:
            connections.close_all()

    person = Thread(target=cancel)

    def take_while_a_person_comes(plan, following):
        taken = take(plan, following)  # from here on the write lock is held
        person.start()
        until_locked(lock)
        return taken

    monkeypatch.setattr(plan_scheduler, "_advance", take_while_a_person_comes)
    plan_scheduler.start_due()
    person.join()
    assert CollectionTask.objects.filter(status="running").exists()
    assert len(refused) == 1


def until_locked(path):
    """Waits until the file is locked."""
    fcntl = pytest.importorskip("fcntl")

    def is_locked():
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False

    with open(path, "a") as file:
        eventually(is_locked, 60)


@pytest.mark.django_db(transaction=True)
def test_one_of_many_hosts_starts_the_run():
    plan = make_plan()
    assert not run_on_hosts(4, plan_scheduler.start_due)
    plan.refresh_from_db()
    assert CollectionTask.objects.count() == 1
    assert plan.last_task is not None
    assert plan.waiting_since is None


def test_order_of_a_plan_is_of_its_kind():
    plan = make_plan(kind="etf")
    assert plans.build_order(plan, plan.next_at).kind == "etf"
