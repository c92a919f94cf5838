"""Runs a worker machine for tests: `manage.py worker` and its processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0  # seconds: only where something is broken does anything take as long
LINE = re.compile(r"(watchdog|worker-\d+) is process (\d+)")


@dataclass(frozen=True)
class Processes:
    """The pids of a machine's processes, without the supervisor's."""

    watchdog: int
    workers: tuple[int, ...]

    def all(self) -> set[int]:
        return {self.watchdog, *self.workers}


def environment(url: str, **extra: str) -> dict[str, str]:
    """Returns the environment of a process that uses this database and imports the repository."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    site = {"DJANGO_SETTINGS_MODULE": "collector_site.settings", "DATABASE_URL": url, "PYTHONPATH": path}
    return {**os.environ, **site, **extra}


def marked(mark: str) -> list[int]:
    """Returns the pids of all processes that inherited `MARK=mark` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"MARK={mark}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def eventually(condition: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> float:
    """Returns the seconds until the condition held; fails the test after `seconds`."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)
    return time.monotonic() - began


class Machine:
    """A supervisor and its processes. `folder` holds the log."""

    def __init__(self, folder: Path, url: str, **extra: str) -> None:
        self.folder, self.url = folder, url
        self.environment = environment(url, DJANGO_LOG_LEVEL="INFO", **extra)
        self.log_file = folder / "log"
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.worker_count = 2

    def start(self, workers: int = 2, wait: bool = True) -> None:
        self.worker_count = workers
        command = [sys.executable, str(ROOT / "manage.py"), "worker", "--skip-checks"]  # as quickstart does
        command += ["--workers", str(workers)]
        with self.log_file.open("ab") as log:
            self.supervisor = subprocess.Popen(
                command,
                cwd=self.folder,  # nothing may depend on the working directory
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            eventually(self.processes, what="the start of all processes")

    @property
    def supervisor_pid(self) -> int:
        assert self.supervisor
        return self.supervisor.pid

    def has_ended(self) -> bool:
        return self.supervisor is None or self.supervisor.poll() is not None

    def log(self) -> str:
        return self.log_file.read_text()

    def processes(self) -> Processes | None:
        """Returns the processes last named in the log; None until all have been started."""
        pids = {name: int(pid) for name, pid in LINE.findall(self.log())}
        if len(pids) <= self.worker_count:
            return None
        return Processes(pids.pop("watchdog"), tuple(pids[name] for name in sorted(pids)))

    def current(self) -> Processes:
        """Returns the processes of a machine that has been started."""
        processes = self.processes()
        assert processes
        return processes

    def living(self) -> list[int]:
        """Returns the pids of all living processes below the supervisor, those started by jobs included."""
        sessions = {int(pid) for _, pid in LINE.findall(self.log())}
        table = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in table.stdout.splitlines()]
        return [int(pid) for pid, group, state in rows if int(group) in sessions and state[0] != "Z"]

    def signal(self, signum: int) -> None:
        assert self.supervisor
        self.supervisor.send_signal(signum)

    def wait(self) -> int:
        """Waits for the supervisor's end. Returns its exit code."""
        assert self.supervisor
        return self.supervisor.wait(PATIENCE)

    def stop(self) -> float:
        """Stops the machine. Returns the most memory in MB that any of its processes has held.

        This is the kernel's own maximum over the supervisor and all processes that it, or a process below it,
        has waited for. Linux only: elsewhere the unit differs.
        """
        assert self.supervisor
        self.supervisor.terminate()
        ended: list[Any] = []

        def has_ended() -> bool:
            pid, *ended[:] = os.wait4(self.supervisor_pid, os.WNOHANG)
            return pid != 0

        eventually(has_ended, what="the supervisor's end")
        status, usage = ended
        self.supervisor.returncode = os.waitstatus_to_exitcode(status)
        return float(usage.ru_maxrss * 1024 / 1_000_000)

    def close(self) -> None:
        """Kills everything that is left."""
        if self.supervisor and self.supervisor.poll() is None:
            self.supervisor.kill()
            self.supervisor.wait()
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
