"""Breaks real installations, and runs `manage.py doctor` on each: `python -m tools.doctor_drill`.

A database server that is stopped or has no connection left, a lock that is waited for, a wrong clock, a disk
that is full or mounted read-only, a journal that a reader lets grow, a damaged file, workers that are killed,
a Redis that is full or ends, a calendar that ends, a time zone that is missing. Prints each fault with what
the doctor said of it. Exits with 1 if a fault was not reported, or was reported before it was there. What
this machine lacks (the right to mount, Redis) is skipped aloud.
"""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from tools.postgresql import own_server
from tools.worker_machine import ROOT, Machine, environment, eventually

KEY = "only-for-the-drill-" * 4
WAL_BYTES, WAL_PART = 1_100_000_000, 50_000_000
LOCKED_SECONDS = 11.0  # the doctor counts from ten
# Runs manage.py with a clock that is so many seconds ahead, as on a machine without NTP.
AHEAD = (
    "import sys, time; real, ahead = time.time, float(sys.argv.pop(1)); time.time = lambda: real() + ahead; "
    "from django.core.management import execute_from_command_line as run; run(sys.argv)"
)


class Drill:
    """An installation: its environment, and what went wrong so far."""

    def __init__(self, url: str, **extra: str) -> None:
        self.environment = environment(url, DJANGO_SECRET_KEY=KEY, LC_ALL="C.UTF-8", **extra)
        self.misses: list[str] = []

    def manage(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of manage.py, whatever its exit code."""
        return self.run("manage.py", *arguments, **extra)

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Runs a Python program, whatever its exit code."""
        whole = {**self.environment, **extra}
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=whole, capture_output=True, text=True, check=False
        )

    def doctor(self, *arguments: str, ahead: float = 0.0, **extra: str) -> tuple[int, dict[str, Any]]:
        """Returns the exit code of the doctor, and its findings by code."""
        program = ["-c", AHEAD, str(ahead)] if ahead else ["manage.py"]
        done = self.run(*program, "doctor", "--json", *arguments, **extra)
        if not done.stdout:
            return done.returncode, {"": {"severity": "fault", "found": done.stderr.strip(), "advice": ""}}
        found = [finding for area in json.loads(done.stdout)["areas"] for finding in area["findings"]]
        return done.returncode, {finding["code"]: finding for finding in found}

    def expect(self, what: str, code: str, *arguments: str, **options: Any) -> None:
        """Prints what the doctor says of a fault, which it must report by its exit code, too."""
        exit_code, found = self.doctor(*arguments, **options)
        finding = found.get(code, {"severity": "NOT REPORTED", "found": ", ".join(found), "advice": ""})
        print(
            f"{what}: exit code {exit_code}\n  {finding['severity']} {code}: {finding['found']}", flush=True
        )
        if finding["advice"]:
            print(f"  {finding['advice']}")
        least = {"fault": 2, "warning": 1}.get(finding["severity"], 99)
        if exit_code < least:
            self.misses.append(what)

    def expect_none(self, what: str, *codes: str, **options: Any) -> None:
        """Demands that none of these is reported."""
        _exit_code, found = self.doctor(**options)
        wrong = [code for code in codes if code in found]
        print(
            f"{what}: {'reported too early: ' + ', '.join(wrong) if wrong else 'as it should be'}", flush=True
        )
        self.misses += wrong


def main() -> int:
    misses = []
    with tempfile.TemporaryDirectory(prefix="doctor-drill-") as name:
        for drill in (on_sqlite, on_postgresql):
            misses += drill(Path(name))
    print(f"not as it should be: {', '.join(misses)}" if misses else "everything was as it should be")
    return 1 if misses else 0


def on_sqlite(folder: Path) -> list[str]:
    """Drills of one machine with an SQLite file."""
    drill = Drill(f"sqlite:///{folder}/db.sqlite3")
    drill.expect("no database file", "database_file_missing")
    drill.run("-m", "tools.upgrade_drill", "0040_totals")
    drill.expect("tables of an older version", "migrations_missing")
    drill.manage("migrate", "--verbosity", "0")
    drill.expect("a malformed setting", "", COLLECTOR_LEASE="long")
    drill.expect("a mistyped setting", "variable_unknown", COLLECTOR_FANOUT="4")
    with machine(folder, drill, workers=4):
        drill.expect_none("four workers, four lanes", "no_workers", "fan_out_low", COLLECTOR_FAN_OUT="4")
        drill.expect("four workers, two lanes", "fan_out_low")
    drill.expect("the workers killed", "no_workers")
    queue = "from django_q.tasks import async_task; async_task('os.getpid')"
    drill.manage("shell", "--command", queue, DJANGO_SECRET_KEY=KEY[::-1])
    drill.expect("a job that was signed with another key", "jobs_unreadable")
    backups = folder / "backups"
    backups.mkdir()
    drill.expect("no backup", "backup_missing", COLLECTOR_BACKUP_DIR=str(backups))
    shutil.copy(folder / "db.sqlite3", backups / "db.sqlite3")
    drill.expect_none("a backup", "backup_missing", "backup_old", COLLECTOR_BACKUP_DIR=str(backups))
    os.utime(backups / "db.sqlite3", (time.time() - 3 * 86_400,) * 2)
    drill.expect("a backup of three days ago", "backup_old", COLLECTOR_BACKUP_DIR=str(backups))
    data_of_libraries(drill, folder)
    redis(drill, folder)
    disks(drill, folder)
    low_disk(drill, folder)
    held_journal(drill, folder)
    damage(folder / "db.sqlite3")
    drill.expect("a damaged page", "database_damaged", "--integrity")
    return drill.misses


@contextmanager
def machine(folder: Path, drill: Drill, workers: int) -> Iterator[None]:
    """Runs a worker machine, and kills it."""
    running = Machine(folder, drill.environment["DATABASE_URL"], DJANGO_SECRET_KEY=KEY)
    running.start(workers)
    try:
        eventually(lambda: "no_workers" not in drill.doctor()[1])
        yield
    finally:
        running.close()
        time.sleep(4.0)  # a heartbeat counts for three seconds


def redis(drill: Drill, folder: Path) -> None:
    """Redis answers, then it has ended."""
    if not (program := shutil.which("redis-server")):
        print("skipped: Redis is not installed")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"
    options = ["--port", str(port), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: "cache_works" in drill.doctor(REDIS_URL=url)[1])
        drill.expect_none("Redis", "redis_unreachable", "cache_broken", REDIS_URL=url)
        subprocess.run(
            [program.replace("-server", "-cli"), "-p", str(port), "config", "set", "maxmemory", "1"],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        drill.expect("Redis full", "cache_broken", REDIS_URL=url)
    finally:
        server.kill()
        server.wait()
    drill.expect("Redis ended", "redis_unreachable", REDIS_URL=url)


def data_of_libraries(drill: Drill, folder: Path) -> None:
    """A calendar that ends, and machines that lack a time zone, or all but UTC."""
    stock = "from tasks_app.models import Stock; Stock.objects.create(market='CN', code='600519')"
    drill.manage("shell", "--command", stock)
    drill.expect("a year later, with this calendar", "calendar_ends", ahead=365 * 86_400.0)
    package = folder / "empty" / "tzdata"  # in place of the package that zoneinfo falls back on
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    zones = folder / "zones"
    shutil.copytree("/usr/share/zoneinfo", zones)
    (zones / "Asia" / "Hong_Kong").unlink()
    without = {"PYTHONTZPATH": str(zones), "PYTHONPATH": str(package.parent)}
    drill.expect("a machine that lacks a time zone", "time_zone_data_missing", **without)
    utc = folder / "utc"
    utc.mkdir()
    shutil.copy(zones / "UTC", utc)
    without["PYTHONTZPATH"] = str(utc)
    drill.expect("a machine that has UTC only", "time_zone_data_missing", **without)


def disks(drill: Drill, folder: Path) -> None:
    """A small disk that is full, and then mounted read-only."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        print("skipped: this user can't mount a disk")
        return
    url = f"sqlite:///{disk}/db.sqlite3"
    try:
        shutil.copy(folder / "db.sqlite3", disk)
        drill.expect("a disk of 8 MB", "disk_full", DATABASE_URL=url)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        drill.expect("a disk that is mounted read-only", "database_read_only", DATABASE_URL=url)
        exports = {"COLLECTOR_EXPORT_DIR": str(disk)}
        drill.expect("a folder of exports on that disk", "folder_not_writable", **exports)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def low_disk(drill: Drill, folder: Path) -> None:
    """A disk of 4 GB, a sparse file, which a file of exports fills but for 150 MB."""
    image, disk = folder / "disk.img", folder / "large-disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(4_000_000_000)
    for command in (
        ["mkfs.ext4", "-q", "-m", "0", str(image)],
        ["mount", "-o", "loop", str(image), str(disk)],
    ):
        if (
            not shutil.which(command[0])
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            print(f"skipped: this user can't run {command[0]}")
            return
    try:
        with (disk / "export.parquet").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - 150_000_000)
        drill.expect("a disk of 4 GB with 150 MB left", "disk_low", COLLECTOR_EXPORT_DIR=str(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def held_journal(drill: Drill, folder: Path) -> None:
    """A reader of a copy stays open while a gigabyte is written."""
    if shutil.disk_usage(folder).free < 4 * WAL_BYTES:
        print("skipped: there is no room for a large journal")
        return
    file = folder / "held.sqlite3"
    shutil.copy(folder / "db.sqlite3", file)
    with closing(sqlite3.connect(file)) as reader, closing(sqlite3.connect(file)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM django_migrations").fetchone()
        writer.execute("CREATE TABLE filler (value BLOB)")
        for _ in range(WAL_BYTES // WAL_PART):
            with writer:
                writer.execute("DELETE FROM filler")
                writer.execute("INSERT INTO filler VALUES (zeroblob(?))", [WAL_PART])
        url = f"sqlite:///{file}"
        drill.expect("a reader that stays open while a gigabyte is written", "wal_large", DATABASE_URL=url)


def damage(file: Path) -> None:
    """Overwrites a page in the middle of the file."""
    size = file.stat().st_size // 4096
    with file.open("r+b") as database:
        for page in range(size // 2, size // 2 + 8):
            database.seek(page * 4096)
            database.write(b"\xff" * 4096)


def on_postgresql(folder: Path) -> list[str]:
    """Drills of a server: wrong clocks, locks, triggers that are switched off, and no server at all."""
    with own_server() as server:
        url = server.get_uri()
        drill = Drill(url)
        drill.manage("migrate", "--verbosity", "0")
        drill.expect_none(
            "PostgreSQL", "database_unreachable", "clock_off", "lock_wait_long", "triggers_missing"
        )
        drill.expect("a clock that is 90 s ahead", "clock_off", ahead=90.0)
        drill.expect("a clock that is two hours behind", "clock_wrong", ahead=-7200.0)
        waited_for(drill, url)
        use_connections(drill, url)
        execute(url, "ALTER TABLE tasks_app_dailybar DISABLE TRIGGER USER")
        drill.expect("triggers switched off", "triggers_missing")
        drill.manage("migrate", "--verbosity", "0")
        execute(url, "ALTER TABLE tasks_app_dailybar ENABLE TRIGGER USER")
        drill.expect_none("triggers switched on", "triggers_missing")
        execute(url, "ALTER TABLE tasks_app_dailybar SET (autovacuum_enabled = false)")
        drill.expect("a table without autovacuum", "autovacuum_off")
    drill.expect("the server stopped", "database_unreachable")
    return drill.misses


def waited_for(drill: Drill, url: str) -> None:
    """One session holds a table's lock, and another one waits for it."""
    import psycopg

    lock = "LOCK TABLE tasks_app_stock IN ACCESS EXCLUSIVE MODE"
    with ExitStack() as stack:
        holder, waiter = (stack.enter_context(psycopg.connect(url)) for _ in range(2))
        holder.execute(lock)
        thread = threading.Thread(target=waiter.execute, args=(lock,))
        thread.start()
        time.sleep(LOCKED_SECONDS)
        drill.expect("a lock that is held", "lock_wait_long")
        holder.rollback()
        thread.join()
        waiter.rollback()


def use_connections(drill: Drill, url: str) -> None:
    """Programs that leave their connections open, until less than a tenth is free."""
    import psycopg

    with ExitStack() as stack:
        first = stack.enter_context(psycopg.connect(url))
        most = int(first.execute("SHOW max_connections").fetchone()[0])  # type: ignore[index]
        for _ in range(int(most * 0.92)):
            stack.enter_context(psycopg.connect(url))
        drill.expect("connections that are left open", "connections_nearly_used")


def execute(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


if __name__ == "__main__":
    sys.exit(main())
