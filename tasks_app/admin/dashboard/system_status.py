"""How the machinery is: worker clusters, the queue, the database, the sources' gates."""

from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from tasks_app.admin.common import formatting
from tasks_app.queue import dispatch
from tasks_app.throttle import status
from tasks_app.throttle.status import LimiterState, LimiterStatus

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def clusters() -> list[dict[str, Any]]:
    """The clusters that live, by host."""
    live = sorted(dispatch.clusters(), key=lambda cluster: (cluster.host, cluster.pid))
    return [{"host": c.host, "pid": c.pid, "status": c.status, "workers": c.workers} for c in live]


def describe_workers(live: list[dict[str, Any]]) -> str:
    """How many work, and on how many hosts: "4 on 2 hosts"."""
    workers, hosts = sum(c["workers"] for c in live), len({c["host"] for c in live})
    if hosts <= 1:
        return formatting.number(workers)
    return _("%(workers)s on %(hosts)s hosts") % {"workers": formatting.number(workers), "hosts": hosts}


def queue_and_database() -> dict[str, Any]:
    """The queue's depth (one query) and the database."""
    return {"waiting": formatting.number(dispatch.waiting_jobs()), "database": _database()}


def source_limiters() -> list[dict[str, Any]]:
    """The sources' gates, in one query: whether requests pass, and if not, until when and why."""
    return [_gate(gate) for gate in status.all_statuses()]


def _gate(gate: LimiterStatus) -> dict[str, Any]:
    words = {
        LimiterState.OPEN: ("good", "check_circle", _("requests pass")),
        LimiterState.PAUSED: ("bad", "pause_circle", _("paused")),
        LimiterState.CAPPED: ("bad", "block", _("day used up")),
        LimiterState.UNLIMITED: ("plain", "all_inclusive", _("no limit")),
    }
    tone, icon, name = words[gate.state]
    return {
        "source": gate.source,
        "tone": tone,
        "icon": icon,
        "name": name,
        "until": formatting.timestamp(gate.paused_until) if gate.paused_until else "",
        "today": _("%(count)s requests today") % {"count": formatting.number(gate.requests_today)}
        if gate.requests_today
        else "",
        "reason": gate.reason,
    }


def _database() -> str:
    """Its name and version."""
    name = NAMES.get(connection.vendor, connection.vendor)
    connection.ensure_connection()
    if connection.vendor == "sqlite":
        from sqlite3 import sqlite_version

        return f"{name} {sqlite_version}"
    version = getattr(connection, "pg_version", 0)
    return f"{name} {version // 10_000}.{version % 10_000}"
