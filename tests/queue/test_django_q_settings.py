"""Settings that avoid known problems of django-q2."""

import pytest
from django.db import transaction
from django_q.conf import Conf as QConf
from django_q.models import OrmQ, Schedule

from collector_site import settings as site
from tests.factories import make_task


def test_jobs_use_the_application_database():
    assert site.Q_CLUSTER["orm"] == "default"


def test_connections_are_not_pooled():
    assert "pool" not in site.DATABASES["default"].get("OPTIONS", {})
    assert site.DATABASES["default"]["CONN_MAX_AGE"] >= 60, "0 connects anew for each call"


def test_cache_is_shared_between_processes():
    assert "locmem" not in site.CACHES["default"]["BACKEND"]


def test_sqlite_transactions_begin_immediate():
    url = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
    assert site._database(url)["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_requests_open_no_transaction():
    assert not site.DATABASES["default"].get("ATOMIC_REQUESTS")


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("ack_failures", False),
        ("catch_up", True),
        ("timeout", None),
    ],
)
def test_harmful_settings_are_not_used(name, bad):
    assert site.Q_CLUSTER[name] != bad


def test_worker_takes_one_job_at_a_time():
    assert QConf.BULK == 1


@pytest.mark.django_db
def test_slice_job_carries_ids_and_saves_no_result():
    task = make_task()
    job = OrmQ.objects.order_by("pk").first().task
    assert job["save"] is False
    assert job["args"] == (str(task.pk), 0, 1)
    assert "timeout" not in job, "a job's own timeout=None would crash workers for ever"


@pytest.mark.django_db
def test_watchdog_is_not_a_django_q2_schedule():
    make_task()
    assert not Schedule.objects.exists()


@pytest.mark.django_db
def test_start_queues_in_its_own_transaction():
    with transaction.atomic():
        make_task()
        assert OrmQ.objects.exists()
        transaction.set_rollback(True)
    assert not OrmQ.objects.exists()
