"""A PostgreSQL server: locks and transactions that last, autovacuum, connections, and what it
is set up for."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connection
from django.template.defaultfilters import filesizeformat

from tasks_app.diagnostics.findings import Finding, fault, ok, operations, warning
from tasks_app.diagnostics.guard_names import Guards
from tasks_app.diagnostics.texts import gettext_lazy as _, join

LOCK_SECONDS = 10.0  # our transactions take milliseconds
TRANSACTION_SECONDS = 900.0  # beyond what a bulk read may take
USED_SHARE = 0.9
SWITCHES = ("autovacuum", "track_counts")  # without both, no table is ever cleaned up

SIZE = ok("database_size", _("The database takes %(size)s; %(used)d of %(most)d connections are in use."))
READ_ONLY = fault(
    "database_read_only",
    _("The server takes no writes: it is a standby, or default_transaction_read_only is on."),
    _("Let DATABASE_URL name the primary server, or switch default_transaction_read_only off."),
    operations("postgresql"),
)
LOCK_WAIT = warning(
    "lock_wait_long",
    _("A statement has waited %(seconds)d s for a lock that process %(blockers)s holds: %(query)s"),
    _("See what that process does (pg_stat_activity); end it by SELECT pg_terminate_backend(…) if it hangs."),
    operations("postgresql"),
)
TRANSACTION_LONG = warning(
    "transaction_long",
    _(
        "Process %(pid)d has been in a transaction for %(minutes)d min (%(state)s, %(program)s):"
        " VACUUM can't clean up."
    ),
    _("A pg_dump ends by itself. End what was forgotten: SELECT pg_terminate_backend(%(pid)d)."),
    operations("postgresql"),
)
AUTOVACUUM_OFF = warning(
    "autovacuum_off",
    _("Autovacuum is off for: %(names)s. Tables grow, and plans get worse."),
    _(
        "Set autovacuum = on and track_counts = on in postgresql.conf, and reset"
        " autovacuum_enabled of the tables."
    ),
    operations("postgresql"),
)
CONNECTIONS = warning(
    "connections_nearly_used",
    _("%(used)d of the server's %(most)d connections are in use."),
    _("Raise max_connections, or start fewer workers and web threads: each has one."),
    operations("postgresql"),
)
NO_IDLE_LIMIT = warning(
    "no_idle_limit",
    _(
        "idle_in_transaction_session_timeout is 0: a host that is lost in the middle of a write"
        " keeps its locks."
    ),
    _("Behind PgBouncer, set it for the role: ALTER ROLE … SET idle_in_transaction_session_timeout = '10s'."),
    operations("postgresql"),
)


def guards() -> Guards:
    """Reads the names of triggers that are on and of constraints; unique ones with a condition
    are indexes."""
    enabled = _rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')")
    constraints = _rows(
        "SELECT conname FROM pg_constraint UNION SELECT relname FROM pg_class WHERE relkind IN ('i', 'I')"
    )
    return Guards(frozenset(name for (name,) in enabled), frozenset(name for (name,) in constraints))


def examine() -> Iterator[Finding]:
    """Takes five queries of the server's own views, none of which reads our rows."""
    (row,) = _rows(
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool, "
        "current_setting('idle_in_transaction_session_timeout'), pg_database_size(current_database()), "
        "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
        "current_setting('max_connections')::int"
    )
    is_read_only, idle_limit, size, used, most = row
    if is_read_only:
        yield READ_ONLY()
    if idle_limit == "0":
        yield NO_IDLE_LIMIT()
    if used > USED_SHARE * most:
        yield CONNECTIONS(used=used, most=most)
    yield from _lasting()
    if off := _without_autovacuum():
        yield AUTOVACUUM_OFF(names=join(off))
    yield SIZE(size=filesizeformat(size), used=used, most=most)


def _lasting() -> Iterator[Finding]:
    waits = _rows(
        "SELECT EXTRACT(EPOCH FROM clock_timestamp() - state_change), pg_blocking_pids(pid), left(query, 60) "
        "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND clock_timestamp() - state_change > %s * interval '1 second' ORDER BY 1 DESC LIMIT 3",
        LOCK_SECONDS,
    )
    for seconds, blockers, query in waits:
        yield LOCK_WAIT(seconds=seconds, blockers=join(blockers), query=" ".join(query.split()))
    longest = settings.COLLECTOR.bulk_read_seconds + TRANSACTION_SECONDS
    long = _rows(
        "SELECT pid, EXTRACT(EPOCH FROM clock_timestamp() - xact_start), state, application_name "
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND clock_timestamp() - xact_start > %s * interval '1 second' ORDER BY 2 DESC LIMIT 3",
        longest,
    )
    for pid, seconds, state, program in long:
        yield TRANSACTION_LONG(pid=pid, minutes=seconds / 60, state=state, program=program or "?")


def _without_autovacuum() -> list[str]:
    """Returns what autovacuum leaves out: the whole server, or tables of ours."""
    whole = _rows("SELECT name FROM pg_settings WHERE name = ANY (%s) AND setting = 'off'", list(SWITCHES))
    tables = _rows(
        "SELECT relname FROM pg_class WHERE relname LIKE 'tasks_app_%%' "
        "AND 'autovacuum_enabled=false' = ANY (reloptions) ORDER BY 1"
    )
    return [name for (name,) in (*whole, *tables)]


def _rows(query: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, params or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
