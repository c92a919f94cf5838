"""Old tasks are deleted as a whole, in small batches; market data stays, and pages say what was deleted."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, Success

from tasks_app import errors, lifecycle
from tasks_app.lifecycle import chains, completion, retention
from tasks_app.lifecycle.retention import DeletedRows, prune
from tasks_app.models import (
    CollectionItem,
    CollectionLane,
    CollectionTask,
    Correction,
    DailyBar,
    Finding,
    Series,
    Stock,
    TaskEvent,
)
from tasks_app.models.states import ItemState
from tasks_app.workers import watchdog
from tests.admin.helpers import superuser_client, text_of, url
from tests.factories import (
    ACTOR,
    TODAY,
    finish,
    make_continued,
    make_ended,
    make_order,
    make_plan,
    make_task,
    make_user,
    run_on_hosts,
)
from tools.in_process import work

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # the pages and the command change no query of what is deleted
CODES = ("000001", "000002", "000003")
DELETED = "The task was deleted because of its age."  # the title of the word "deleted"


@pytest.fixture(autouse=True)
def fresh_watchdog(monkeypatch):
    """Makes the watchdog prune in its next round."""
    monkeypatch.setattr(watchdog, "_next_prune", 0.0)


@pytest.fixture
def retention_days(settings):
    def days(number):
        settings.COLLECTOR = replace(settings.COLLECTOR, retention_days=number)

    return days


@contextmanager
def ending(days):
    """Backdates everything that ends inside the block by `days` days."""
    began = set(CollectionTask.objects.values_list("pk", flat=True))
    with patch.object(completion, "Now", lambda: Now() - timedelta(days=days)):
        yield
    fresh = CollectionTask.objects.exclude(pk__in=began)
    fresh.update(start_time=F("start_time") - timedelta(days=days))


def make_old(status="completed", days=100, **fields):
    with ending(days):
        return make_ended(status, **{"stock_codes": CODES, **fields})


def make_collected(days=100):
    """Returns an old task that collected the bars of a stock."""
    with ending(days):
        task = make_task(stock_codes=CODES[:1])
        work()
    task.refresh_from_db()
    return task


def prune_all(days, batch=retention.BATCH):
    """Prunes until nothing is left; returns the batches."""
    batches = []
    while (gone := prune(days, batch)).total:
        batches.append(gone)
    return batches


def ids():
    return set(CollectionTask.objects.values_list("pk", flat=True))


def command(*words):
    out = StringIO()
    call_command("prune", *words, stdout=out)
    return out.getvalue()


# ---------------------------------------------------------------- what is deleted, and what is kept


@any_database
def test_every_task_is_kept_by_default():
    task = make_old(days=10_000)
    assert prune(0) == DeletedRows()
    watchdog.tick()
    assert ids() == {task.pk}


def test_old_task_is_deleted_with_its_rows():
    for status in ("completed", "failed", "cancelled"):
        make_old(status)
        assert (prune(30).tasks, prune(30)) == (1, DeletedRows())
    for model in (CollectionTask, CollectionItem, CollectionLane, TaskEvent):
        assert not model.objects.exists()


@any_database
def test_younger_task_is_kept():
    old, young = make_old(days=31), make_old(days=29)
    prune_all(30)
    assert ids() == {young.pk}
    assert young.items.count() == young.total_stocks
    assert old.pk != young.pk


def test_task_that_ended_recently_is_kept():
    task = make_old(days=1)
    CollectionTask.objects.update(start_time=F("start_time") - timedelta(days=100))
    assert prune(30) == DeletedRows()
    assert ids() == {task.pk}


@any_database
def test_running_task_is_never_deleted():
    make_task()
    CollectionTask.objects.update(start_time=F("start_time") - timedelta(days=10_000))
    assert prune(1) == DeletedRows()
    assert CollectionItem.objects.count() == len(CODES)


def make_old_chain(days=100):
    """Returns an old chain of two parts, of which the latter could not collect its three stocks."""
    with ending(days):
        task, rest = make_continued(done=0)
        finish(rest, ItemState.FAILED, error_code="timeout")
    rest.refresh_from_db()
    return task, rest


@pytest.mark.any_database  # the next test asks the same there
def test_chain_is_kept_until_its_last_part_has_expired():
    with ending(days=100):
        task, rest = make_continued(done=0)
    prune_all(30)
    assert ids() == {task.pk, rest.pk}, "it runs"
    finish(rest)
    prune_all(30)
    assert ids() == {task.pk, rest.pk}, "it has just ended"
    assert chains.chains_of([rest])[rest.pk].completed == 3


def test_expired_chain_is_deleted_as_one_and_not_retried():
    task, rest = make_old_chain()
    overtaker = ids() - {task.pk, rest.pk}
    whole, batches = chains.chains_of([rest]), []
    while {task.pk, rest.pk} & ids():
        assert chains.chains_of([rest]) == whole
        assert [retention.is_being_deleted(each) for each in (task, rest)] == [bool(batches)] * 2
        batches.append(prune(30, batch=3))
        with pytest.raises(errors.TaskNotFound):  # its deletion has begun
            lifecycle.retry(rest.pk, ACTOR)
    assert [batch.tasks for batch in batches] == [*[0] * (len(batches) - 1), 2]
    assert sum(batch.items for batch in batches) == 6
    assert ids() == overtaker


@any_database
def test_chain_whose_first_part_was_deleted_is_deleted_too():
    task, _rest = make_old_chain()
    CollectionTask.objects.filter(pk=task.pk).delete()
    prune_all(30)
    assert not ids()


def test_market_data_is_kept_unchanged():
    task = make_collected()
    item = task.items.first()
    key = {"market": "SIM", "symbol": item.code, "day": "2024-01-02", "item": item}
    Correction.objects.create(**key, before={"close": 1}, after={"close": 2}, source="simulated")
    Finding.objects.create(**key, kind="flagged", code="odd", message="Odd.")
    kept = (DailyBar, Series, Stock, Correction, Finding)
    before = [list(model.objects.order_by("pk").values()) for model in kept]
    prune_all(30)
    assert not CollectionItem.objects.exists()
    assert all(before)
    assert [list(model.objects.order_by("pk").values()) for model in kept] == before


# ---------------------------------------------------------------- how


def test_batch_size_is_respected_and_task_goes_last():
    task = make_old(stock_codes=tuple(f"{n:06d}" for n in range(1, 26)))
    rows = sum(getattr(task, name).count() for name in ("items", "events", "lanes"))
    batches = prune_all(30, batch=10)
    assert [gone.total for gone in batches[:-1]] == [10] * (rows // 10)
    assert [gone.tasks for gone in batches] == [0] * (rows // 10) + [1]
    assert (sum(gone.items for gone in batches), sum(gone.others for gone in batches)) == (25, rows - 25)


@any_database
def test_oldest_task_is_deleted_first():
    young, old = make_old(days=40), make_old(days=50)
    prune(30)
    assert (ids(), old.pk in ids()) == ({young.pk}, False)


@any_database
def test_batch_costs_a_constant_number_of_queries():
    for days in (60, 50, 40):
        make_old(days=days)
    counts = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as caught:
            prune(30)
        counts.append(len(caught))
    assert counts[0] == counts[2]


def test_oldest_task_is_found_by_an_index():
    """SQLite says so itself; PostgreSQL would not bother for a few rows, unless other ways are off."""
    make_old()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
        plan = retention.expired(30)[:1].explain()
    assert "tasks_newest_first" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


@pytest.mark.django_db(transaction=True)
def test_concurrent_hosts_delete_each_row_once():
    make_old(days=40)
    make_old_chain(days=50)
    items = CollectionItem.objects.count()
    gone = []
    assert not run_on_hosts(3, lambda: gone.extend(prune_all(30, batch=3)))
    gone.extend(prune_all(30))  # a host that finds the last task taken is content
    assert (sum(batch.tasks for batch in gone), sum(batch.items for batch in gone)) == (4, items)
    assert not ids()


# ---------------------------------------------------------------- when


@any_database
def test_watchdog_prunes_one_batch_per_round(retention_days):
    retention_days(30)
    for days in (40, 50):
        make_old(days=days)
    left = []
    for _ in range(3):
        watchdog.tick()
        left.append(len(ids()))
    assert left == [1, 0, 0]


@any_database
def test_idle_watchdog_looks_once_an_hour(retention_days, monkeypatch):
    retention_days(30)
    now = 1_000_000.0
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now)
    watchdog._prune()
    make_old()
    watchdog._prune()
    assert len(ids()) == 1
    now += watchdog.PRUNE_INTERVAL
    watchdog._prune()
    assert not ids()


def test_old_job_failures_are_always_deleted():
    old, young = timezone.now() - timedelta(days=31), timezone.now() - timedelta(days=29)
    for name, success, stopped in (("a", False, old), ("b", False, young), ("c", True, old)):
        Success.objects.create(
            id=name, name=name, func="f", started=stopped, stopped=stopped, success=success
        )
    watchdog._prune()
    assert list(Failure.objects.values_list("pk", flat=True)) == ["b"]
    assert list(Success.objects.values_list("pk", flat=True)) == ["c"]


# ---------------------------------------------------------------- pages and API afterwards


@any_database
def test_pruned_idempotency_key_starts_a_new_task():
    with ending(days=100):
        first = lifecycle.start(make_order(), ACTOR, today=TODAY, idempotency_key="k")
        lifecycle.cancel(first.pk, ACTOR)
    prune_all(30)
    again = lifecycle.start(make_order(), ACTOR, today=TODAY, idempotency_key="k")
    assert again.pk != first.pk


@any_database
def test_partly_deleted_task_is_not_retried():
    task = make_old("failed")
    prune(30, batch=2)
    with pytest.raises(errors.TaskNotFound):
        lifecycle.retry(task.pk, ACTOR)
    assert ids() == {task.pk}


@any_database
def test_page_says_that_task_is_being_deleted():
    going, next_one = make_old(days=50), make_old(days=40)
    prune(30, batch=2)
    client, sentence = superuser_client(), "This task is being deleted"
    assert sentence in text_of(client.get(url("tasks_app_collectiontask_change", going.pk)))
    assert sentence not in text_of(client.get(url("tasks_app_collectiontask_change", next_one.pk)))


@any_database
def test_task_without_stocks_is_not_being_deleted():
    with ending(days=1):
        task = make_task(stock_codes=None)
        lifecycle.cancel(task.pk, ACTOR)
    task.refresh_from_db()
    assert not retention.is_being_deleted(task)


@any_database
def test_retry_page_says_first_task_was_deleted():
    old = make_old("failed")
    new = lifecycle.retry(old.pk, ACTOR)
    page, client = url("tasks_app_collectiontask_change", new.pk), superuser_client()
    assert url("tasks_app_collectiontask_change", old.pk) in client.get(page).content.decode()
    prune_all(30)
    answer = client.get(page)
    assert f"{str(old.pk)[:8]} (deleted)" in text_of(answer)
    assert url("tasks_app_collectiontask_change", old.pk) not in answer.content.decode()


@any_database
def test_api_answers_404_for_a_pruned_task(client):
    old = make_old("failed")
    new = lifecycle.retry(old.pk, ACTOR)
    prune_all(30)
    client.force_login(make_user("ann", "view_collectiontask"))
    api = "/api/data-collection/status"
    gone, response = client.get(f"{api}/{old.pk}"), client.get(f"{api}/{new.pk}")
    assert (gone.status_code, gone.json()["code"]) == (404, "task_not_found")
    assert (response.status_code, response.json()["retry_of"]) == (200, str(old.pk))


@any_database
def test_page_of_a_pruned_task_redirects():
    task = make_old()
    prune_all(30)
    answer = superuser_client().get(url("tasks_app_collectiontask_change", task.pk), follow=True)
    assert answer.status_code == 200
    assert "doesn’t exist. Perhaps it was deleted?" in text_of(answer)


@any_database
@pytest.mark.parametrize("model", ["correction", pytest.param("finding", marks=pytest.mark.soak)])
def test_corrections_and_findings_name_deleted_task(model):
    item = make_old().items.first()
    key = {"market": "SIM", "symbol": item.code, "day": "2024-01-02", "item": item}
    Correction.objects.create(**key, before={"close": 1}, after={"close": 2}, source="simulated")
    Finding.objects.create(**key, kind="flagged", code="odd", message="Odd.")
    prune_all(30)
    client = superuser_client()
    answer = client.get(url(f"tasks_app_{model}_changelist"))
    (row,) = answer.context["cl"].result_list
    assert DELETED in answer.content.decode()
    assert DELETED in client.get(url(f"tasks_app_{model}_change", row.pk)).content.decode()


@any_database
def test_stock_page_works_without_the_bars_task():
    task = make_collected()
    stock, client = Stock.objects.get(code=CODES[0]), superuser_client()
    page, data = (url(f"tasks_app_stock_{name}", stock.pk) for name in ("change", "data"))
    assert str(task.pk) in client.get(page).content.decode()
    prune_all(30)
    assert DELETED in client.get(page).content.decode()
    response = client.get(data).json()
    assert (response["tasks"], set(response["by"])) == ([], {-1})
    assert client.get(url("tasks_app_dailybar_changelist")).status_code == 200


@any_database
def test_plan_list_says_last_task_was_deleted():
    task = make_old()
    make_plan(last_task=task, next_at=timezone.now() + timedelta(days=1))
    prune_all(30)
    answer = superuser_client().get(url("tasks_app_collectionplan_changelist"))
    assert f"{str(task.pk)[:8]} (deleted)" in text_of(answer)


@any_database
def test_overview_opens_without_any_task():
    make_old()
    prune_all(30)
    client = superuser_client()
    for page in ("index", "dashboard_live", "dashboard_overview", "start"):
        assert client.get(url(page)).status_code == 200
    assert make_task().pk in ids()  # the slot is free


# ---------------------------------------------------------------- the command


@any_database
def test_command_prunes_by_the_setting(retention_days):
    retention_days(30)
    make_old(days=40)
    kept = make_old(days=20)
    output = command()
    assert "Tasks that ended more than 30 days ago: 1; their items: 3." in output
    assert "Deleted tasks: 1; items: 3." in output
    assert ids() == {kept.pk}


@any_database
def test_command_option_overrides_the_setting(retention_days):
    retention_days(365)
    make_old(days=40)
    command("--days", "30")
    assert not ids()


@any_database
def test_command_dry_run_deletes_nothing(retention_days):
    retention_days(30)
    task = make_old(days=40)
    output = command("--dry-run")
    assert "30 days ago: 1; their items: 3." in output
    assert "Deleted" not in output
    assert ids() == {task.pk}


@any_database
def test_command_without_days_keeps_everything():
    task = make_old(days=10_000)
    assert "COLLECTOR_RETENTION_DAYS" in command()
    assert ids() == {task.pk}


@any_database
@pytest.mark.parametrize("days", ["0", "-1", "36501", "some"])
def test_command_rejects_invalid_days(days):
    with pytest.raises(CommandError):
        command("--days", days)


@any_database
def test_command_uses_the_terminal_language(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    make_old(days=40)
    assert "已删除" in command("--days", "30")
