"""Targets by API: read only, with what became of their sessions."""

from decimal import Decimal

import pytest

from tasks_app.targets import judgement
from tests.api.factories import BASE, client_of
from tests.factories import make_user
from tests.targets.factories import at, make_target, seal, store

pytestmark = pytest.mark.django_db
TARGETS = f"{BASE}/targets"


@pytest.fixture
def client():
    return client_of(make_user("reader"))


def test_targets_have_their_newest_session(client):
    make_target(minimum=Decimal("99.5"))
    make_target(name="US overnight", market="US", enabled=False, days_after=1, source="tiingo")
    store("600000", None)
    judgement.judge(at("30 18:00"))
    first, second = client.get(TARGETS).json()
    assert (first["name"], first["minimum"], first["source"], first["at"]) == (
        "A-shares",
        99.5,
        None,
        "17:30",
    )
    assert (first["time_zone"], first["last"]["state"]) == ("Asia/Shanghai", "pending")
    assert (first["last"]["missing"], first["last"]["late_seconds"]) == (1, None)
    assert (second["name"], second["source"], second["last"]) == ("US overnight", "tiingo", None)
    assert [row["name"] for row in client.get(f"{TARGETS}?enabled=0").json()] == ["US overnight"]
    assert [row["name"] for row in client.get(f"{TARGETS}?market=cn").json()] == ["A-shares"]


def test_sessions_are_newest_first_in_pages(client):
    target = make_target()
    seal(at("30 17:45"))
    judgement.judge(at("05-06 12:00"))
    path = f"{TARGETS}/{target.pk}/sessions"
    newest, oldest = client.get(path).json()
    assert (newest["session"], newest["state"], newest["bars"]) == ("2024-05-06", "pending", None)
    assert (oldest["session"], oldest["state"], oldest["late_seconds"]) == ("2024-04-30", "late", 900)
    assert oldest["complete_at"] == "2024-04-30T09:45:00+00:00"
    page = client.get(f"{path}?limit=1")
    assert 'rel="next"' in page["Link"]
    assert [row["state"] for row in client.get(f"{path}?state=late").json()] == ["late"]
    assert client.get(f"{path}?state=lost").status_code == 400


@pytest.mark.parametrize("target", ["7", "0", "x", "9" * 30])
def test_unknown_target_is_not_found(client, target):
    response = client.get(f"{TARGETS}/{target}/sessions")
    assert (response.status_code, response.json()["code"]) == (404, "target_not_found")


def test_targets_are_not_written_by_api(client):
    target = make_target()
    assert client.post(TARGETS, {"name": "x"}).status_code == 405
    assert client.delete(f"{TARGETS}/{target.pk}/sessions").status_code == 405
