"""The page of exports: starts, shows and cancels them."""

from dataclasses import replace

import pytest
from django.urls import reverse

from tasks_app import roles
from tasks_app.exports import jobs
from tasks_app.exports.errors import NoExportFolder
from tasks_app.models import Export
from tests.admin.helpers import messages_of, staff_client, text_of, url
from tests.admin.test_roles import client_of
from tests.exports.helpers import WHOLE
from tests.factories import ACTOR
from tools.in_process import work

pytestmark = pytest.mark.django_db
FIELDS = {"name": "quotes", "layout": "parquet", "market": "", "adjust": "all", "first": "", "last": ""}


@pytest.fixture(autouse=True)
def root(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    return tmp_path


@pytest.fixture
def client():
    return staff_client("view_export", "export_data")


def post(client, **fields):
    return client.post(url("exports"), {**FIELDS, **fields})


def test_export_is_started_shown_and_completed(client, root):
    assert "Nothing has been exported yet." in text_of(client.get(url("exports")))
    response = post(client)
    assert (response.status_code, response.url) == (302, url("exports"))
    export = Export.objects.get()
    assert (export.folder, export.user_name, export.channel) == (str(root / "quotes"), "staff", "admin")
    text = text_of(client.get(url("exports")))
    assert "quotes Parquet · all markets staff" in text
    assert "waits for a worker" in text
    work()
    assert ", of which written anew: " in text_of(client.get(url("exports")))


def test_selection_is_shown(client):
    post(client, market="CN", adjust="none", first="2024-01-02")
    assert Export.objects.get().selection["adjust"] == ""
    assert "Parquet · CN · unadjusted · 2024-01-02 – …" in text_of(client.get(url("exports")))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "../x"}, "can't be the name of a folder"),
        ({"name": ".x"}, "can't be the name of a folder"),
        ({"first": "2024-01-02", "last": "2024-01-01"}, "The last day is before the first one."),
        ({"layout": "odd"}, "Select a valid choice"),
    ],
)
def test_wrong_field_is_named(client, fields, reason):
    response = post(client, **fields)
    assert response.status_code == 200
    assert reason in text_of(response).replace("&#x27;", "'")
    assert not Export.objects.exists()


def test_link_out_of_the_folder_is_refused(client, root, tmp_path_factory):
    (root / "quotes").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    assert "the name of a folder" in text_of(post(client))


def test_second_export_into_a_folder_is_refused(client):
    post(client)
    assert "Another export into" in text_of(post(client))


def test_running_export_is_cancelled(client):
    post(client)
    response = client.post(url("exports"), {"cancel": Export.objects.get().pk})
    assert "Cancelled." in messages_of(response)
    assert Export.objects.get().state == "cancelled"
    response = client.post(url("exports"), {"cancel": Export.objects.get().pk})
    assert "can't be cancelled any more" in messages_of(response)


def test_list_refreshes_only_when_something_has_changed(client):
    path = reverse("admin:exports_rows")
    response = client.get(path)
    assert "Nothing has been exported yet." in response.json()["html"]
    assert client.get(path, headers={"If-None-Match": response["ETag"]}).status_code == 304
    post(client)
    assert client.get(path, headers={"If-None-Match": response["ETag"]}).status_code == 200


def test_reason_of_a_failure_is_in_the_readers_language(client, root):
    jobs.fail(jobs.start(root / "x", WHOLE, ACTOR), NoExportFolder())
    chinese = client.get(url("exports"), headers={"Accept-Language": "zh-hans"}).content.decode()
    assert "未设置" in chinese


def test_without_a_folder_the_page_says_what_to_set(client, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir="")
    assert "COLLECTOR_EXPORT_DIR" in text_of(client.get(url("exports")))
    post(client)
    assert not Export.objects.exists()


def test_viewers_see_and_operators_start():
    viewer, operator = client_of(roles.VIEWER), client_of(roles.OPERATOR)
    assert "Start the export" not in text_of(viewer.get(url("exports")))
    assert post(viewer).status_code == 403
    assert post(operator).status_code == 302
    assert viewer.post(url("exports"), {"cancel": Export.objects.get().pk}).status_code == 403
