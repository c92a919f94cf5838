"""The faults. Each function returns whether it found something to break."""

import argparse
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from tools.chaos.site import ChaosSite
from tools.worker_machine import marked

COPIES = 10
HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
"""
TABLE = "CREATE TABLE lost_jobs (id bigint)"
LOSE = "INSERT INTO lost_jobs VALUES (NEW.id); DELETE FROM django_q_ormq WHERE id = NEW.id;"
TRIGGER = "CREATE TRIGGER lose_job AFTER INSERT ON django_q_ormq"
LOSE_JOBS = {  # how it begins, how it ends
    "sqlite": (
        [TABLE, f"{TRIGGER} BEGIN {LOSE} END"],
        ["DROP TRIGGER lose_job", "DROP TABLE lost_jobs"],
    ),
    "postgresql": (
        [
            TABLE,
            "CREATE FUNCTION lose_job() RETURNS trigger LANGUAGE plpgsql"
            f" AS $$ BEGIN {LOSE} RETURN NULL; END $$",
            f"{TRIGGER} FOR EACH ROW EXECUTE FUNCTION lose_job()",
        ],
        ["DROP TRIGGER lose_job ON django_q_ormq", "DROP FUNCTION lose_job", "DROP TABLE lost_jobs"],
    ),
}


@dataclass
class FaultContext:
    """What a fault works on: the site, a random generator and the options."""

    site: ChaosSite
    rng: random.Random
    options: argparse.Namespace

    def kill_one(self, pids: list[int]) -> bool:
        return bool(pids) and self.site.kill([self.rng.choice(pids)]) == 1


def busy_worker(context: FaultContext) -> bool:
    return context.kill_one(context.site.busy())


def idle_worker(context: FaultContext) -> bool:
    return context.kill_one(context.site.idle())


def watchdog(context: FaultContext) -> bool:
    return context.kill_one([processes.watchdog for processes in context.site.processes()])


def supervisor(context: FaultContext) -> bool:
    return context.kill_one(
        [machine.supervisor.pid for machine in context.site.machines if machine.supervisor]
    )


def one_machine(context: FaultContext) -> bool:
    return context.site.kill(context.site.family(context.rng.choice(context.site.machines))) > 0


def whole_lot(context: FaultContext) -> bool:
    return context.site.kill(marked(context.site.mark)) > 0


def web(context: FaultContext) -> bool:
    return context.site.web is not None and context.site.kill([context.site.web.process.pid]) == 1


def queue_lost(context: FaultContext) -> bool:
    """Loses each queue row as it is written, until one was: free workers take them within milliseconds."""
    arm, disarm = LOSE_JOBS[connection.vendor]
    with connection.cursor() as cursor:
        if not context.site.loses_jobs:
            context.site.loses_jobs = True
            for statement in arm:
                cursor.execute(statement)
        cursor.execute("SELECT count(*) FROM lost_jobs")
        if not cursor.fetchone()[0]:
            return False
        for statement in disarm:
            cursor.execute(statement)
        context.site.loses_jobs = False
    return True


def queue_tenfold(context: FaultContext) -> bool:
    """Adds ten copies of every queue row, due at once."""
    rows = list(OrmQ.objects.all())
    copies = [
        OrmQ(key=row.key, payload=row.payload, lock=timezone.now()) for row in rows for _ in range(COPIES)
    ]
    OrmQ.objects.bulk_create(copies)
    return bool(rows)


def cache_flushed(context: FaultContext) -> bool:
    """Clears the cache; of a file cache also its folder."""
    cache.clear()
    if folder := settings.CACHES["default"]["LOCATION"]:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def connections_cut(context: FaultContext) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return bool(cursor.fetchone()[0])


def server_restarted(context: FaultContext) -> bool:
    """Stops the server in fast mode, as `systemctl stop` does: all transactions are rolled back."""
    connection.close()
    context.site.server.stop()
    time.sleep(context.options.away)
    context.site.server.ensure_postgres_running()
    return True


def write_lock_held(context: FaultContext) -> bool:
    database = str(settings.DATABASES["default"]["NAME"])
    subprocess.run([sys.executable, "-c", HOLD, database, str(context.options.hold)], check=True)
    return True


KILLS: dict[str, Callable[[FaultContext], bool]] = {
    "busy worker": busy_worker,
    "idle worker": idle_worker,
    "watchdog": watchdog,
    "supervisor": supervisor,
    "one machine": one_machine,
    "whole lot": whole_lot,
    "web": web,
}
LOSSES: dict[str, Callable[[FaultContext], bool]] = {
    "queue lost": queue_lost,
    "queue tenfold": queue_tenfold,
    "cache flushed": cache_flushed,
    "connections cut": connections_cut,
    "server restarted": server_restarted,
    "write lock held": write_lock_held,
}
FAULTS = KILLS | LOSSES


def possible(site: ChaosSite) -> list[str]:
    """The losses that this database can suffer."""
    lacking = {"write lock held"} if connection.vendor == "postgresql" else {"connections cut"}
    if site.server is None:
        lacking.add("server restarted")
    return [name for name in LOSSES if name not in lacking]


def draw(rng: random.Random, site: ChaosSite) -> str:
    """A kill, or one time in eight a loss."""
    kills = [name for name in KILLS if name != "web" or site.web]
    return rng.choice(possible(site) if rng.random() < 1 / 8 else kills)
