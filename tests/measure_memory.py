"""Measures the memory of workers that collect from a vendor: `python -m tests.measure_memory SOURCE …`.

Two real workers collect all stocks of the source's stand-in several times, on SQLite. Printed per source are
the kernel's maxima of resident memory, in MB, of each worker and of the process that runs the vendor's
client, if there is one; in brackets their shares (PSS) at the end, in which shared pages count in parts.
"""

import argparse
import os
import signal
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tests.concurrency.own_database import manage, rows
from tests.concurrency.test_akshare_workers import peak_megabytes
from tests.measure_rates import FIRST, LAST
from tests.sources.vendors import STOCKS, VENDORS, Vendor
from tools.worker_machine import Machine, eventually, marked

MARK = f"memory-{os.getpid()}"
TASKS = 3
STATUSES = "SELECT status FROM tasks_app_collectiontask WHERE status <> 'running'"


def measure(vendor: Vendor) -> str:
    """Returns what the workers and the client's process held while the tasks ran one after the other."""
    with tempfile.TemporaryDirectory() as name, vendor.run() as server:
        url = f"sqlite:///{Path(name) / 'db.sqlite3'}"
        manage(url, "migrate")
        own = environment_of(vendor, server, name)
        machine = Machine(Path(name), url, **own)
        try:
            machine.start()
            idle = describe(machine.current().workers)
            for number in range(1, TASKS + 1):
                collect(vendor, url, own)
                eventually(partial(has_ended, url, number), what="the task's end")
            assert {status for (status,) in rows(url, STATUSES)} == {"completed"}
            told = f"workers {describe(machine.current().workers)}, before their first task {idle}"
            return f"{told}; client's process {describe(clients()) or 'none'}"
        finally:
            machine.close()
            for pid in clients():
                os.kill(pid, signal.SIGKILL)


def environment_of(vendor: Vendor, server: Any, folder: str) -> dict[str, str]:
    """Returns what leads workers to the stand-in, at a rate that is no matter here."""
    return {
        **getattr(server, "environment", {}),
        **dict(vendor.settings(server)),
        "COLLECTOR_FAN_OUT": "2",
        "COLLECTOR_RATES": f"{vendor.source}=20",
        f"COLLECTOR_{vendor.source.upper()}_PER_HOUR": "100000",
        "TMPDIR": folder,
        "MARK": MARK,
    }


def collect(vendor: Vendor, url: str, own: dict[str, str]) -> None:
    """Starts a task of all stocks that the vendor has."""
    codes = {stock.code for stock in STOCKS[vendor.market].values()}
    if vendor.source == "yfinance":
        codes.discard("920002")  # of Beijing's exchange
    days = ["--start-date", f"{FIRST}", "--end-date", f"{LAST}", "--force"]
    words = ["--source", vendor.source, "--market", vendor.market, "--codes", ",".join(sorted(codes))]
    manage(url, "collect", "start", *words, *days, **own)


def has_ended(url: str, number: int) -> bool:
    """Returns whether so many tasks have ended."""
    return len(rows(url, STATUSES)) == number


def clients() -> list[int]:
    """Returns the processes that run a vendor's client for the workers."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in marked(MARK)}
    return [pid for pid, text in commands.items() if "source_main" in text or "client_process" in text]


def describe(pids: Iterable[int]) -> str:
    """Returns each process's maximum, and in brackets its share now."""
    return ", ".join(f"{peak_megabytes(pid):.0f} ({share_megabytes(pid):.0f})" for pid in pids)


def share_megabytes(pid: int) -> float:
    """Returns the memory of a process, of shared pages its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    by_source = {vendor.source: vendor for vendor in reversed(VENDORS)}
    for name in parser.parse_args().sources:
        print(f"{name}: {measure(by_source[name])}", flush=True)


if __name__ == "__main__":
    main()
