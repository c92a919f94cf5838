"""What provokes each fault that the doctor names, by its code. A test demands that none is left out.

What a test can't break (disks, servers, other processes) it answers for; `tools/doctor_drill.py` breaks it
really. Nothing does so for a server that is too old, a network disk, SQLite without a WAL, a transaction of a
quarter of an hour, a calendar that can't be read, and an examination that fails for an unforeseen reason.
"""

import os
import shutil
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from django.core import signing
from django.core.cache.backends.locmem import LocMemCache
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.functions import Now
from django_q.models import OrmQ
from django_q.tasks import async_task

from tasks_app.db import disk_reserve, sqlite_priority
from tasks_app.db.functions import Clock
from tasks_app.diagnostics import (
    clocks,
    database,
    disk,
    installation,
    job_queue,
    postgresql,
    report,
    sources,
    sqlite,
)
from tasks_app.market.calendars import Calendar, PublishedSessions
from tasks_app.models import CollectionTask, SourceCheck, SourceGate, SourceSetting
from tests.api.factories import make_stock
from tests.diagnostics.machines import publish_machine, silence_machines, usage, versions_with
from tests.diagnostics.site import Site
from tests.factories import make_plan, make_task

Fault = Callable[[Site], Any]
RATED = {"rates": (("simulated", 2.0),), "daily_caps": (("simulated", 50),)}


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def lose_database(site: Site) -> None:
    def refuse(*_: Any) -> None:
        raise OperationalError("connection refused")

    site.monkeypatch.setattr(connection, "cursor", refuse)


def drop_trigger(site: Site) -> None:
    name, table = "tasks_app_task_is_final", "tasks_app_collectiontask"
    execute(f"DROP TRIGGER {name}" if connection.vendor == "sqlite" else f"DROP TRIGGER {name} ON {table}")


def leave_calendar(published: PublishedSessions) -> Fault:
    def leave(site: Site) -> None:
        make_stock("CN", "600519")
        site.monkeypatch.setattr(Calendar, "published", published)

    return leave


def queue_old_job(site: Site) -> None:
    async_task(sorted(job_queue.dispatch.PATHS)[0], 1, save=False)
    OrmQ.objects.update(lock=Clock() - timedelta(seconds=600))


def queue_of_another_key(site: Site) -> None:
    async_task(sorted(job_queue.dispatch.PATHS)[0], 1, save=False)
    OrmQ.objects.update(payload=signing.dumps({"func": "a"}, key="another key"))


def use_up(requests: int) -> Fault:
    def ask(site: Site) -> None:
        site.conf(**RATED)
        today = sources.status.quota_day(
            database_now(), sources.registry.limits("simulated", site.settings.COLLECTOR)
        )
        SourceGate.objects.create(source="simulated", day=today, requests_today=requests)

    return ask


def database_now() -> Any:
    from tasks_app.db.functions import database_now as now

    return now()


def pause_source(site: Site) -> None:
    site.conf(**RATED)
    until = Now() + timedelta(hours=1)
    SourceGate.objects.create(source="simulated", open_until=until, reason="It bans us.", refusals=5)


def fail_check(site: Site) -> None:
    results = [{"works": False, "error": "Not now.", "error_code": "throttled"}]
    moments = dict.fromkeys(("at", "began_at", "ended_at", "alive_until"), Now())
    SourceCheck.objects.create(source="simulated", market="SIM", results=results, **moments)


def store_with_another_key(site: Site) -> None:
    SourceSetting.objects.create(
        source="akshare", name="cookie", value="gAAAAnonsense", changed_at=Now(), changed_by="ann"
    )


def fill_disk(free: int) -> Fault:
    def fill(site: Site) -> None:
        site.conf(export_dir=str(site.folder))
        site.monkeypatch.setattr(disk.shutil, "disk_usage", usage(free))

    return fill


def forbid_writing(site: Site) -> None:
    site.conf(export_dir=str(site.folder))
    site.monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)


def lose_reserve(site: Site) -> None:
    site.monkeypatch.setattr(disk_reserve, "path", lambda: site.folder / "gone")


def age_backups(site: Site) -> None:
    for path in (site.folder / "backups").iterdir():
        os.utime(path, (time.time() - 100 * 3600,) * 2)


def cut_backup(site: Site) -> None:
    (site.folder / "backups" / "2.dump").write_bytes(b"x" * 10)
    os.utime(site.folder / "backups" / "2.dump", (time.time() + 1,) * 2)


def remove_backups(site: Site) -> None:
    for path in (site.folder / "backups").iterdir():
        path.unlink()


def mount_network_disk(site: Site) -> None:
    mounts = site.folder / "mounts"
    mounts.write_text(
        f"tmpfs / tmpfs rw 0 0\nsrv:/x {Path(sqlite_priority.database_file()).parent} nfs4 rw 0 0\n"
    )
    site.monkeypatch.setattr(sqlite, "MOUNTS", mounts)


def answer_pragma(name: str, value: str) -> Fault:
    def answer(site: Site) -> None:
        real = sqlite._pragma
        site.monkeypatch.setattr(sqlite, "_pragma", lambda asked: value if asked == name else real(asked))

    return answer


def run_elsewhere(site: Site) -> None:
    publish_machine("elsewhere", beats=False)


def change_static_file(site: Site) -> None:
    site.settings.STATIC_ROOT = shutil.copytree(site.settings.STATIC_ROOT, site.folder / "changed")
    (site.settings.STATIC_ROOT / "tasks_app" / "admin.css").write_text("old")


def fail_examination(site: Site) -> None:
    def fail() -> None:
        raise ValueError("unexpected")

    site.monkeypatch.setattr(report.installation, "examine", fail)


def wait_for_lock(site: Site) -> None:
    """Only what pg_stat_activity says of it: `tools/doctor_drill.py` has real sessions wait."""
    real = postgresql._rows

    def rows(query: str, *params: Any) -> Any:
        return [(60.0, [7], "UPDATE  x")] if "pg_blocking_pids" in query else real(query, *params)

    site.monkeypatch.setattr(postgresql, "_rows", rows)


def last_in_transaction(site: Site) -> None:
    real = postgresql._rows

    def rows(query: str, *params: Any) -> Any:
        return [(7, 7200.0, "idle in transaction", "")] if "xact_start" in query else real(query, *params)

    site.monkeypatch.setattr(postgresql, "_rows", rows)


ANY: dict[str, Fault] = {
    "database_unreachable": lose_database,
    "database_too_old": lambda site: site.monkeypatch.setattr(database, "OLDEST", {connection.vendor: (99,)}),
    "migrations_missing": lambda site: MigrationRecorder(connection).record_unapplied(
        *max(key for key in MigrationRecorder(connection).applied_migrations() if key[0] == "tasks_app")
    ),
    "migrations_unknown": lambda site: MigrationRecorder(connection).record_applied("tasks_app", "9999_next"),
    "triggers_missing": drop_trigger,
    "constraints_missing": lambda site: execute("DROP INDEX one_running_task"),
    "clock_off": lambda site: site.monkeypatch.setattr(clocks, "clock_offset", lambda: 7.0),
    "clock_wrong": lambda site: publish_machine("elsewhere", clock_offset=-3600.0),
    "clock_went_back": lambda site: CollectionTask.objects.filter(pk=make_task().pk).update(
        start_time=Now() + timedelta(days=1)
    ),
    "queue_stuck": queue_old_job,
    "jobs_unknown": lambda site: async_task("os.getpid", save=False),
    "jobs_unreadable": queue_of_another_key,
    "no_workers": lambda site: silence_machines(),
    "heartbeats_unseen": run_elsewhere,
    "versions_differ": lambda site: publish_machine("elsewhere", versions=versions_with(django="4.2")),
    "code_not_restarted": lambda site: (
        silence_machines(),
        publish_machine("here", versions=versions_with(code="0")),
    ),
    "workers_idle": lambda site: (make_task(), publish_machine("elsewhere", workers=50)),
    "fan_out_low": lambda site: publish_machine("elsewhere", workers=50),
    "calendar_ends": leave_calendar(PublishedSessions(date.today(), (date(2024, 1, 2),))),
    "calendar_unreadable": leave_calendar(PublishedSessions(date.min, ())),
    "source_unusable": lambda site: make_plan(source="nowhere"),
    "source_broken": lambda site: site.conf(sources=(("mine", "no.such.module:Mine"),)),
    "source_setting_bad": store_with_another_key,
    "source_paused": pause_source,
    "quota_used": use_up(50),
    "quota_nearly_used": use_up(46),
    "source_check_failed": fail_check,
    "throttle_off": lambda site: site.conf(no_throttle=True),
    "disk_low": fill_disk(500_000_000),
    "disk_full": fill_disk(1_000_000),
    "folder_not_writable": forbid_writing,
    "folder_missing": lambda site: site.conf(export_dir=str(site.folder / "gone")),
    "disk_reserve_missing": lose_reserve,
    "backups_unknown": lambda site: site.conf(backup_dir=""),
    "backup_missing": remove_backups,
    "backup_old": age_backups,
    "backup_small": cut_backup,
    "redis_unreachable": lambda site: setattr(site.settings, "REDIS_URL", "redis://127.0.0.1:1/0"),
    "cache_broken": lambda site: site.monkeypatch.setattr(LocMemCache, "get", lambda *_: "other"),
    "debug_on": lambda site: setattr(site.settings, "IS_LOCAL", True),
    "allowed_hosts_any": lambda site: setattr(site.settings, "ALLOWED_HOSTS", ["*"]),
    "allowed_hosts_local": lambda site: setattr(site.settings, "ALLOWED_HOSTS", ["localhost"]),
    "deployment_insecure": lambda site: setattr(site.settings, "SESSION_COOKIE_SECURE", False),
    "settings_contradict": lambda site: site.conf(lease=1.0),
    "static_files_missing": lambda site: setattr(site.settings, "STATIC_ROOT", site.folder / "none"),
    "static_files_outdated": change_static_file,
    "variable_unknown": lambda site: site.conf(environment=(("COLLECTOR_FANOUT", "4"),)),
    "time_zone_data_missing": lambda site: site.monkeypatch.setattr(
        installation, "MARKET_TIME_ZONES", {"CN": "Asia/Nowhere"}
    ),
    "check_failed": fail_examination,
}
SQLITE: dict[str, Fault] = {
    "database_file_missing": lambda site: site.monkeypatch.setattr(sqlite, "exists", lambda file: False),
    "journal_mode": answer_pragma("journal_mode", "delete"),
    "database_read_only": forbid_writing,
    "database_on_network_disk": mount_network_disk,
    "wal_large": lambda site: site.monkeypatch.setattr(sqlite, "LARGE_WAL", -1),
    "database_damaged": answer_pragma("quick_check(1)", "row 7 missing from index"),
}
POSTGRESQL: dict[str, Fault] = {
    "database_read_only": lambda site: execute("SET LOCAL default_transaction_read_only = on"),
    "no_idle_limit": lambda site: execute("SET LOCAL idle_in_transaction_session_timeout = 0"),
    "connections_nearly_used": lambda site: site.monkeypatch.setattr(postgresql, "USED_SHARE", 0.0),
    "autovacuum_off": lambda site: execute("ALTER TABLE tasks_app_stock SET (autovacuum_enabled = false)"),
    "lock_wait_long": wait_for_lock,
    "transaction_long": last_in_transaction,
}
FAULTS = {**ANY, **(SQLITE if connection.vendor == "sqlite" else POSTGRESQL)}
