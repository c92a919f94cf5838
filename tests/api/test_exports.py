"""Exports by API: started, shown, listed and cancelled."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks_app.exports import errors, jobs
from tasks_app.models import Export
from tests.api.factories import BASE, client_of, make_stock
from tests.exports.helpers import WHOLE
from tests.factories import ACTOR, make_user

pytestmark = pytest.mark.django_db
EXPORTS = f"{BASE}/exports"


@pytest.fixture
def client():
    return client_of(make_user("ann", "view_export", "export_data"))


@pytest.fixture
def root(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    return tmp_path


def test_export_is_started_shown_and_cancelled(client, root):
    make_stock("CN", "600519")
    body = {
        "folder": "daily",
        "market": "cn",
        "adjust": "",
        "stock_codes": ["600519"],
        "end_date": "2024-5-1",
    }
    started = client.post(EXPORTS, body).json()
    export = Export.objects.get()
    assert (Path(export.folder), export.user_name, export.channel) == (root / "daily", "ann", "api")
    selection = started["selection"]
    assert (selection["market"], selection["adjust"], selection["codes"]) == ("CN", "", ["600519"])
    assert (selection["first"], selection["last"]) == (None, "2024-05-01")
    assert client.get(f"{EXPORTS}/{export.pk}").json() == started
    again = client.post(EXPORTS, body)
    assert (again.status_code, again.json()["code"]) == (400, "export_running")
    assert client.delete(f"{EXPORTS}/{export.pk}").json()["state"] == "cancelled"
    ended = client.delete(f"{EXPORTS}/{export.pk}")
    assert (ended.status_code, ended.json()["code"]) == (400, "export_ended")


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"folder": "../x"}, "bad_folder_name"),
        ({"folder": ""}, "invalid"),
        ({"markets": "CN"}, "invalid"),
        ({"layout": "qlib", "market": "CN"}, "one_series_needed"),
        ({"stock_codes": ["600519"]}, "codes_without_market"),
        ({"market": "CN", "stock_codes": ["600519"]}, "no_such_stocks"),
        ({"market": "CN", "stock_codes": ["519"]}, "short_codes"),
        ({"start_date": "2024-05-02", "end_date": "2024-05-01"}, "reversed_dates"),
        ({"as_of": "once"}, "malformed_moment"),
    ],
)
def test_invalid_export_is_refused(client, fields, code):
    response = client.post(EXPORTS, {"folder": "daily", **fields})
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert not Export.objects.exists()


def test_export_needs_a_root(client, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir="")
    assert client.post(EXPORTS, {"folder": "daily"}).json()["code"] == "no_export_folder"


def test_exports_come_in_pages_newest_first(client, tmp_path):
    ids = [jobs.start(tmp_path / name, WHOLE, ACTOR).pk for name in "abc"]
    jobs.cancel(ids[0], ACTOR)
    page = client.get(f"{EXPORTS}?limit=2")
    rest = client.get(page.headers["Link"].partition(">")[0][1:])
    assert [row["id"] for row in [*page.json(), *rest.json()]] == ids[::-1]
    assert [row["id"] for row in client.get(f"{EXPORTS}?state=cancelled").json()] == ids[:1]


@pytest.mark.parametrize("export_id", ["7", "0", "x", "9" * 30])
def test_unknown_export_is_not_found(client, export_id):
    for method in (client.get, client.delete):
        response = method(f"{EXPORTS}/{export_id}")
        assert (response.status_code, response.json()["code"]) == (404, "export_not_found")


def test_failed_export_says_why(client, tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    jobs.fail(export, errors.ExportWorkersLost(count=5))
    shown = client.get(f"{EXPORTS}/{export.pk}").json()
    assert (shown["state"], shown["error_code"]) == ("failed", "export_workers_lost")
    assert "lost" in shown["error_message"]
