"""The system under test: two worker machines and a web server on one database, restarted as by systemd.

A small site is one worker machine.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models.functions import Now

from tasks_app.lifecycle import tokens
from tasks_app.management import bootstrap, web_server
from tasks_app.models import CollectionItem, CollectionLane, CollectionTask
from tasks_app.models.access import TokenScope
from tools.worker_machine import ROOT, Machine, Processes, environment, eventually, marked

ORPHAN_SECONDS = 10.0
START_SECONDS = STOP_SECONDS = 60.0


class Web:
    """gunicorn on a socket that outlives it, as a service manager provides it."""

    def __init__(self, folder: Path, url: str, mark: str) -> None:
        self.listener = web_server.listen("127.0.0.1", 0)
        self.environment = environment(url, MARK=mark, DJANGO_LOG_LEVEL="ERROR")
        self.log_file = folder / "web.log"
        _, self.token = tokens.issue(bootstrap.ensure_admin()[0], mark, TokenScope.OPERATE, None)
        self.start()

    def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *web_server.gunicorn_command(self.listener)],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                pass_fds=[self.listener.fileno()],
                start_new_session=True,
            )

    def post(self, path: str, key: str, body: dict[str, Any]) -> Any:
        """Returns the API's response. Raises OSError without one."""
        headers = {
            "Authorization": f"Token {self.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        url = web_server.url(self.listener, f"/api/data-collection/{path}")
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


class ChaosSite:
    """Everything that may be killed. All its processes carry a mark; no other process is signalled."""

    def __init__(self, folder: Path, url: str, mark: str, server: Any, small: bool = False) -> None:
        self.folder, self.mark, self.server = folder, mark, server
        self.log_file = folder / "requests"
        if not connection.introspection.table_names():  # else its tables are up to date
            bootstrap.migrate_database()
        assert not CollectionTask.objects.exists(), "the database holds tasks: give me an empty one"
        self.web = None if small else Web(folder, url, mark)
        self.machines = []
        for name in ("one",) if small else ("one", "two"):
            (folder / name).mkdir()
            self.machines.append(Machine(folder / name, url, MARK=mark))
        self.restarts = 0
        self.loses_jobs = False
        self.stray: dict[int, float] = {}

    def __enter__(self) -> Self:
        for machine in self.machines:
            machine.start(wait=False)
        for machine in self.machines:
            eventually(machine.processes, START_SECONDS, "the start of all processes")
        if web := self.web:
            eventually(
                lambda: web_server.is_responding(web.listener), START_SECONDS, "the web server's start"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(marked(self.mark))
        for process in self._roots():
            process.wait()
        cache.clear()

    def restart_dead(self) -> None:
        """Restarts what died and what a service manager would restart."""
        for machine in self.machines:
            if machine.supervisor and machine.supervisor.poll() is not None:
                machine.start(wait=False)
                self.restarts += 1
        if self.web and self.web.process.poll() is not None:
            self.web.start()
            self.restarts += 1

    def stop(self) -> list[int]:
        """Sends SIGTERM to everything; returns the processes left after a minute."""
        for process in self._roots():
            process.terminate()
        with suppress(AssertionError):
            eventually(lambda: not self.living(), STOP_SECONDS)
        return self.living()

    def living(self) -> list[int]:
        for process in self._roots():
            process.poll()  # else a dead one stays in the table
        return marked(self.mark)

    def kill(self, pids: Iterable[int]) -> int:
        """Sends SIGKILL to those that are ours; returns how many."""
        ours = set(marked(self.mark)) & set(pids)
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(ours)

    def processes(self) -> list[Processes]:
        """Returns the processes of each machine of which all are alive."""
        alive = set(marked(self.mark))
        started = [machine.processes() for machine in self.machines]
        return [processes for processes in started if processes and processes.all() <= alive]

    def workers(self) -> set[int]:
        return {pid for processes in self.processes() for pid in processes.workers}

    def busy(self) -> list[int]:
        """Returns the workers that hold a lane."""
        holders = CollectionLane.objects.filter(begun=True, lease_until__isnull=False)
        return sorted({_pid(worker) for worker in holders.values_list("worker", flat=True)} & self.workers())

    def expire_lost_leases(self) -> None:
        """Gives the time after which the leases of dead workers and lost jobs are over."""
        lanes = list(CollectionLane.objects.filter(lease_until__isnull=False))
        alive, past = set(marked(self.mark)), Now() - timedelta(seconds=1)
        for lane in lanes:
            if lane.begun and _pid(lane.worker) in alive:
                continue
            items = CollectionItem.objects.filter(task=lane.task_id, lane=lane.number, state="claimed")
            items.update(lease_until=past)
            CollectionLane.objects.filter(pk=lane.pk, generation=lane.generation).update(lease_until=past)

    def idle(self) -> list[int]:
        return sorted(self.workers() - set(self.busy()))

    def family(self, machine: Machine) -> list[int]:
        """Returns a machine's supervisor and its descendants."""
        assert machine.supervisor
        found, grown = {machine.supervisor.pid}, True
        while grown:
            more = {pid for pid in marked(self.mark) if parent(pid) in found} - found
            grown = bool(more)
            found |= more
        return sorted(found)

    def orphans(self) -> list[int]:
        """Returns processes without a parent of ours for more than 10 s. Call it every few seconds."""
        roots = {process.pid for process in self._roots()}
        now, orphaned_since = time.monotonic(), {}
        for pid in marked(self.mark):
            if not ancestors(pid) & roots:
                orphaned_since[pid] = self.stray.get(pid, now)
        self.stray = orphaned_since
        return [pid for pid, since in orphaned_since.items() if now - since > ORPHAN_SECONDS]

    def requests(self) -> list[tuple[float, int, str]]:
        """Returns (unix time, pid, code) of every request to the source so far."""
        if not self.log_file.exists():
            return []
        lines = [line.split() for line in self.log_file.read_text().splitlines()]
        return [(float(at), int(pid), code) for at, pid, code in lines]

    def slots(self) -> int:
        """Returns how many stocks may be in flight at once."""
        return int(settings.COLLECTOR.fan_out * settings.COLLECTOR.in_flight)

    def _roots(self) -> list[subprocess.Popen[bytes]]:
        supervisors = [machine.supervisor for machine in self.machines if machine.supervisor]
        return [*supervisors, self.web.process] if self.web else supervisors


def _pid(worker: str) -> int:
    """Returns the process of a lane's worker, "host:pid"; 0 for a lane that no worker has begun."""
    return int(worker.rpartition(":")[2] or 0)


def parent(pid: int) -> int:
    """Returns the parent's pid, or 0 if the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def ancestors(pid: int) -> set[int]:
    """Returns the process and its ancestors."""
    found = set()
    while pid > 1:
        found.add(pid)
        pid = parent(pid)
    return found
