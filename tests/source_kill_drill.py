"""Kills real workers, and the process of their client, while they collect from a vendor's stand-in."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from tests.concurrency.own_database import manage, rows
from tests.concurrency.test_akshare_workers import peak_megabytes
from tests.source_drill import Outcome
from tests.sources.test_vendors import SPAN, expected_bars, symbol_codes
from tools.postgresql import new_database, postgresql
from tools.worker_machine import Machine, eventually, marked

KILL_AFTER = 5  # stocks
MARK = f"source-drill-{os.getpid()}"
TASK = "tasks_app_collectiontask"
PATIENCE = {
    "COLLECTOR_LEASE": "4",
    "COLLECTOR_HEARTBEAT": "1",
    "COLLECTOR_WATCHDOG_INTERVAL": "1",
    "COLLECTOR_FETCH_TIMEOUT": "20",
    "COLLECTOR_FAN_OUT": "2",
    "COLLECTOR_ADJUSTMENT_DATA": "0",
    "COLLECTOR_BACKOFF": "0.2",
    "MARK": MARK,
}


def kill_drills(vendor: Any, folder: Path) -> Iterator[Outcome]:
    """Yields the outcome on each kind of database."""
    for kind in ("sqlite", "postgresql"):
        outcome, began = Outcome(f"kill, {kind}"), time.monotonic()
        place = folder / f"{vendor.source}-{vendor.market}-{kind}"
        place.mkdir()
        with database(kind, place) as url, vendor.run() as server:
            try:
                outcome.shown = kill(vendor, server, url, place)
            except AssertionError as error:
                outcome.problem = str(error)
            outcome.requests = len(server.requests)
        outcome.seconds = time.monotonic() - began
        yield outcome


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        url = f"sqlite:///{folder}/db.sqlite3"
        manage(url, "migrate")
        yield url
        return
    with postgresql(durable=False) as server, new_database(server) as url:
        manage(url, "migrate")
        yield url


def kill(vendor: Any, server: Any, url: str, folder: Path) -> str:
    """Kills all workers and their client's process in mid-run; the rest must come, and only the rest."""
    rate = "3" if vendor.source == "tushare" else "15"
    own = {
        **getattr(server, "environment", {}),
        **dict(vendor.settings(server)),
        **PATIENCE,
        f"COLLECTOR_{vendor.source.upper()}_RATE": rate,
        f"COLLECTOR_{vendor.source.upper()}_PER_HOUR": "100000",
    }
    machine = Machine(folder, url, **own)
    codes = symbol_codes(vendor)
    try:
        machine.start()
        words = ["--source", vendor.source, "--market", vendor.market, "--codes", ",".join(codes)]
        days = ["--start-date", f"{SPAN[0]}", "--end-date", f"{SPAN[1]}"]
        manage(url, "collect", "start", *words, *days, **own)
        done = f"SELECT success_count FROM {TASK}"
        eventually(lambda: rows(url, done)[0][0] >= KILL_AFTER, what="the first stocks")
        for pid in {*machine.current().workers, *clients()}:
            os.kill(pid, signal.SIGKILL)
        finished = finished_codes(url)
        sent = len(server.requests)
        ended = f"SELECT status, success_count FROM {TASK} WHERE status <> 'running'"
        seconds = eventually(lambda: rows(url, ended), what=f"the task's end; {rows(url, done)}")
        assert rows(url, ended) == [("completed", len(codes))], f"{rows(url, ended)}"
        megabytes = max(map(peak_megabytes, machine.current().workers))
    finally:
        machine.close()
        for pid in clients():
            os.kill(pid, signal.SIGKILL)
    again = fetched_again(server.requests[sent:], finished)
    assert not again, f"requested again though finished: {sorted(again)[:5]}"
    check_bars(vendor, url, codes)
    told = f"killed with {len(finished)} of {len(codes)} done, complete {seconds:.0f} s later, none again"
    return f"{told}; workers up to {megabytes:.0f} MB"


def clients() -> list[int]:
    """Returns the processes that run a vendor's client for this drill's workers."""
    found = []
    for pid in marked(MARK):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if "source_main" in command or "client_process" in command:
            found.append(pid)
    return found


def finished_codes(url: str) -> set[str]:
    query = "SELECT code FROM tasks_app_collectionitem WHERE state = 'succeeded'"
    return {code for (code,) in rows(url, query)}


def fetched_again(requests: list[Any], finished: set[str]) -> set[str]:
    """Returns the finished codes that later requests name; those that were in flight are not finished."""
    texts = [repr(request) for request in requests]
    return {code for code in finished if any(code in text for text in texts)}


def check_bars(vendor: Any, url: str, codes: dict[str, Any]) -> None:
    columns = "day, open, close, high, low, volume, amount"
    for code, stock in codes.items():
        query = f"SELECT {columns} FROM tasks_app_dailybar WHERE symbol = '{code}' ORDER BY day"
        stored = [(date.fromisoformat(str(day)), *rest) for day, *rest in rows(url, query)]
        assert stored == expected_bars(stock, vendor), f"other bars of {code}: {stored[:1]}"
