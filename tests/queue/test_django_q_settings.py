"""django-q2's traps, each avoided by a setting: a change that walks into one fails here."""

import pytest
from django.db import transaction
from django_q.conf import Conf as QConf
from django_q.models import OrmQ, Schedule

from collector_site import settings as site
from tests.factories import make_task


def test_jobs_live_in_the_applications_own_database_so_that_a_rollback_takes_them_back():
    assert site.Q_CLUSTER["orm"] == "default"


def test_no_pool_of_connections_is_forked():
    assert "pool" not in site.DATABASES["default"].get("OPTIONS", {})
    assert site.DATABASES["default"]["CONN_MAX_AGE"] >= 60, "0 connects anew for each call"


def test_heartbeats_are_shared_between_processes():
    assert "locmem" not in site.CACHES["default"]["BACKEND"]


def test_sqlite_takes_its_write_lock_before_it_reads():
    url = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
    assert site._database(url)["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_requests_open_no_transaction_of_their_own():
    assert not site.DATABASES["default"].get("ATOMIC_REQUESTS")


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("guard_cycle", 0.2),
        ("queue_limit", 0),
        ("ack_failures", False),
        ("catch_up", True),
        ("timeout", None),
    ],
)
def test_settings_that_bite_are_not_set(name, bad):
    assert site.Q_CLUSTER[name] != bad


def test_little_is_prefetched():
    assert (QConf.BULK, QConf.QUEUE_LIMIT) == (1, 2)


@pytest.mark.django_db
def test_a_slice_saves_no_result_row_and_carries_ids_only():
    task = make_task()
    job = OrmQ.objects.order_by("pk").first().task
    assert job["save"] is False
    assert job["args"] == (str(task.pk), 0, 1)
    assert "timeout" not in job, "a job's own timeout=None would crash workers for ever"


@pytest.mark.django_db
def test_the_watchdog_is_no_schedule_that_would_die_with_the_cluster():
    make_task()
    assert not Schedule.objects.exists()


@pytest.mark.django_db
def test_a_start_queues_in_its_own_transaction():
    with transaction.atomic():
        make_task()
        assert OrmQ.objects.exists()
        transaction.set_rollback(True)
    assert not OrmQ.objects.exists()
