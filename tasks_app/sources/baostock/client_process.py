"""BaoStock's client in a process that the whole machine shares: one session, one request at a time.

The client has one global socket without a timeout, and when the server closes it, `recv` spins at full CPU:
what happens here must be killable. And the vendor blacklists addresses with several sessions.

Run with the server's address as argument. Requests: {"call": "bars", "code", "fields", "start", "end",
"flag"}, {"call": "day", "day"}, {"call": "listings", "code"}, {"call": "factors", "code", "start", "end"} or
{"call": "dividends", "code", "year"}, whose year is that of the ex day; each also has "api_key", "" for
none, and "pause" (seconds). {"call": "end_session"} logs out. Each request to the server takes a permit, also
log-ins, pages and repetitions.
Responses: {"fields": [...], "rows": [[...], ...]} or {"code": "10001011", "message": "..."}.
"""

import socket
import sys
import time
from contextlib import redirect_stdout, suppress
from functools import partial
from io import StringIO
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    # An empty module in its place: only `get_data` of the client's answers needs it, which nobody here calls.
    # With pandas the process took 71 MB and 0.46 s to start, without 24 MB and 0.13 s.
    sys.modules["pandas"] = ModuleType("pandas")

import baostock
from baostock.common import contants, context

from tasks_app.sources.base import Transient, take_permit
from tasks_app.sources.permits import use_permit
from tasks_app.sources.shared_process.server import Server, run

NETWORK = "10002"  # how the codes of network errors begin
NOT_CONNECTED = "服务器连接失败"  # what the client prints when it can't connect, before other errors
UNREACHABLE = "unreachable"
NO_KEY = "0"  # as the client itself writes it
CLOSE_SECONDS = 1.0  # for the server to close its end, too
NO_PERMIT = "no_permit"
CLOSED = {"code": "connection_closed", "message": ""}


class Refused(Exception):
    """The arguments are the server's error code, or the client's own, and its message."""


class Session:
    """The session with the server: logged in when needed, one request at a time."""

    def __init__(self) -> None:
        self.logged_in = False
        self.api_key = ""
        self._pause = 0.0  # seconds between two requests to the server, at least
        self._next_at = 0.0

    def fetch(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the fields and all rows of a request, page by page. Raises `Refused`."""
        self._pause = request.get("pause", 0.0)
        if self.api_key != request.get("api_key", ""):
            self.log_out()
            self.api_key = request.get("api_key", "")
        take_permit()  # before the look whether there is a session: the server may end it during the wait
        self._log_in()
        result = self._send(request)
        if result.error_code == contants.BSERR_NO_LOGIN:  # the server dropped the session: once more
            self.logged_in = False
            self._log_in()
            result = self._send(request)
        rows = list(self._check(result).data) if request["call"] == "day" else self._read_pages(result)
        return {"fields": result.fields, "rows": rows}

    def log_out(self) -> None:
        """Ends the session by closing its connection, on both ends: a request to log out might hang."""
        self.logged_in = False
        connection, context.default_socket = getattr(context, "default_socket", None), None
        if connection:
            with connection, suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(CLOSE_SECONDS)
                while connection.recv(1 << 16):
                    continue

    def _log_in(self) -> None:
        if self.logged_in and not server_closed():
            return
        self.log_out()  # the client opens the new connection before it drops the old one
        self._begin_request()
        baostock.set_API_key(self.api_key or NO_KEY)
        self._check(baostock.login())
        self.logged_in = True

    def _send(self, request: dict[str, Any]) -> Any:
        self._begin_request()
        match request["call"]:
            case "bars":
                span = request["start"], request["end"]
                return baostock.query_history_k_data_plus(
                    request["code"], request["fields"], *span, frequency="d", adjustflag=request["flag"]
                )
            case "day":
                return baostock.query_daily_history_k_AStock(request["day"])
            case "factors":
                return baostock.query_adjust_factor(request["code"], request["start"], request["end"])
            case "dividends":
                return baostock.query_dividend_data(request["code"], request["year"], "operate")
        return baostock.query_stock_basic(request["code"])

    def _read_pages(self, result: Any) -> list[list[str]]:
        """Returns the rows of all pages.

        More rows than a page has are the whole response: since June 2026 some are sent at once. The client
        takes a page that never came for the end of the rows; here that is a failure.
        """
        rows: list[list[str]] = []
        while True:
            page = self._check(result).data
            if page == rows[-len(page) :]:  # sent at once after all, and now again
                return rows
            rows += page
            if len(page) != contants.BAOSTOCK_PER_PAGE_COUNT:
                return rows
            result.cur_row_num = len(page)
            self._begin_request()
            if not result.next() and result.data is page and result.error_code == contants.BSERR_SUCCESS:
                raise Refused(contants.BSERR_RECVSOCK_FAIL, "A page of the response did not come.")

    def _check(self, result: Any) -> Any:
        """Returns a successful result. After a network error the next request logs in anew."""
        if result.error_code != contants.BSERR_SUCCESS:
            if result.error_code.startswith(NETWORK):
                self.logged_in = False
            raise Refused(result.error_code, result.error_msg)
        return result

    def _begin_request(self) -> None:
        """Sees to a permit for each request: pages and log-ins are requests, too.

        On a busy machine one may be sent later than permitted; the next one still keeps its distance.
        """
        use_permit()
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self._pause


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


def respond(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    """Returns the rows of a request, or a code and a message."""
    if request["call"] == "end_session":
        session.log_out()
        return {"fields": [], "rows": []}
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            return session.fetch(request)
    except Refused as refused:
        code, message = refused.args
    except Transient as error:  # there was no permit
        return {"code": NO_PERMIT, "error": (str(error), error.code, error.retry_after)}
    except Exception as error:  # the vendor's client fails on the response
        session.logged_in = False
        code, message = contants.BSERR_PARSE_DATA_ERR, f"{type(error).__name__}: {error}"
    if code.startswith(NETWORK) and NOT_CONNECTED in printed.getvalue():
        has_key = session.api_key.startswith("bs-")  # as the client chooses
        host = contants.BAOSTOCK_VIP_SERVER_IP if has_key else contants.BAOSTOCK_SERVER_IP
        return {"code": UNREACHABLE, "message": f"{host}:{contants.BAOSTOCK_SERVER_PORT}"}
    if code.startswith(NETWORK):  # the client only prints what went wrong
        message = " ".join([message, *printed.getvalue().replace("login success!", "").split()])
    return {"code": code, "message": message}


def main(address: str) -> None:
    if address:
        host, _, port = address.rpartition(":")
        contants.BAOSTOCK_SERVER_IP = contants.BAOSTOCK_VIP_SERVER_IP = host
        contants.BAOSTOCK_SERVER_PORT = int(port)
    session = Session()
    # The session ends with the worker that used it last: the next one may be on another machine.
    run(Server(partial(respond, session), leave=session.log_out, is_lost=server_closed, lost=CLOSED))


if __name__ == "__main__":
    main(sys.argv[2])
