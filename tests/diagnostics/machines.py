"""Worker machines of tests: their heartbeats in the cache, and their rows in the database."""

from types import SimpleNamespace
from typing import Any

from django.db.models.functions import Now
from django_q.brokers import get_broker
from django_q.signing import SignedPackage
from django_q.status import Stat, Status

from tasks_app.diagnostics import versions
from tasks_app.models import WorkerMachine


def publish_machine(host: str, workers: int = 2, *, beats: bool = True, **fields: Any) -> WorkerMachine:
    """Stores the row of a worker machine, and its heartbeat unless it is silent."""
    pid = 1000 + WorkerMachine.objects.count()
    if beats:
        status = Status(pid, f"{host}-{pid}")
        status.host, status.workers = host, list(range(workers))
        status.status = "Idle"
        get_broker().set_stat(Stat.get_key(status.cluster_id), SignedPackage.dumps(status, True), 600)
    row = {"versions": versions.versions(), "clock_offset": 0.0, **fields}
    return WorkerMachine.objects.create(host=host, pid=pid, workers=workers, seen_at=Now(), **row)


def silence_machines() -> None:
    """Ends all heartbeats, and forgets the machines."""
    from django.core.cache import cache

    cache.clear()
    WorkerMachine.objects.all().delete()


def versions_with(**changes: str) -> dict[str, str]:
    """Returns the versions of this process, some of them changed."""
    return {**versions.versions(), **changes}


def usage(free: int, total: int = 10**12) -> Any:
    """Returns what `shutil.disk_usage` does, with so many bytes free."""
    return lambda path: SimpleNamespace(total=total, used=total - free, free=free)
