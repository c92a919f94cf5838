"""The Python client against the app, in one process."""

from datetime import date

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from knox.models import AuthToken
from stock_collector_client import BarsIncomplete, Client, CollectorError, NotFound, Unauthorized

from tests.api.factories import make_bars, make_stock
from tests.factories import make_ended, make_task, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]  # it knows no database
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
    assert min(frame["day"]) >= date(2024, 1, 2)


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


def test_cut_stream_raises_in_the_end():
    make_three_stocks()
    client = client_of("bulk_read", transport=CutTransport(lambda content: len(content) - 8, times=9))
    with pytest.raises(BarsIncomplete, match="cut off"):
        client.bars("CN", resumes=1)


def test_errors_have_the_servers_sentence():
    client = client_of("bulk_read", "start_task")
    with pytest.raises(NotFound):
        client.status("nothing")
    with pytest.raises(CollectorError, match="There is no such parameter") as refused:
        client.bars("CN", colums=["close"])
    assert (refused.value.status, "colums" in refused.value.errors) == (400, True)
    with pytest.raises(Unauthorized):
        Client("http://testserver", "wrong", transport=client._http._transport).coverage()


def test_task_is_watched_and_cancelled():
    client = client_of("cancel_task")
    task = str(make_task().pk)
    with pytest.raises(TimeoutError, match="still running"):
        client.watch(task, every=0, timeout=0)
    client.cancel(task)
    seen = []
    assert client.watch(task, on_change=seen.append)["status"] == "cancelled"
    assert [one["task_id"] for one in seen] == [task]


def test_lists_follow_their_pages(own_cache):
    tasks = {str(make_ended("failed").pk) for _ in range(3)}
    make_three_stocks()
    client = client_of()
    assert {one["task_id"] for one in client.tasks(limit=2)} == tasks
    listed = client.stock_list(limit=2)
    assert ([one["code"] for one in listed["stocks"]], listed["total"]) == (["000001", "000002"], 3)
    assert client.coverage()[0]["market"] == "CN"
    assert "last" in client.changes()
