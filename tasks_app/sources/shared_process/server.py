"""The shared process itself: it serves the requests of its machine one by one, and ends when nobody is left.

A vendor's client may hang, or spin, in the main thread. So a second thread watches: the process ends at once
when the caller of the request in progress has died, and when the client reports that its server hung up.
"""

import logging
import os
import pickle
import select
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from tasks_app import logs
from tasks_app.source_settings import mask
from tasks_app.sources.base import Transient
from tasks_app.sources.permits import granting_permits
from tasks_app.sources.shared_process.handle import LAST_RESPONSE, LENGTH, LINE, PERMIT, RESPONSE, Message

IDLE_SECONDS = 600.0
FIRST_SECONDS = 60.0  # for the first caller to connect
CHECK_SECONDS = 0.25
# How often in a row a lost server is seen before it counts: the response may be complete, and the client
# still parsing it.
LOST_CHECKS = 4
MOST_LINES = 100  # of the log, of one request
MOST_CHARACTERS = 4000  # of a line


_is_running = False


def in_shared_process() -> bool:
    """Returns whether this process is a shared one, and so runs nobody else's code."""
    return _is_running


class Server:
    """Serves one request at a time.

    `handle` returns the response to a request. `leave` is called when the caller of the last request has
    disconnected. While `is_lost` returns True during a request, its response is `lost`, and the process ends.
    """

    def __init__(
        self,
        handle: Callable[[Any], Any],
        *,
        leave: Callable[[], None] = lambda: None,
        is_lost: Callable[[], bool] = lambda: False,
        lost: Any = None,
    ) -> None:
        self._handle, self._leave, self._is_lost, self._lost = handle, leave, is_lost, lost
        self._selector = selectors.DefaultSelector()
        self._busy: socket.socket | None = None  # the caller of the request in progress,
        self._last: socket.socket | None = None  # and of the last one
        self._connected = 0
        self._lines = 0  # of the log, sent to it
        self._sending = threading.Lock()  # a client may log in threads of its own
        self._waits = False  # for a permit: meanwhile the vendor's server may well close the connection

    def serve(self, listener: socket.socket) -> None:
        """Serves until nobody is connected, or nobody has asked for anything for a long time."""
        threading.Thread(target=self._watch, daemon=True).start()
        self._selector.register(listener, selectors.EVENT_READ)
        end_at = time.monotonic() + FIRST_SECONDS
        while events := self._selector.select(max(end_at - time.monotonic(), 0.0)):
            for key, _ in events:
                if key.fileobj is listener:
                    self._welcome(listener)
                elif isinstance(key.fileobj, socket.socket):
                    self._serve_one(key.fileobj)
            # The one that connects at this moment sees the connection closed and starts another process.
            end_at = time.monotonic() + (IDLE_SECONDS if self._connected else 0.0)

    def _welcome(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.sendall(LENGTH.pack(os.getpid()))
        self._selector.register(connection, selectors.EVENT_READ)
        self._connected += 1

    def _serve_one(self, connection: socket.socket) -> None:
        """Reads and answers one request, or forgets a caller that has disconnected."""
        try:
            request = _receive(connection)
            self._busy, self._last, self._lines = connection, connection, 0
            with granting_permits(self._take_permit, has_first=False):
                response = self._handle(request)
            with self._sending:
                self._busy = None
                _send(connection, Message(RESPONSE, response))
        except ConnectionError:
            self._forget(connection)

    def send_line(self, name: str, level: int, text: str) -> bool:
        """Sends a line of the log to the caller of the request in progress; False if there is none."""
        with self._sending:
            if not (caller := self._busy) or self._lines >= MOST_LINES:
                return False
            self._lines += 1
            try:
                _send(caller, Message(LINE, (name, level, text[:MOST_CHARACTERS])))
            except ConnectionError:  # `_watch` ends the process
                return False
        return True

    def _take_permit(self, cost: int) -> None:
        """Has the caller take a permit, whose engine has the limits. Raises `Transient` as it does there."""
        caller = self._busy
        assert caller  # noqa: S101 - a request is in progress
        self._waits = True
        try:
            with self._sending:
                _send(caller, Message(PERMIT, cost))
            refusal = _receive(caller)
        except ConnectionError:  # the caller is gone, and nobody may send the request
            os._exit(0)
        self._waits = False
        if refusal is not None:
            message, code, retry_after = refusal
            raise Transient(message, code=code, retry_after=retry_after)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._connected -= 1
        connection.close()
        if connection is self._last:
            self._last = None
            self._leave()

    def _watch(self) -> None:
        """The watching thread."""
        lost_in_a_row = 0
        while True:
            time.sleep(CHECK_SECONDS)
            busy = self._busy
            if busy and _has_hung_up(busy):
                os._exit(0)
            is_lost = busy and not self._waits and self._is_lost()
            lost_in_a_row = lost_in_a_row + 1 if is_lost else 0
            if busy and lost_in_a_row == LOST_CHECKS:
                with self._sending:
                    _send(busy, Message(LAST_RESPONSE, self._lost))
                    os._exit(0)


class CallersLog(logging.Handler):
    """Writes lines into the log of the caller, which knows task and stock; else to this process's stderr."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        text = mask(self.format(record))
        if not self._server.send_line(record.name, record.levelno, text):
            sys.stderr.write(f"{logs.timestamp(record)} {record.levelname} {record.name} {text}\n")


def run(server: Server) -> None:
    """Serves on the listening socket whose number is this process's first argument."""
    logs.mask_output()
    logging.basicConfig(
        handlers=[CallersLog(server)], format="%(message)s", level=logging.WARNING, force=True
    )
    logging.captureWarnings(True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the callers to act on
    if resource:  # the starter's own limit of that moment; the callers watch this process's memory
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    global _is_running
    _is_running = True
    server.serve(socket.socket(fileno=int(sys.argv[1])))


def _receive(connection: socket.socket) -> Any:
    """Returns what the caller has sent. Raises `ConnectionError` when it has disconnected."""
    if len(head := connection.recv(LENGTH.size, socket.MSG_WAITALL)) < LENGTH.size:
        raise ConnectionError("the caller has disconnected")
    (length,) = LENGTH.unpack(head)
    return pickle.loads(connection.recv(length, socket.MSG_WAITALL))  # noqa: S301 - from this user's process


def _send(connection: socket.socket, message: Message) -> None:
    packed = pickle.dumps(tuple(message))
    connection.sendall(LENGTH.pack(len(packed)) + packed)


def _has_hung_up(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)  # reports the other end closed
    return bool(poll.poll(0))
