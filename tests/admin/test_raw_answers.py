"""The pages of raw answers: a bar, an item and a source lead to them, and they show what came, escaped."""

import html
import zlib

import pytest

from tasks_app.models import CollectionItem, Correction, DailyBar, RawAnswerReplay, RecordedCall, Stock
from tasks_app.sources import registry
from tests.admin.helpers import staff_client, superuser_client, text_of
from tests.factories import make_task
from tests.fakes.recorded_source import DAYS, with_recorded_sources
from tools.in_process import work

pytestmark = pytest.mark.django_db


@pytest.fixture
def call(settings, monkeypatch):
    """Collects a stock, and returns its call."""
    settings.COLLECTOR = with_recorded_sources(settings.COLLECTOR, monkeypatch)
    make_task(source="told", start_date=DAYS[0], end_date=DAYS[-1], stock_codes=("000001",))
    work()
    yield RecordedCall.objects.get()
    registry.forget_sources()


def page_of(call):
    return f"/admin/tasks_app/recordedcall/{call.pk}/change/"


def test_call_shows_request_and_content(call):
    text = html.unescape(text_of(superuser_client().get(page_of(call))))
    assert '"code": "000001"' in text
    assert '{"day": "2024-03-01", "close": 10.0}' in text
    assert call.answers.get().content_id in text


def test_content_is_escaped_and_cut(call):
    reader = superuser_client()
    content = call.answers.get().content
    body = b"<script>alert(1)</script>" + b"x" * 10_000
    content.data, content.size = zlib.compress(body), len(body)
    content.save()
    page = reader.get(page_of(call)).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "x" * 5000 not in page
    download = reader.get(f"/admin/tasks_app/recordedcall/{call.pk}/0/download/")
    assert b"".join(download) == body
    assert download["Content-Type"] == "application/octet-stream"
    assert download["Content-Disposition"].startswith("attachment")


def test_bar_item_source_and_list_lead_to_the_call(call):
    reader, item, bar = superuser_client(), CollectionItem.objects.get(), DailyBar.objects.first()
    stock = Stock.objects.get(code="000001")
    for page in (
        f"/admin/tasks_app/stock/{stock.pk}/change/",
        f"/admin/tasks_app/collectionitem/{item.pk}/change/",
        f"/admin/tasks_app/dailybar/{bar.pk}/change/",
    ):
        assert f"/recordedcall/{call.pk}/change/" in reader.get(page).content.decode(), page
    rows = reader.get("/admin/tasks_app/recordedcall/?source=told&q=000001").content.decode()
    assert f'href="{call.pk}/change/' in rows  # relative to the list
    assert "/admin/tasks_app/stock/of/" in rows
    assert ">000001" in rows
    assert "recordedcall/?source=told" in reader.get("/admin/sources/told/").content.decode()


def test_permission_is_its_own(call):
    client = staff_client("view_stock", "view_dailybar", "view_collectionitem")
    place = f"/recordedcall/{call.pk}/"
    stock = Stock.objects.get(code="000001")
    item = CollectionItem.objects.get()
    for page in (f"stock/{stock.pk}", f"collectionitem/{item.pk}", f"dailybar/{DailyBar.objects.first().pk}"):
        response = client.get(f"/admin/tasks_app/{page}/change/")
        assert response.status_code == 200
        assert place not in response.content.decode()
    for page in (page_of(call), f"/admin/tasks_app/recordedcall/{call.pk}/0/download/"):
        assert client.get(page).status_code == 403


@pytest.mark.parametrize("place", ["999/0", "1/999"])
def test_missing_answer_is_not_found(place):
    assert superuser_client().get(f"/admin/tasks_app/recordedcall/{place}/download/").status_code == 404


def test_correction_says_that_it_was_derived_again(call):
    replay = RawAnswerReplay.objects.create(source="told", channel="command", user_name="ann")
    key = {"market": "CN", "symbol": "000001", "day": DAYS[0], "source": "told", "replay": replay}
    row = Correction.objects.create(before={"volume": 10}, after={"volume": 1000}, **key)
    reader = superuser_client()
    assert "derived again" in text_of(reader.get("/admin/tasks_app/correction/"))
    assert "ann" in text_of(reader.get(f"/admin/tasks_app/correction/{row.pk}/change/"))
    stock = Stock.objects.get(code="000001")
    assert "derived again" in text_of(reader.get(f"/admin/tasks_app/stock/{stock.pk}/change/"))
