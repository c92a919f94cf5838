"""BaoStock's client in a process of its own: one JSON line asks, one JSON line answers.

Run by its path with the server's address as argument; it imports nothing of ours. The client has one
global socket without a time-out, and when the server closes it, `recv` spins for ever: what happens
here must be killable. So whoever started this process kills it when an answer is late, and a watching
thread ends it when its parent is gone, when the server hung up, and after a long time without work.

Asked: {"call": "bars", "code", "fields", "start", "end", "flag"}, {"call": "day", "day"} or
{"call": "listings", "code"}; further "pause", the least seconds between two requests to the server.
Answered: {"fields": [...], "rows": [[...], ...]} or {"code": "10001011", "message": "..."}.
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

import baostock
from baostock.common import contants, context

NETWORK = "10002"  # how the codes of network errors begin
CLOSED = 3  # the exit code that says that the server hung up
IDLE_SECONDS = 600.0
LOOK_SECONDS = 0.25
LOOKS = 4  # how often a closed line is seen before it counts: the answer may be complete, and at work


class Refused(Exception):
    """The server's error code, or the client's own, and what it said."""


class Line:
    """The session with the server: logged in when needed, one request at a time."""

    def __init__(self) -> None:
        self.pause = 0.0
        self._next_at = 0.0
        self._logged_in = False

    def rows(self, ask: dict[str, Any]) -> dict[str, Any]:
        """All pages of an answer. Raises `Refused`."""
        self.pause = float(ask.get("pause", 0.0))
        self._log_in()
        result = self._request(ask)
        if result.error_code == contants.BSERR_NO_LOGIN:  # the server forgot us: once more
            self.drop()
            self._log_in()
            result = self._request(ask)
        rows = self._pages(result) if ask["call"] != "day" else list(self._good(result).data)
        return {"fields": result.fields, "rows": rows}

    def drop(self) -> None:
        """Log in anew before the next request."""
        self._logged_in = False

    def _log_in(self) -> None:
        if self._logged_in and not hung_up():
            return
        self._wait()
        self.drop()
        self._good(baostock.login())
        self._logged_in = True

    def _request(self, ask: dict[str, Any]) -> Any:
        self._wait()
        if ask["call"] == "bars":
            return baostock.query_history_k_data_plus(
                ask["code"], ask["fields"], ask["start"], ask["end"], frequency="d", adjustflag=ask["flag"]
            )
        if ask["call"] == "day":
            return baostock.query_daily_history_k_AStock(ask["day"])
        return baostock.query_stock_basic(ask["code"])

    def _pages(self, result: Any) -> list[list[str]]:
        """Every row. The client takes a page that never came for the end: that is told apart here."""
        rows: list[list[str]] = []
        while True:
            page = self._good(result).data
            rows += page
            if len(page) < contants.BAOSTOCK_PER_PAGE_COUNT:
                return rows
            result.cur_row_num = len(page)
            self._wait()
            if not result.next() and result.data is page and result.error_code == contants.BSERR_SUCCESS:
                raise Refused(contants.BSERR_RECVSOCK_FAIL, "A page of the answer did not come.")

    def _good(self, result: Any) -> Any:
        """The result, if it is one. After a network error the next request logs in anew."""
        if result.error_code != contants.BSERR_SUCCESS:
            if result.error_code.startswith(NETWORK):
                self.drop()
            raise Refused(result.error_code, result.error_msg)
        return result

    def _wait(self) -> None:
        """Keep the requests apart: pages and log-ins are requests, too."""
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self.pause


def hung_up() -> bool:
    """Whether the server has closed the line and all it sent has been read."""
    line: socket.socket | None = getattr(context, "default_socket", None)
    if line is None:
        return False
    try:
        return not line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


class Watch(threading.Thread):
    """Ends the process when there is nobody left to work for, or nobody to wait for."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.parent = os.getppid()
        self.since = time.monotonic()
        self.busy = False

    def turn(self, busy: bool) -> None:
        """A request begins, or has ended."""
        self.busy, self.since = busy, time.monotonic()

    def run(self) -> None:
        questions = select.poll()
        questions.register(0, 0)  # the pipe's other end closed: nobody will ask again
        closed = 0
        while True:
            time.sleep(LOOK_SECONDS)
            idle = not self.busy and time.monotonic() - self.since > IDLE_SECONDS
            if idle or os.getppid() != self.parent or questions.poll(0):
                os._exit(0)
            closed = closed + 1 if self.busy and hung_up() else 0
            if closed == LOOKS:
                os._exit(CLOSED)


def answer(line: Line, ask: dict[str, Any]) -> dict[str, Any]:
    """What the vendor's client makes of a request: its rows, or a code and a message."""
    said = StringIO()
    try:
        with redirect_stdout(said):
            return line.rows(ask)
    except Refused as refused:
        code, message = refused.args
    except Exception as error:  # an answer that the vendor's client trips over
        line.drop()
        code, message = contants.BSERR_PARSE_DATA_ERR, f"{type(error).__name__}: {error}"
    if code.startswith(NETWORK):  # the client prints what went wrong and tells it to nobody
        message = " ".join([message, *said.getvalue().replace("login success!", "").split()])
    return {"code": code, "message": message}


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for our parent to act on
    if sys.argv[1]:
        host, _, port = sys.argv[1].rpartition(":")
        contants.BAOSTOCK_SERVER_IP, contants.BAOSTOCK_SERVER_PORT = host, int(port)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed past us must not get among the answers
    line, watch = Line(), Watch()
    watch.start()
    for question in sys.stdin:
        watch.turn(busy=True)
        told = answer(line, json.loads(question))
        watch.turn(busy=False)
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
