"""BaoStock's client in a process of its own: reads requests and writes responses, one JSON line each.

Run by its path with the server's address as argument; it imports nothing of ours. The client has one global
socket without a timeout, and when the server closes it, `recv` spins at full CPU: what happens here must be
killable. So the parent kills this process when a response is late, and a monitoring thread ends it when the
parent has ended, when the server hung up, and after a long time without work.

Requests: {"call": "bars", "code", "fields", "start", "end", "flag"}, {"call": "day", "day"} or
{"call": "listings", "code"}; each also has "pause", the minimum seconds between two requests to the server.
Responses: {"fields": [...], "rows": [[...], ...]} or {"code": "10001011", "message": "..."}.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

import baostock
from baostock.common import contants, context

NETWORK = "10002"  # how the codes of network errors begin
EXIT_SERVER_CLOSED = 3
IDLE_SECONDS = 600.0
CHECK_SECONDS = 0.25
# How often in a row a closed connection is seen before it counts: the response may be complete, and the
# client still parsing it.
CLOSED_CHECKS = 4


class Refused(Exception):
    """The arguments are the server's error code, or the client's own, and its message."""


class Session:
    """The session with the server: logged in when needed, one request at a time."""

    def __init__(self) -> None:
        self.logged_in = False
        self.pause = 0.0  # seconds
        self._next_at = 0.0

    def fetch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the fields and all rows of a request, page by page. Raises `Refused`."""
        self.pause = float(request.get("pause", 0.0))
        self._log_in()
        result = self._send(request)
        if result.error_code == contants.BSERR_NO_LOGIN:  # the server dropped the session: once more
            self.logged_in = False
            self._log_in()
            result = self._send(request)
        rows = list(self._check(result).data) if request["call"] == "day" else self._read_pages(result)
        return {"fields": result.fields, "rows": rows}

    def _log_in(self) -> None:
        if self.logged_in and not server_closed():
            return
        self._wait()
        self.logged_in = False
        self._check(baostock.login())
        self.logged_in = True

    def _send(self, request: dict[str, Any]) -> Any:
        self._wait()
        if request["call"] == "bars":
            span = request["start"], request["end"]
            return baostock.query_history_k_data_plus(
                request["code"], request["fields"], *span, frequency="d", adjustflag=request["flag"]
            )
        if request["call"] == "day":
            return baostock.query_daily_history_k_AStock(request["day"])
        return baostock.query_stock_basic(request["code"])

    def _read_pages(self, result: Any) -> list[list[str]]:
        """Returns the rows of all pages.

        The client takes a page that never came for the end of the rows; here that is a failure.
        """
        rows: list[list[str]] = []
        while True:
            page = self._check(result).data
            rows += page
            if len(page) < contants.BAOSTOCK_PER_PAGE_COUNT:
                return rows
            result.cur_row_num = len(page)
            self._wait()
            if not result.next() and result.data is page and result.error_code == contants.BSERR_SUCCESS:
                raise Refused(contants.BSERR_RECVSOCK_FAIL, "A page of the response did not come.")

    def _check(self, result: Any) -> Any:
        """Returns a successful result. After a network error the next request logs in anew."""
        if result.error_code != contants.BSERR_SUCCESS:
            if result.error_code.startswith(NETWORK):
                self.logged_in = False
            raise Refused(result.error_code, result.error_msg)
        return result

    def _wait(self) -> None:
        """Keeps the requests apart; pages and log-ins are requests, too."""
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self.pause


def server_closed() -> bool:
    """Returns whether the server has closed the connection and all that it sent has been read."""
    connection: socket.socket | None = getattr(context, "default_socket", None)
    if connection is None:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


class ExitMonitor(threading.Thread):
    """Ends the process when its parent has ended, when it is idle, or when the server has hung up."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.parent = os.getppid()
        self.busy, self.since = False, time.monotonic()

    def set_busy(self, busy: bool) -> None:
        self.busy, self.since = busy, time.monotonic()

    def run(self) -> None:
        stdin = select.poll()
        stdin.register(0, 0)  # reports the pipe's other end closed: no request will follow
        closed_in_a_row = 0
        while True:
            time.sleep(CHECK_SECONDS)
            idle = not self.busy and time.monotonic() - self.since > IDLE_SECONDS
            if idle or os.getppid() != self.parent or stdin.poll(0):
                os._exit(0)
            closed_in_a_row = closed_in_a_row + 1 if self.busy and server_closed() else 0
            if closed_in_a_row == CLOSED_CHECKS:
                os._exit(EXIT_SERVER_CLOSED)


def respond(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the rows of a request, or a code and a message."""
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            return session.fetch(request)
    except Refused as refused:
        code, message = refused.args
    except Exception as error:  # the vendor's client fails on the response
        session.logged_in = False
        code, message = contants.BSERR_PARSE_DATA_ERR, f"{type(error).__name__}: {error}"
    if code.startswith(NETWORK):  # the client only prints what went wrong
        message = " ".join([message, *printed.getvalue().replace("login success!", "").split()])
    return {"code": code, "message": message}


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent to act on
    if resource:  # the worker's own limit of that moment; the supervisor would not move it for this process
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    if sys.argv[1]:
        host, _, port = sys.argv[1].rpartition(":")
        contants.BAOSTOCK_SERVER_IP, contants.BAOSTOCK_SERVER_PORT = host, int(port)
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # anything else that is printed must not get among the responses
    session, monitor = Session(), ExitMonitor()
    monitor.start()
    for line in sys.stdin:
        monitor.set_busy(True)
        response = respond(session, json.loads(line))
        monitor.set_busy(False)
        print(json.dumps(response), file=responses, flush=True)


if __name__ == "__main__":
    main()
