"""The System page: findings, machines and settings, for those who may inspect the system."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.admin.helpers import staff_client, text_of, url
from tests.diagnostics.faults import FAULTS

pytestmark = pytest.mark.django_db
HOST = "quotes.example.org"


def page(client, **headers):
    response = client.get(url("system"), headers={"host": HOST, **headers}, secure=True)
    assert response.status_code == 200
    return text_of(response)


@pytest.fixture
def client(site):
    return staff_client("inspect_system")


def test_well_installation(client):
    text = page(client)
    assert "All is well." in text
    assert "Active workers: 2 on here." in text
    assert "COLLECTOR_LEASE 15.0" in text


def test_faults_come_first_with_what_to_do(client, site):
    FAULTS["backups_unknown"](site)
    FAULTS["no_workers"](site)
    text = page(client)
    assert "1 fault, 1 warning" in text
    assert text.index("No active workers in the last 3 s") < text.index("COLLECTOR_BACKUP_DIR is not set")
    assert "docs/runbook.md#collectornoworkers" in text


def test_page_is_chinese(client, site):
    FAULTS["no_workers"](site)
    text = page(client, **{"accept-language": "zh-hans"})
    assert "最近 3 秒内没有活动的工作进程" in text
    assert "故障 1 项" in text


def test_queries_do_not_grow_with_machines_and_tasks(client, site):
    page(client)
    with CaptureQueriesContext(connection) as few:
        page(client)
    for _ in range(3):
        FAULTS["heartbeats_unseen"](site)
    with CaptureQueriesContext(connection) as many:
        page(client)
    assert len(many) == len(few) <= 70


def test_permission_is_needed(site):
    client = staff_client("view_collectiontask")
    response = client.get(url("system"), headers={"host": HOST}, secure=True)
    assert response.status_code == 403
    assert "Can inspect the system" in text_of(response)
