"""The Python client against the app, in one process."""

import json
from datetime import date
from threading import BoundedSemaphore
from types import SimpleNamespace

import httpx
import pandas as pd
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from knox.models import AuthToken
from stock_collector_client import BarsIncomplete, Client, CollectorError, NotFound, Unauthorized

from tasks_app.models.states import ItemState
from tasks_app.quotes.bulk_read import panel
from tests.api.factories import make_bars, make_stock
from tests.factories import finish, make_continued, make_ended, make_task, make_user

pytestmark = pytest.mark.django_db
DAY = date(2024, 1, 1)


@pytest.fixture(autouse=True)
def _connection_stays_open():
    """As Django's test client does: the end of a request would close the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


class CutTransport(httpx.WSGITransport):
    """Ends the body of a bulk read after so many bytes, the first `times` times, as a proxy may."""

    def __init__(self, keep, times):
        super().__init__(app=get_wsgi_application(), raise_app_exceptions=True)
        self.keep, self.times, self.bodies = keep, times, []

    def handle_request(self, request):
        self.bodies.append(request.content)
        response = super().handle_request(request)
        content = b"".join(response.stream)
        response.stream.close()
        if len(self.bodies) <= self.times:
            content = content[: self.keep(content)]
        return httpx.Response(response.status_code, headers={}, content=content)


def client_of(*permissions, transport=None):
    token = AuthToken.objects.create(make_user("reader", *permissions))[1]
    transport = transport or httpx.WSGITransport(app=get_wsgi_application())
    return Client("http://testserver", token, transport=transport)


def make_three_stocks():
    from tests.api.test_bulk import count_series

    for code in ("000001", "000002", "600519"):
        make_bars(make_stock("CN", code), 3, DAY)
        count_series("CN", code)


def test_bars_have_text_codes_and_chosen_columns():
    make_three_stocks()
    table = client_of("bulk_read").bars("CN", frame="arrow", codes=["000001"], columns=["close", "code"])
    assert table.column_names == ["close", "code"]
    assert table.column("code").to_pylist() == ["000001"] * 3


def test_bars_as_pandas():
    make_three_stocks()
    frame = client_of("bulk_read").bars("CN", start=date(2024, 1, 2))
    assert sorted(set(frame["code"])) == ["000001", "000002", "600519"]
    assert frame["day"].min() == pd.Timestamp(2024, 1, 2)
    assert frame["day"].dtype.kind == "M"  # so that it can be resampled


def test_bars_of_nothing_have_their_columns():
    make_three_stocks()
    assert client_of("bulk_read").bars("CN", frame="arrow", start="2030-01-01").num_rows == 0


@pytest.mark.parametrize("keep", [lambda content: len(content) - 8, lambda content: len(content) - 40])
def test_cut_stream_is_resumed_behind_its_last_bar(keep):
    make_three_stocks()
    transport = CutTransport(keep, times=1)
    table = client_of("bulk_read", transport=transport).bars("CN", frame="arrow")
    assert len(transport.bodies) == 2
    days = list(zip(table["code"].to_pylist(), table["day"].to_pylist(), strict=True))
    assert len(days) == len(set(days)) == 9
    assert days == sorted(days)


def test_panel_as_pandas():
    make_three_stocks()
    frame = client_of("bulk_read").panel("CN", "close", codes=["600519", "000001"], end=date(2024, 1, 2))
    assert list(frame.columns) == ["000001", "600519"]
    assert list(frame.index) == [pd.Timestamp(2024, 1, 1), pd.Timestamp(2024, 1, 2)]
    assert frame["600519"].tolist() == [1.75, 1.75]


def test_cut_panel_is_resumed_behind_its_last_day(monkeypatch):
    make_three_stocks()
    monkeypatch.setattr(panel, "CELLS", 3)  # a day at once
    transport = CutTransport(lambda content: len(content) * 2 // 3, times=2)
    table = client_of("bulk_read", transport=transport).panel("CN", frame="arrow")
    assert [row["day"].day for row in table.to_pylist()] == [1, 2, 3]
    assert table.column_names == ["day", "000001", "000002", "600519"]
    assert b'"cursor":"2024-01-0' in transport.bodies[-1]


def test_stream_is_resumed_again_when_the_second_part_had_no_bar(waits):
    make_three_stocks()
    transport = CutTransport(lambda content: len(content) - 8, times=3)
    table = client_of("bulk_read", transport=transport).bars("CN", frame="arrow")
    assert (len(transport.bodies), table.num_rows) == (4, 9)


@pytest.mark.parametrize("missing", [1, 8, 40, 600, 10**9], ids=lambda missing: f"{missing} bytes")
def test_short_read_is_an_error_and_no_part(missing, waits):
    make_three_stocks()
    transport = CutTransport(lambda content: max(0, len(content) - missing), times=9)
    with pytest.raises(BarsIncomplete, match="cut off 2 times"):
        client_of("bulk_read", transport=transport).bars("CN", resumes=1)
    assert len(transport.bodies) == 2


@pytest.fixture
def waits(monkeypatch):
    """The seconds that the client waits, without waiting."""
    seconds = []
    monkeypatch.setattr("stock_collector_client.bars.time", SimpleNamespace(sleep=seconds.append))
    return seconds


def busy_places(monkeypatch):
    """Returns the one place for bulk reads, which another reader has taken."""
    places = BoundedSemaphore(1)
    places.acquire()
    monkeypatch.setattr("tasks_app.api.bulk_stream._places", places)
    return places


def test_busy_server_is_asked_again_when_it_says_so(monkeypatch, waits):
    make_three_stocks()
    places = busy_places(monkeypatch)

    class Transport(httpx.WSGITransport):
        def handle_request(self, request):
            if len(waits) == 2:
                places.release()
            return super().handle_request(request)

    client = client_of("bulk_read", transport=Transport(app=get_wsgi_application()))
    assert (client.bars("CN", frame="arrow").num_rows, waits) == (9, [5, 5])


def test_server_that_stays_busy_is_an_error(monkeypatch, waits):
    busy_places(monkeypatch)
    with pytest.raises(CollectorError, match="Too many bulk reads") as refused:
        client_of("bulk_read").bars("CN", resumes=2)
    assert (refused.value.status, refused.value.retry_after, waits) == (429, 5, [5, 5])


def test_refusal_that_names_no_time_is_an_error_at_once(waits):
    transport = httpx.MockTransport(lambda request: httpx.Response(429, json={"detail": "No more today."}))
    with pytest.raises(CollectorError, match="No more today"):
        client_of(transport=transport).bars("CN")
    assert waits == []


def test_server_that_cannot_be_reached_is_no_cut_stream():
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(httpx.ConnectError):
        client_of(transport=httpx.MockTransport(refuse)).bars("CN", resumes=1)


def test_one_code_and_one_column_are_no_letters():
    make_three_stocks()
    table = client_of("bulk_read").bars("CN", frame="arrow", codes="000001", columns="close")
    assert (table.column_names, table.num_rows) == (["close"], 3)


def test_one_code_starts_one_stock():
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"task_id": "1"})

    client = client_of(transport=httpx.MockTransport(answer))
    client.start(pd.Timestamp(2024, 1, 2), date(2024, 1, 3), stock_codes="AAPL")
    assert sent == [{"start_date": "2024-01-02", "end_date": "2024-01-03", "stock_codes": ["AAPL"]}]


def test_time_of_day_is_left_out_of_a_day():
    make_three_stocks()
    table = client_of("bulk_read").bars(
        "CN", frame="arrow", start=pd.Timestamp(2024, 1, 2, 15, tz="Asia/Shanghai")
    )
    assert min(table["day"].to_pylist()) == date(2024, 1, 2)


def test_unknown_frame_is_refused():
    with pytest.raises(ValueError, match="numpy"):
        client_of().bars("CN", frame="numpy")


def test_errors_have_the_servers_sentence():
    client = client_of("bulk_read", "start_task")
    with pytest.raises(NotFound):
        client.status("nothing")
    with pytest.raises(CollectorError, match="There is no such parameter") as refused:
        client.bars("CN", colums=["close"])
    assert (refused.value.status, "colums" in refused.value.errors) == (400, True)
    with pytest.raises(Unauthorized):
        Client("http://testserver", "wrong", transport=client._http._transport).coverage()


def test_task_is_paused_watched_and_cancelled():
    client = client_of("cancel_task", "pause_task")
    task = str(make_task().pk)
    assert client.pause(task)["paused_at"] == client.status(task)["paused_at"]
    assert client.resume(task)["paused_at"] is None
    with pytest.raises(TimeoutError, match="still running"):
        client.watch(task, every=0, timeout=0)
    client.cancel(task)
    seen = []
    assert client.watch(task, on_change=seen.append)["status"] == "cancelled"
    assert [one["task_id"] for one in seen] == [task]


def test_watch_follows_a_chain_to_its_last_task():
    client, (task, rest) = client_of("start_task"), make_continued()
    finish(rest)
    ended = client.watch(str(task.pk), every=0)
    assert (ended["task_id"], ended["chain"]["completed"]) == (str(rest.pk), 3)


def test_stocks_and_errors_are_of_a_task_or_of_its_whole_run():
    client, (task, rest) = client_of("start_task"), make_continued()
    finish(rest, ItemState.FAILED, error_code="timeout")
    assert [one["code"] for one in client.items(str(rest.pk))] == ["000002", "000003"]
    found = {one["code"]: one["task_id"] for one in client.items(str(task.pk), chain=True, limit=1)}
    assert found == {"000001": str(task.pk), "000002": str(rest.pk), "000003": str(rest.pk)}
    assert client.errors(str(task.pk)) == []
    (group,) = client.errors(str(task.pk), chain=True)
    assert (group["error_code"], group["count"], group["task_ids"]) == ("timeout", 2, [str(rest.pk)])


def test_order_is_queued_moved_and_withdrawn():
    client = client_of("start_task", "reorder_queue", "withdraw_order")
    make_task()
    first, second = (
        client.start("2024-01-01", "2024-01-31", source="simulated", stock_codes=[code], queue=True)
        for code in ("SIM000001", "SIM000002")
    )
    assert (first["status"], first["position"], second["position"]) == ("queued", 1, 2)
    assert client.move_order(second["id"], position=1)["position"] == 1
    assert [one["id"] for one in client.queue(limit=1)] == [second["id"], first["id"]]
    assert client.withdraw_order(second["id"])["state"] == "withdrawn"
    assert client.queued_order(second["id"])["events"][-1]["kind"] == "withdrawn"


def test_lists_follow_their_pages(own_cache):
    tasks = {str(make_ended("failed").pk) for _ in range(3)}
    make_three_stocks()
    client = client_of()
    assert {one["task_id"] for one in client.tasks(limit=2)} == tasks
    listed = client.stock_list(limit=2)
    assert ([one["code"] for one in listed["stocks"]], listed["total"]) == (["000001", "000002"], 3)
    assert client.coverage()[0]["market"] == "CN"
    assert "last" in client.changes()
