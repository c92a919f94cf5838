"""How the stream of a bulk read ends: by its end, a failure, a reader that hangs up, or the clock."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import BoundedSemaphore

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import DatabaseError, OperationalError, connection, connections

from tasks_app.api import bulk_stream
from tasks_app.quotes.bulk_read import formats, parts, stored_bars
from tests.api.factories import client_of
from tests.api.test_bulk import URL, body_of, make_series, table_of
from tests.factories import make_user

# What is cut off in the middle ends its connection, and with it a test's transaction.
on_own_connection = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client():
    return client_of(make_user("reader", "bulk_read"))


@pytest.fixture
def elsewhere():
    """Another thread, with a connection of its own: `elsewhere(function, …)` returns its result."""
    with ThreadPoolExecutor(1) as thread:
        yield lambda function, *arguments: thread.submit(function, *arguments).result()
        thread.submit(connections.close_all).result()


@pytest.mark.any_database  # counted in this process
@on_own_connection
def test_reads_beyond_the_places_are_refused(client, monkeypatch, elsewhere):
    make_series("US", "A", 1)
    monkeypatch.setattr(bulk_stream, "_places", BoundedSemaphore(1))
    first = elsewhere(client.get, f"{URL}?market=US")
    second = client.get(f"{URL}?market=US")
    assert (second.status_code, second.json()["code"]) == (429, "too_many_bulk_reads")
    assert second.headers["Retry-After"] == "5"
    elsewhere(body_of, first)
    assert client.head(f"{URL}?market=US").status_code == 200
    body_of(client.get(f"{URL}?market=US"))


@pytest.mark.any_database  # the place is freed in this process
@on_own_connection
def test_client_that_hangs_up_frees_the_place(client, monkeypatch):
    monkeypatch.setattr(stored_bars, "ROWS", 2)
    for code in ("A", "B", "C"):
        make_series("US", code, 2)
    for _ in range(3):
        response = client.get(f"{URL}?market=US")
        assert next(iter(response.streaming_content))
        for close in response._resource_closers:  # as the server does
            close()
    body_of(client.get(f"{URL}?market=US"))


def fail_after(batches):
    whole, read = formats.record_batches, []

    def failing(query):
        with closing(whole(query)) as found:
            for batch in found:
                read.append(batch)
                if len(read) > batches:
                    raise DatabaseError("gone")
                yield batch

    return failing


@pytest.mark.any_database  # test_lost_connection_cuts_the_stream_off fails there
@on_own_connection
def test_failure_in_mid_stream_cuts_it_off(client, monkeypatch):
    monkeypatch.setattr(stored_bars, "ROWS", 2)
    monkeypatch.setattr(formats, "ROW_GROUP", 2)
    for code in ("A", "B", "C"):
        make_series("US", code, 2)
    received = {}
    for form in ("json", "csv", "arrow", "parquet"):
        with monkeypatch.context() as patched:
            patched.setattr(formats, "record_batches", fail_after(2))
            response, received[form] = client.get(f"{URL}?market=US&format={form}"), b""
            with pytest.raises(DatabaseError):
                for chunk in response.streaming_content:
                    received[form] += chunk
        assert received[form]
        assert received[form] != body_of(client.get(f"{URL}?market=US&format={form}"))
    with pytest.raises(pa.ArrowInvalid):
        pa.ipc.open_stream(received["arrow"] + b"\x00").read_all()
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(io.BytesIO(received["parquet"]))


def end_connection(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@on_own_connection
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no connection to lose")
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_lost_connection_cuts_the_stream_off(client, monkeypatch, elsewhere, layout):
    monkeypatch.setattr(stored_bars, "ROWS", 1)
    monkeypatch.setattr(parts, "CODES", 1)
    monkeypatch.setattr("tasks_app.quotes.bulk_read.panel.CELLS", 3)
    for code in ("A", "B", "C"):
        make_series("US", code, 3)
    path = f"{URL}?market=US&format=arrow&layout={layout}"
    chunks = iter(client.get(path).streaming_content)
    received = next(chunks)
    elsewhere(end_connection, connection.connection.info.backend_pid)
    with pytest.raises(OperationalError):
        received += b"".join(chunks)
    assert not received.endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00")
    assert table_of(client.get(path)).num_rows == {"long": 9, "wide": 3}[layout]


@on_own_connection
def test_writes_while_a_stream_is_read_are_not_seen(client, monkeypatch, elsewhere):
    monkeypatch.setattr(stored_bars, "ROWS", 1)
    monkeypatch.setattr(parts, "CODES", 1)
    for code in ("A", "B"):
        make_series("US", code, 2)
    chunks = iter(client.get(f"{URL}?market=US&format=arrow").streaming_content)
    received = next(chunks)
    elsewhere(make_series, "US", "C", 2)
    received += b"".join(chunks)
    assert set(pa.ipc.open_stream(received).read_all()["code"].to_pylist()) == {"A", "B"}


@pytest.mark.django_db
def test_failure_of_the_first_query_is_an_error_response(client, monkeypatch):
    make_series("US", "A", 2)

    def failing(*arguments):
        raise DatabaseError("gone")
        yield

    monkeypatch.setattr(stored_bars, "_from_sqlite", failing)
    monkeypatch.setattr(stored_bars, "_from_postgresql", failing)
    client.raise_request_exception = False
    assert client.get(f"{URL}?market=US&format=arrow").status_code == 500


@pytest.mark.any_database  # the clock of this process
@on_own_connection
def test_read_that_takes_too_long_is_cut_off(client, monkeypatch):
    make_series("US", "A", 2)
    with monkeypatch.context() as patched:
        response = client.get(f"{URL}?market=US&format=arrow")
        patched.setattr(bulk_stream, "monotonic", lambda: 1e9)
        with pytest.raises(bulk_stream.BulkReadTooLong):
            b"".join(response.streaming_content)
    assert table_of(client.get(f"{URL}?market=US&format=arrow")).num_rows == 2


def test_asynchronous_stream_ends_like_the_plain_one():
    class Stream:
        closed = False

        def __init__(self):
            self.chunks = iter([b"a", b"b"])

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.chunks)

        def close(self):
            self.closed = True

    async def read(stream):
        return [chunk async for chunk in bulk_stream._asynchronous(stream)]

    stream = Stream()
    assert asyncio.run(read(stream)) == [b"a", b"b"]
    assert stream.closed
