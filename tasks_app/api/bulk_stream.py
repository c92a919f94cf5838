"""The body of a bulk read: one of a few at a time, for a limited time, of one moment of the database."""

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from itertools import chain
from threading import BoundedSemaphore
from time import monotonic

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from tasks_app.quotes.bulk_read.query import BulkQuery

IDLE_SECONDS = 60  # that a client may pause between two statements
_places = BoundedSemaphore(settings.COLLECTOR.bulk_reads)  # of this process


class TooManyBulkReads(APIException):
    """All places of this process are taken."""

    status_code = 429
    default_code = "too_many_bulk_reads"
    default_detail = _("Too many bulk reads at once. Try again in a few seconds.")
    wait = 5  # seconds; sent as Retry-After


class BulkReadTooLong(Exception):
    """A read took longer than COLLECTOR_BULK_READ_SECONDS. Its stream is cut off, and can be resumed."""


def open_stream(
    request: Request, query: BulkQuery, form: str, encoding: str, version: str
) -> "BulkStream | AsyncIterator[bytes]":
    """Returns the stream of a query's bars. Raises `TooManyBulkReads`, and what its first query raises."""
    stream = BulkStream(query, form, encoding, version)
    return _asynchronous(stream) if isinstance(request._request, ASGIRequest) else stream


class BulkStream(Iterator[bytes]):
    """Chunks of bytes. An error in mid-stream is raised, so that the server cuts the connection."""

    def __init__(self, query: BulkQuery, form: str, encoding: str, version: str) -> None:
        if not _places.acquire(blocking=False):
            raise TooManyBulkReads
        self._deadline = monotonic() + settings.COLLECTOR.bulk_read_seconds
        self._is_open = True
        self._chunks = _chunks(query, form, encoding, version)
        try:  # errors of the first query are answered, not cut off
            self._first: Iterator[bytes] = iter([next(self._chunks)])
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        try:
            if monotonic() > self._deadline:
                raise BulkReadTooLong(f"{settings.COLLECTOR.bulk_read_seconds:g} s are over")
            return next(chain(self._first, self._chunks))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the read, and frees its place; called by the server, too, whatever happens."""
        if self._is_open:
            self._is_open = False
            try:
                self._chunks.close()
            finally:
                _places.release()


def _chunks(query: BulkQuery, form: str, encoding: str, version: str) -> Generator[bytes, None, None]:
    from tasks_app.quotes.bulk_read import formats
    from tasks_app.quotes.bulk_read.snapshot import snapshot

    with snapshot(IDLE_SECONDS), closing(formats.chunks(query, form, version)) as chunks:
        yield from formats.compressed(chunks, encoding)


def _next(stream: Iterator[bytes]) -> bytes | None:
    return next(stream, None)


async def _asynchronous(stream: BulkStream) -> AsyncIterator[bytes]:
    """Yields the chunks on a server that speaks ASGI, where Django would read a plain iterator to its end."""
    try:
        while (chunk := await sync_to_async(_next)(stream)) is not None:
            yield chunk
    finally:
        await sync_to_async(stream.close)()
