"""A task that no worker comes for says so on its page, and how long it will wait."""

from dataclasses import replace

import pytest

from tasks_app import lifecycle
from tests.admin.helpers import TASKS, insert_ended, superuser_client, text_of, url
from tests.factories import ACTOR, age_heartbeat, make_lane, make_task

pytestmark = pytest.mark.django_db
SAID = "No worker is processing this task"


@pytest.fixture
def page():
    client = superuser_client()
    return lambda task: text_of(client.get(url(f"{TASKS}_change", task.pk)))


def test_new_task_warns_of_missing_workers_after_a_while(page, settings):
    task = make_task()
    assert SAID not in page(task)
    age_heartbeat(task, settings.COLLECTOR.no_worker_after + 1)
    text = page(task)
    assert SAID in text
    assert "python manage.py worker" in text


def test_warning_names_when_the_task_fails(page, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, abandon_after=5400.0)
    task = make_task()
    age_heartbeat(task, 3600)
    assert "Without a worker the task fails after 1 h 30 min." in page(task)


def test_worker_ends_the_warning(page, settings):
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.no_worker_after + 1)
    assert SAID in page(task)
    lifecycle.beat(make_lane(task))
    assert SAID not in page(task)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_ended_task_shows_no_warning(page, status):
    task = insert_ended(status)
    age_heartbeat(task, 86_400)
    assert SAID not in page(task)


def test_unattended_task_can_be_cancelled(page, settings):
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.no_worker_after + 1)
    assert "Cancel the task" in page(task)
    assert lifecycle.cancel(task.pk, ACTOR).status == "cancelled"
    assert SAID not in page(task)


def test_abandoned_task_page_shows_the_reason(page, settings):
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.abandon_after + 1)
    lifecycle.rescue(task.pk)
    text = page(task)
    assert "Why it failed no_worker" in text
    assert SAID not in text


@pytest.mark.parametrize("name", [f"{TASKS}_changelist", "index", "start"])
def test_task_that_no_worker_will_finish_is_ended_by_every_page(name, settings, own_cache):
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.abandon_after + 1)
    superuser_client().get(url(name))
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "no_worker")
