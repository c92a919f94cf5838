"""Triggers that number each withdrawal of the reason why a security has no bar of a day.

A day is sealed while every security has a bar or a reason; `quotes.market_days` reads the reasons from
`Series.absences`, `Series.covered`, refused `Finding`s and `SilentAnswer`s. When one of them goes or becomes
another, a change of the kind `reason` is stored. Like a new bar it unseals its days, and keeps a day from
being sealed with contents that were read before it.

A reason that a series drops only because it keeps the newest 200, or that was only requested anew with the
same answer, is no withdrawal. Neither is one for a day that has a bar, on which the security was not listed,
or of which nobody has a bar, so that it could not be sealed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tasks_app.db.change_triggers import (
    BAR,
    CHANGE,
    DAY,
    NOW,
    STOCK,
    sqlite_change,
)
from tasks_app.db.trigger_sql import postgresql_trigger, sqlite_trigger
from tasks_app.models.changes import ChangeKind
from tasks_app.models.quotes import Adjust, Finding, FindingKind, InstrumentKind, Series, SilentAnswer

SERIES, FINDING, SILENT = (model._meta.db_table for model in (Series, Finding, SilentAnswer))
REASON, NONE = f"'{ChangeKind.REASON.value}'", f"'{Adjust.NONE.value}'"
_REFUSED = f"OLD.kind = '{FindingKind.REFUSED.value}' AND OLD.adjust = {NONE}"
_FINDING_MOVED, _SILENCE_MOVED = (
    f"UPDATE OF {columns}" for columns in ("market, symbol, adjust, day, kind", "market, source, day")
)


class _Json(NamedTuple):
    """How a database reads the rows [first, last, why, …] of a JSON list: the last three of a row {0}."""

    rows: str  # of a value {0}, as {1}
    first: str
    last: str
    why: str
    false: str

    def covers(self, value: str, day: str) -> str:
        """Whether a row of the value has the day."""
        return f"EXISTS (SELECT 1 {self._of_day(value, day)})"

    def why_on(self, value: str, day: str) -> str:
        """The third element of the row that has the day, or null."""
        return f"(SELECT {self.why.format('one')} {self._of_day(value, day)} LIMIT 1)"

    def lost(self, before: str, after: str, *, same_why: bool) -> str:
        """The rows of a value that no row of another one includes (`same_why`: none with its why)."""
        first, last, why = (column.format("had") for column in (self.first, self.last, self.why))
        of_kept = [column.format("kept") for column in (self.first, self.last, self.why)]
        count, kept = 3 if same_why else 2, self.rows.format(after, "kept")
        is_same = f"{of_kept[2]} = {why} AND " if same_why else ""
        # Most rows are there as they were, which is looked up at once; few are searched for in all others.
        return (
            f"SELECT {first} AS first, {last} AS last FROM {self.rows.format(before, 'had')} "
            f"WHERE ({', '.join([first, last, why][:count])}) NOT IN "
            f"(SELECT {', '.join(of_kept[:count])} FROM {kept}) "
            f"AND NOT EXISTS (SELECT 1 FROM {kept} "
            f"WHERE {is_same}{of_kept[0]} <= {first} AND {of_kept[1]} >= {last})"
        )

    def _of_day(self, value: str, day: str) -> str:
        between = f"{day} BETWEEN {self.first.format('one')} AND {self.last.format('one')}"
        return f"FROM {self.rows.format(value, 'one')} WHERE {between}"


_SQLITE = _Json(
    "json_each({0}) AS {1}",
    "json_extract({0}.value, '$[0]')",
    "json_extract({0}.value, '$[1]')",
    "json_extract({0}.value, '$[2]')",
    "0",
)
_POSTGRESQL = _Json(
    "jsonb_array_elements({0}) AS {1}(value)",
    "({0}.value ->> 0)::date",
    "({0}.value ->> 1)::date",
    "({0}.value ->> 2)",
    "FALSE",
)


def statements(vendor: str, tables: set[str]) -> Sequence[str]:
    """Returns the SQL that installs the triggers; nothing while a table is missing."""
    if not {CHANGE, DAY, BAR, STOCK, SERIES, FINDING, SILENT} <= tables:
        return ()
    return {"sqlite": _sqlite, "postgresql": _postgresql}[vendor]()


def _same_series() -> str:
    return " AND ".join(f"OLD.{name} = NEW.{name}" for name in ("market", "symbol", "adjust"))


def _series_changed(not_equal: str) -> str:
    changed = " OR ".join(f"OLD.{name} {not_equal} NEW.{name}" for name in ("covered", "absences"))
    return f"OLD.adjust = {NONE} AND ({changed} OR NOT ({_same_series()}))"


def _kept(name: str, *, is_deleted: bool) -> str:
    """What a column of the same series still holds."""
    return "'[]'" if is_deleted else f"(CASE WHEN {_same_series()} THEN NEW.{name} ELSE '[]' END)"


def _span(json: _Json, *, is_deleted: bool) -> str:
    """Returns the query of the first and last day that may have lost their reason; of most updates, null."""
    absences = json.lost("OLD.absences", _kept("absences", is_deleted=is_deleted), same_why=True)
    covered = json.lost("OLD.covered", _kept("covered", is_deleted=is_deleted), same_why=False)
    return f"SELECT MIN(first) AS first, MAX(last) AS last FROM ({absences} UNION ALL {covered}) AS lost"


def _withdrawn_runs(json: _Json, span: str = "", *, is_deleted: bool) -> str:
    """Returns the query of the days whose reason in OLD is not in NEW, a row for consecutive market days.

    `span` is what the FROM clause needs for the span's columns.
    """
    covered, absences = (_kept(name, is_deleted=is_deleted) for name in ("covered", "absences"))
    day, key = "looked.day", "market = OLD.market AND {0} = OLD.symbol"
    why, why_before = json.why_on(absences, day), json.why_on("OLD.absences", day)
    unlisted = (
        f"EXISTS (SELECT 1 FROM {STOCK} WHERE {key.format('code')} "
        f"AND ({day} < listed_on OR {day} >= delisted_on))"
    )
    bar = f"SELECT 1 FROM {BAR} WHERE {key.format('symbol')} AND adjust = {NONE} AND day = {day}"
    is_withdrawn = (
        f"CASE WHEN {why} IS NOT NULL THEN COALESCE({why_before} <> {why}, {json.false}) "
        f"ELSE NOT {json.covers(covered, day)} "
        f"AND ({why_before} IS NOT NULL OR {json.covers('OLD.covered', day)}) END "
        f"AND NOT EXISTS ({bar}) AND NOT {unlisted}"
    )
    kind = f"COALESCE((SELECT kind FROM {STOCK} WHERE {key.format('code')}), '{InstrumentKind.STOCK.value}')"
    return f"""SELECT MIN(day) AS first, MAX(day) AS last, COUNT(*) AS days FROM (
        SELECT day, is_withdrawn, ROW_NUMBER() OVER (ORDER BY day)
            - ROW_NUMBER() OVER (PARTITION BY is_withdrawn ORDER BY day) AS run
        FROM (SELECT {day}, {is_withdrawn} AS is_withdrawn FROM {DAY} AS looked{span}
            WHERE looked.market = OLD.market AND looked.kind = {kind}
            AND {day} BETWEEN span.first AND span.last) AS days
        ) AS runs WHERE is_withdrawn GROUP BY run"""


def _has_looked_at(days: str) -> str:
    """Whether a row of one day is of one that may be sealed, of any kind of security."""
    return f"EXISTS (SELECT 1 FROM {DAY} WHERE market = OLD.market AND day = {days})"


def _sqlite() -> Sequence[str]:
    triggers = []
    for event, when, is_deleted in (
        ("DELETE", f"OLD.adjust = {NONE}", True),
        ("UPDATE", _series_changed("IS NOT"), False),
    ):
        span = f", ({_span(_SQLITE, is_deleted=is_deleted)}) AS span"
        insert = (
            f"INSERT INTO {CHANGE} (number, at, kind, market, symbol, adjust, first_day, last_day, rows) "
            "SELECT last.number + ROW_NUMBER() OVER (ORDER BY runs.first), "
            f"MAX({NOW['sqlite']}, last.at), {REASON}, OLD.market, OLD.symbol, '', runs.first, runs.last, "
            f"runs.days FROM ({_withdrawn_runs(_SQLITE, span, is_deleted=is_deleted)}) AS runs, "
            f"(SELECT number, at FROM {CHANGE} ORDER BY number DESC LIMIT 1) AS last"
        )
        name = f"{SERIES}_withdrawn_{event.lower()}"
        triggers += sqlite_trigger(name, f"{event} ON {SERIES}", when, [insert])
    # Each by itself: one change from the first to the last day would unseal those between them.
    one = sqlite_change(REASON, ["OLD.market", "OLD.symbol", "''"], "OLD.day", "NULL", "0")
    looked_at = _has_looked_at("OLD.day")
    for table, name, event, when in (
        (FINDING, "deleted", "DELETE", f"{_REFUSED} AND {looked_at}"),
        (FINDING, "moved", _FINDING_MOVED, f"{_REFUSED} AND {looked_at}"),
        (SILENT, "deleted", "DELETE", looked_at),
        (SILENT, "moved", _SILENCE_MOVED, looked_at),
    ):
        triggers += sqlite_trigger(f"{table}_withdrawn_{name}", f"{event} ON {table}", when, one)
    return triggers


def _postgresql() -> Sequence[str]:
    triggers: list[str] = []
    columns = f"INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows)"
    for event, when, is_deleted in (
        ("DELETE", f"OLD.adjust = {NONE}", True),
        ("UPDATE", _series_changed("IS DISTINCT FROM"), False),
    ):
        runs = _withdrawn_runs(_POSTGRESQL, is_deleted=is_deleted)
        # The span first and by itself: planning or compiling the rest for nothing would take 0.3 s.
        body = (
            f"DECLARE span record; BEGIN {_span(_POSTGRESQL, is_deleted=is_deleted)} INTO span; "
            "IF span.first IS NULL THEN RETURN NULL; END IF; "
            f"{columns} SELECT {REASON}, OLD.market, OLD.symbol, '', runs.first, runs.last, runs.days "
            f"FROM ({runs}) AS runs ORDER BY runs.first; RETURN NULL; END;"
        )
        name = f"{SERIES}_withdrawn_{event.lower()}"
        on = f"{event} ON {SERIES} FOR EACH ROW WHEN ({when})"
        triggers += postgresql_trigger(name, SERIES, on, body)
    one = (
        f"IF {_has_looked_at('OLD.day')} THEN {columns} "
        f"VALUES ({REASON}, OLD.market, OLD.symbol, '', OLD.day, OLD.day, 1); END IF; RETURN NULL;"
    )
    for table, name, event, when in (
        (FINDING, "deleted", "DELETE", _REFUSED),
        (FINDING, "moved", _FINDING_MOVED, _REFUSED),
        (SILENT, "deleted", "DELETE", "TRUE"),
        (SILENT, "moved", _SILENCE_MOVED, "TRUE"),
    ):
        on = f"{event} ON {table} FOR EACH ROW WHEN ({when})"
        triggers += postgresql_trigger(f"{table}_withdrawn_{name}", table, on, one)
    return triggers
