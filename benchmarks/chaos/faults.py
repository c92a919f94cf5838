"""What can be done to a site. Each fault returns whether it found something to break."""

import argparse
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from benchmarks.chaos.site import Site
from tools.worker_machine import marked

UNTAKEN_SECONDS = 15.0
COPIES = 10
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
"""


@dataclass
class Blow:
    """Where it lands, and the choices it has."""

    site: Site
    chance: random.Random
    options: argparse.Namespace

    def kill_one(self, pids: list[int]) -> bool:
        return bool(pids) and self.site.kill([self.chance.choice(pids)]) == 1


def busy_worker(blow: Blow) -> bool:
    return blow.kill_one(blow.site.busy())


def idle_worker(blow: Blow) -> bool:
    return blow.kill_one(blow.site.idle())


def role(name: str, blow: Blow) -> bool:
    return blow.kill_one([getattr(roles, name) for roles in blow.site.clusters()])


def supervisor(blow: Blow) -> bool:
    return blow.kill_one([machine.supervisor.pid for machine in blow.site.machines if machine.supervisor])


def one_machine(blow: Blow) -> bool:
    return blow.site.kill(blow.site.family(blow.chance.choice(blow.site.machines))) > 0


def whole_lot(blow: Blow) -> bool:
    return blow.site.kill(marked(blow.site.mark)) > 0


def web(blow: Blow) -> bool:
    return blow.site.kill([blow.site.web.process.pid]) == 1


def queue_lost(blow: Blow) -> bool:
    """Delete every row, and wait for one that no cluster has taken yet: its slice is lost."""
    deadline = time.monotonic() + UNTAKEN_SECONDS
    while time.monotonic() < deadline:
        if OrmQ.objects.filter(lock__lte=timezone.now()).delete()[0]:
            OrmQ.objects.all().delete()
            return True
        time.sleep(0.01)
    return OrmQ.objects.all().delete()[0] > 0


def queue_tenfold(blow: Blow) -> bool:
    """Ten copies of every row, for the taking at once."""
    rows = list(OrmQ.objects.all())
    copies = [
        OrmQ(key=row.key, payload=row.payload, lock=timezone.now()) for row in rows for _ in range(COPIES)
    ]
    OrmQ.objects.bulk_create(copies)
    return bool(rows)


def cache_flushed(blow: Blow) -> bool:
    """With files, the folder goes, too."""
    cache.clear()
    if folder := settings.CACHES["default"]["LOCATION"]:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def connections_cut(blow: Blow) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return bool(cursor.fetchone()[0])


def server_restarted(blow: Blow) -> bool:
    """Fast, as `systemctl stop` does: everybody's transaction is rolled back."""
    connection.close()
    blow.site.server.stop()
    time.sleep(blow.options.away)
    blow.site.server.ensure_postgres_running()
    return True


def write_lock_held(blow: Blow) -> bool:
    database = str(settings.DATABASES["default"]["NAME"])
    subprocess.run([sys.executable, "-c", HOLD, database, str(blow.options.hold)], check=True)
    return True


KILLS: dict[str, Callable[[Blow], bool]] = {
    "busy worker": busy_worker,
    "idle worker": idle_worker,
    "monitor": partial(role, "monitor"),
    "pusher": partial(role, "pusher"),
    "sentinel": partial(role, "sentinel"),
    "cluster main": partial(role, "main"),
    "supervisor": supervisor,
    "one machine": one_machine,
    "whole lot": whole_lot,
    "web": web,
}
LOSSES: dict[str, Callable[[Blow], bool]] = {
    "queue lost": queue_lost,
    "queue tenfold": queue_tenfold,
    "cache flushed": cache_flushed,
    "connections cut": connections_cut,
    "server restarted": server_restarted,
    "write lock held": write_lock_held,
}
FAULTS = KILLS | LOSSES


def possible(site: Site) -> list[str]:
    """The losses that this database can suffer."""
    lacking = {"write lock held"} if connection.vendor == "postgresql" else {"connections cut"}
    if site.server is None:
        lacking.add("server restarted")
    return [name for name in LOSSES if name not in lacking]


def draw(chance: random.Random, site: Site) -> str:
    """A kill, or one time in eight a loss."""
    return chance.choice(possible(site) if chance.random() < 1 / 8 else list(KILLS))
