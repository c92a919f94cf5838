"""The page that deletes what a source stored."""

from datetime import date

import pytest

from tasks_app.admin.deletion import views
from tasks_app.models import DailyBar, DataDeletion, Series
from tasks_app.quotes import deletion
from tests.admin.helpers import messages_of, staff_client, text_of, url
from tests.factories import make_task

pytestmark = pytest.mark.django_db
DAYS = [date(2024, 1, 17), *(date(2024, 6, day) for day in range(3, 8)), date(2024, 12, 31)]


@pytest.fixture
def client():
    return staff_client("delete_source_data")


@pytest.fixture
def stored():
    """Stores bars of two made-up stocks; returns their number."""
    prices, key = dict.fromkeys(("open", "high", "low", "close"), 10), {"market": "SIM"}
    for symbol in ("000001", "000002"):
        DailyBar.objects.bulk_create(
            DailyBar(symbol=symbol, day=day, source="simulated", volume=1, **key, **prices) for day in DAYS
        )
        Series.objects.create(
            symbol=symbol, bars=len(DAYS), first_day=DAYS[0], last_day=DAYS[-1], covered=[], **key
        )
    return 2 * len(DAYS)


def post(client, **fields):
    defaults = {"source": "simulated", "market": "", "first": "", "last": ""}
    return client.post(url("delete_data"), {**defaults, **fields})


def test_page_counts_first_and_deletes_nothing(client, stored):
    assert "Nothing has been deleted yet." in text_of(client.get(url("delete_data")))
    text = text_of(post(client))
    assert "Delete this?" in text
    assert f"SIM (synthetic) {stored} 2 2024-01-17 – 2024-12-31" in text
    assert DailyBar.objects.count() == stored


def test_confirmed_selection_is_deleted_and_listed(client, stored):
    response = post(client, market="SIM", first="2024-06-03", last="2024-06-07", confirmed="yes")
    assert response.url == url("delete_data")
    assert messages_of(response) == "Deleted of the source simulated: bars 10, series 2."
    assert DailyBar.objects.count() == stored - 10
    record = DataDeletion.objects.get()
    assert (record.user_name, record.channel) == ("staff", "admin")
    text = text_of(client.get(url("delete_data")))
    assert "staff simulated · SIM (synthetic) · 2024-06-03 – 2024-06-07 10 2" in text


def test_long_deletion_goes_on_with_another_press(client, stored, monkeypatch):
    monkeypatch.setattr(deletion, "BATCH", 5)
    times = iter([0.0, 0.0, 100.0])
    monkeypatch.setattr(views.time, "monotonic", lambda: next(times))
    response = post(client, confirmed="yes")
    text = text_of(response)
    assert "There is more: continue below." in text
    assert "not finished" in text
    left = DailyBar.objects.count()
    assert 0 < left < stored
    assert f"SIM (synthetic) {left} 1" in text
    monkeypatch.undo()
    post(client, confirmed="yes")
    assert not DailyBar.objects.exists()


def test_running_task_keeps_the_data(client, stored):
    make_task()
    text = text_of(post(client))
    assert "A task is running. Nothing can be deleted until it ends or is cancelled." in text
    response = post(client, confirmed="yes")
    assert "A task is already running" in text_of(response)
    assert DailyBar.objects.count() == stored
    assert not DataDeletion.objects.exists()


def test_malformed_selection_deletes_nothing(client, stored):
    for fields, sentence in (
        ({"source": " "}, "Name the source whose data are to be deleted."),
        ({"market": "XX"}, "Select a valid choice"),
        ({"first": "2024-02-30"}, "Enter a valid date."),
        ({"first": "2024-02-01", "last": "2024-01-01"}, "The last day is before the first one."),
    ):
        assert sentence in text_of(post(client, **fields, confirmed="yes"))
    assert DailyBar.objects.count() == stored


def test_nothing_to_delete_is_said(client):
    text = text_of(post(client, source="gone"))
    assert "Nothing of this is stored" in text
    assert "Yes, delete it" not in text


@pytest.mark.parametrize("permission", ["start_task", "view_dailybar"])
def test_page_needs_its_own_permission(stored, permission):
    client = staff_client(permission)
    assert client.get(url("delete_data")).status_code == 403
    assert post(client, confirmed="yes").status_code == 403
    assert DailyBar.objects.count() == stored
    assert "delete-data" not in client.get(url("index")).content.decode()


def test_known_sources_are_offered_and_a_linked_one(client, stored):
    text = client.get(url("delete_data"), {"source": "gone"}).content.decode()
    for name in ("simulated", "sample", "gone"):
        assert f'<option value="{name}"' in text
    assert '<option value="gone" selected>' in text
