"""Runs a worker machine for tests: `manage.py worker`, its jobs and its processes."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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


def eventually(condition: Callable[[], object], seconds: float, what: str = "") -> float:
    """Returns the seconds until the condition held; fails the test after `seconds`."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)
    return time.monotonic() - began


class Machine:
    """A supervisor and its processes. `folder` holds the log and the jobs' notes."""

    def __init__(self, folder: Path, url: str, **extra: str) -> None:
        self.folder, self.url = folder, url
        self.environment = environment(url, DJANGO_LOG_LEVEL="INFO", **extra)
        self.log_file, self.notes_file = folder / "log", folder / "notes"
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.queuer: subprocess.Popen[str] | None = None
        self.worker_count = 2

    def start(self, workers: int = 2, wait: bool = True) -> None:
        self.worker_count = workers
        command = [sys.executable, str(ROOT / "manage.py"), "worker", "--workers", str(workers)]
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
            eventually(self.processes, 30, "the start of all processes")

    @property
    def database(self) -> Path:
        """The path of the SQLite database."""
        return Path(self.url.removeprefix("sqlite:///"))

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

    def queue(self, function: str, *arguments: object, **options: object) -> None:
        """Queues one of tests.concurrency.jobs; its first argument is the path of the notes."""
        if self.queuer is None:
            command = [sys.executable, "-m", "tests.concurrency.jobs"]
            pipe = subprocess.PIPE
            self.queuer = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self.environment)
        assert self.queuer.stdin and self.queuer.stdout
        print(
            json.dumps([function, [str(self.notes_file), *arguments], options]),
            file=self.queuer.stdin,
            flush=True,
        )
        assert self.queuer.stdout.readline() == "queued\n"

    def notes(self) -> list[tuple[int, str]]:
        """Returns (pid, text) of every note so far."""
        if not self.notes_file.exists():
            return []
        lines = self.notes_file.read_text().splitlines()
        return [(int(pid), text) for pid, _, text in (line.partition(" ") for line in lines)]

    def note_pid(self, text: str) -> int | None:
        """Returns the pid of the process that left this note, if any."""
        return next((pid for pid, note in self.notes() if note == text), None)

    def prove_alive(self, text: str = "alive") -> None:
        """Waits until a job has run."""
        self.queue("note", text)
        eventually(lambda: self.note_pid(text), 30, "a job")

    def become_idle(self) -> None:
        """Waits until all jobs are acknowledged."""
        with closing(sqlite3.connect(self.database)) as connection:
            count = "SELECT count(*) FROM django_q_ormq"
            eventually(lambda: connection.execute(count).fetchone() == (0,), 10, "an empty queue")

    def seconds_until_new_workers_work(self, old: Processes) -> float:
        """Queues jobs until a new process has run one. Returns the seconds."""
        before = len(self.notes())

        def probe() -> bool:
            self.queue("note", "probe")
            time.sleep(0.1)
            return any(text == "probe" and pid not in old.workers for pid, text in self.notes()[before:])

        return eventually(probe, 30, "a job in a new process")

    def living(self) -> list[int]:
        """Returns the pids of all living processes below the supervisor, those started by jobs included."""
        sessions = {int(pid) for _, pid in LINE.findall(self.log())}
        table = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in table.stdout.splitlines()]
        return [int(pid) for pid, group, state in rows if int(group) in sessions and state[0] != "Z"]

    def signal(self, signum: int) -> None:
        assert self.supervisor
        self.supervisor.send_signal(signum)

    def wait(self, seconds: float) -> int:
        """Waits for the supervisor's end. Returns its exit code."""
        assert self.supervisor
        return self.supervisor.wait(seconds)

    def close(self) -> None:
        """Kills everything that is left."""
        if self.supervisor and self.supervisor.poll() is None:
            self.supervisor.kill()
            self.supervisor.wait()
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
        if self.queuer:
            self.queuer.kill()
            self.queuer.communicate()
