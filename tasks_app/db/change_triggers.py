"""Triggers that number every change of stored data, and keep what it overwrites: see `models/changes.py`.

A number is never seen late: who has read the numbers up to one has seen all of them. SQLite has one writer
at a time. On PostgreSQL the number is drawn at the commit, by a deferred trigger that holds a lock until the
transaction has ended: writers wait for each other's commit, as the row of their task makes them do anyway.

New bars are most of the changes, so they leave no row each: one change stands for all bars of a series from
one day to another. It is split where bars stand between them that were stored before, so that taking it back
removes exactly the bars that it brought.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from tasks_app.db.recorded_tables import RECORDED, Recorded
from tasks_app.db.trigger_sql import postgresql_function, postgresql_trigger, sqlite_trigger
from tasks_app.models.changes import BarVersion, Change, ChangeKind, RowVersion
from tasks_app.models.market_days import MarketDay
from tasks_app.models.quotes import DailyBar
from tasks_app.models.stocks import Stock

CHANGE, VERSION, ROW = (model._meta.db_table for model in (Change, BarVersion, RowVersion))
BAR, DAY, STOCK = (model._meta.db_table for model in (DailyBar, MarketDay, Stock))
LOCK = 7_160_413_551  # an advisory lock of PostgreSQL, held from the first number to the end of the commit
NOW = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "clock_timestamp()"}
BAR_VALUES = tuple(
    str(field.column) for field in BarVersion._meta.concrete_fields if field.name not in ("id", "cause")
)
_COLUMNS = "number, at, kind, market, symbol, adjust, first_day, last_day, rows, item_id"


def statements(vendor: str, tables: set[str]) -> list[str]:
    """Returns the SQL that installs the triggers; nothing while the tables of changes are missing."""
    if not {CHANGE, VERSION, ROW, BAR, DAY} <= tables:
        return []
    recorded = [each for each in RECORDED if each.table in tables]
    build = {"sqlite": _sqlite, "postgresql": _postgresql}[vendor]
    return [*build(recorded), _start(vendor)]


def _start(vendor: str) -> str:
    """The first number: 1 if bars are stored that have none, else 0."""
    return (
        f"INSERT INTO {CHANGE} (number, at, kind, market, symbol, adjust, rows) "
        f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {BAR}) THEN 1 ELSE 0 END, {NOW[vendor]}, "
        f"'{ChangeKind.START.value}', '', '', '', 0 WHERE NOT EXISTS (SELECT 1 FROM {CHANGE})"
    )


def lock_numbers(cursor: Any) -> None:
    """Holds the numbers to the end of the transaction: none is given meanwhile, and all given are visible.

    On SQLite the transaction holds the one write lock already.
    """
    if cursor.db.vendor == "postgresql":
        cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK})")


def record_sealed(cursor: Any, market: str, day: date, bars: int) -> None:
    """Stores the change that a day was sealed."""
    values = (market, "", "", day.isoformat(), day.isoformat(), bars)
    if cursor.db.vendor == "postgresql":
        cursor.execute(
            f"INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows) "
            f"VALUES ('{ChangeKind.SEALED.value}', %s, %s, %s, %s, %s, %s)",
            values,
        )
    else:
        kind = f"'{ChangeKind.SEALED.value}'"
        cursor.execute(_ANNOUNCE.replace(f"'{ChangeKind.BAR.value}'", kind), (*values, None))


# ---------------------------------------------------------------- SQLite: a trigger for each row


def _sqlite(recorded: list[Recorded]) -> list[str]:
    bar, correction, deletion = (
        f"'{kind.value}'" for kind in (ChangeKind.BAR, ChangeKind.CORRECTION, ChangeKind.DELETION)
    )
    series = ("{0}.market", "{0}.symbol", "{0}.adjust")
    new, old = ([part.format(row) for part in series] for row in ("NEW", "OLD"))
    # Continued while no other bar stands between.
    between = (
        f"NEW.day > last_day AND NOT EXISTS (SELECT 1 FROM {BAR} WHERE market = NEW.market "
        "AND symbol = NEW.symbol AND adjust = NEW.adjust AND day > last_day AND day < NEW.day)"
    )
    changed = " OR ".join(f"OLD.{c} IS NOT NEW.{c}" for c in BAR_VALUES if c not in ("item_id",))
    moved = " OR ".join(f"OLD.{c} IS NOT NEW.{c}" for c in ("market", "symbol", "adjust", "day"))
    # Not by the item: an import writes many items' bars anew, in transactions of its own.
    added = sqlite_change(bar, new, "NEW.day", "NULL", between)
    announced = (  # in the form that costs least: asked for each bar
        "COALESCE((SELECT item_id = NEW.item_id AND NEW.day BETWEEN first_day AND last_day "
        f"AND symbol = NEW.symbol AND market = NEW.market AND adjust = NEW.adjust AND kind = {bar} "
        f"FROM {CHANGE} ORDER BY id DESC LIMIT 1), 0)"
    )
    removed = [*sqlite_change(deletion, old, "OLD.day", "NULL"), _sqlite_bar_version()]
    updated = [*sqlite_change(correction, new, "NEW.day", "NEW.item_id"), _sqlite_bar_version()]
    triggers = [
        *sqlite_trigger(f"{BAR}_added", f"INSERT ON {BAR}", f"NOT {announced}", added),
        *sqlite_trigger(f"{BAR}_removed", f"DELETE ON {BAR}", "1", removed),
        *sqlite_trigger(f"{BAR}_changed", f"UPDATE ON {BAR}", f"NOT ({moved}) AND ({changed})", updated),
        *sqlite_trigger(f"{BAR}_moved", f"UPDATE ON {BAR}", moved, [*removed, *added]),
    ]
    for each in recorded:
        triggers += _sqlite_recorded(each)
    return [*triggers, *_sqlite_unsealing()]


def _sqlite_unsealing() -> list[str]:
    """Unseals the days of new bars, reasons and the calendar by their change, those of others by versions."""
    of_change = _unseal("NEW", "day BETWEEN NEW.first_day AND NEW.last_day")
    cause = f"(SELECT * FROM {CHANGE} WHERE id = NEW.cause_id AND adjust = '')"
    of_version = (
        f"UPDATE {DAY} SET sealed_at = NULL WHERE sealed_at IS NOT NULL AND day = NEW.day "
        f"AND market = (SELECT market FROM {cause}) AND kind = COALESCE((SELECT {STOCK}.kind FROM {STOCK} "
        f"JOIN {cause} AS cause ON {STOCK}.market = cause.market AND {STOCK}.code = cause.symbol), kind)"
    )
    is_day = f"NEW.adjust = '' AND NEW.kind IN {_OF_DAYS}"
    return [
        *sqlite_trigger(f"{CHANGE}_unseals", f"INSERT ON {CHANGE}", is_day, [of_change]),
        *sqlite_trigger(f"{CHANGE}_unseals_more", f"UPDATE OF rows ON {CHANGE}", is_day, [of_change]),
        *sqlite_trigger(f"{VERSION}_unseals", f"INSERT ON {VERSION}", "1", [of_version]),
    ]


def _unseal(change: str, days: str) -> str:
    """The update that unseals the days of a change of a market's code, or of all kinds (the calendar's)."""
    return (
        f"UPDATE {DAY} SET sealed_at = NULL WHERE sealed_at IS NOT NULL AND market = {change}.market "
        f"AND {days} AND kind = COALESCE((SELECT {STOCK}.kind FROM {STOCK} "
        f"WHERE {STOCK}.market = {change}.market AND {STOCK}.code = {change}.symbol), kind)"
    )


def _sqlite_recorded(each: Recorded) -> list[str]:
    statements = []
    columns = each.columns or tuple(str(field.column) for field in each.meta.concrete_fields)
    differs = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
    for event, row, when in (("INSERT", "NEW", "1"), ("UPDATE", "NEW", differs), ("DELETE", "OLD", "1")):
        symbol = f"{row}.{each.symbol}" if each.symbol else "''"
        day = f"{row}.{each.day}" if each.day else "NULL"
        before = "NULL" if event == "INSERT" else _sqlite_json(each)
        body = [
            *sqlite_change(each.kind.format(row), [f"{row}.market", symbol, "''"], day, "NULL"),
            f'INSERT INTO {ROW} (cause_id, "table", row_id, "values") '
            f"VALUES ((SELECT MAX(id) FROM {CHANGE}), '{each.table}', {row}.id, {before})",
        ]
        name = f"{each.table}_recorded_{event.lower()}"
        statements += sqlite_trigger(name, f"{event} ON {each.table}", when, body)
    return statements


def _sqlite_json(each: Recorded) -> str:
    pairs = (
        f"'{field.column}', " + (f"json(OLD.{field.column})" if _is_json(field) else f"OLD.{field.column}")
        for field in each.meta.concrete_fields
    )
    return f"json_object({', '.join(pairs)})"


def _is_json(field: Any) -> bool:
    return bool(field.get_internal_type() == "JSONField")


def sqlite_change(kind: str, key: list[str], day: str, item: str, extends: str = "1") -> list[str]:
    """Adds a row to the last change, if it is of the same kind and transaction, else a change.

    An item corrects bars in one transaction. For everything else the time decides: changes of the present
    millisecond have not been read by anybody, because readers leave them out.
    """
    market, symbol, adjust = key
    same = (
        f"id = (SELECT MAX(id) FROM {CHANGE}) AND kind = {kind} AND market = {market} AND symbol = {symbol} "
        f"AND adjust = {adjust} AND CASE WHEN {item} IS NULL THEN at >= {NOW['sqlite']} "
        f"ELSE item_id = {item} END AND {extends}"
    )
    return [
        f"UPDATE {CHANGE} SET rows = rows + 1, "
        f"first_day = COALESCE(MIN(first_day, {day}), first_day, {day}), "
        f"last_day = COALESCE(MAX(last_day, {day}), last_day, {day}) WHERE {same}",
        f"INSERT INTO {CHANGE} ({_COLUMNS}) SELECT COALESCE(last.number, 0) + 1, "
        f"MAX({NOW['sqlite']}, COALESCE(last.at, '')), {kind}, {market}, {symbol}, {adjust}, {day}, "
        f"{day}, 1, {item} FROM (SELECT 1) LEFT JOIN "
        f"(SELECT number, at FROM {CHANGE} ORDER BY number DESC LIMIT 1) AS last WHERE changes() = 0",
    ]


def announce_bars(cursor: Any, key: tuple[str, str, str], days: Sequence[str], item_id: int) -> None:
    """Stores on SQLite the change for new bars of these ascending days, which follow in this transaction.

    The trigger then has nothing to do for each of them, which would cost half as much as the bar itself. No
    stored bar may stand between the days.
    """
    cursor.execute(_ANNOUNCE, (*key, days[0], days[-1], len(days), item_id))


_ANNOUNCE = (
    f"INSERT INTO {CHANGE} ({_COLUMNS}) "
    f"SELECT number + 1, MAX({NOW['sqlite'].replace('%', '%%')}, at), '{ChangeKind.BAR.value}', "
    f"%s, %s, %s, %s, %s, %s, %s FROM {CHANGE} ORDER BY number DESC LIMIT 1"
)


def _sqlite_bar_version() -> str:
    values = ", ".join(f"OLD.{column}" for column in BAR_VALUES)
    return (
        f"INSERT INTO {VERSION} (cause_id, {', '.join(BAR_VALUES)}) "
        f"VALUES ((SELECT MAX(id) FROM {CHANGE}), {values})"
    )


# ---------------------------------------------------------------- PostgreSQL

_OF_DAYS = f"('{ChangeKind.BAR.value}', '{ChangeKind.CALENDAR.value}', '{ChangeKind.REASON.value}')"


def _numbered() -> str:
    """Numbers a change at the commit, and unseals its days: so no two writers wait for each other."""
    of_change = _unseal("NEW", "day BETWEEN days.first_day AND days.last_day")
    of_versions = _unseal("NEW", f"day IN (SELECT day FROM {VERSION} WHERE cause_id = NEW.id)")
    return f"""
    PERFORM pg_advisory_xact_lock({LOCK});
    SELECT number, at INTO last FROM {CHANGE} WHERE number IS NOT NULL ORDER BY number DESC LIMIT 1;
    UPDATE {CHANGE} SET number = COALESCE(last.number, 0) + 1, at = GREATEST(last.at, clock_timestamp())
        WHERE id = NEW.id AND number IS NULL RETURNING first_day, last_day INTO days;
    IF NEW.adjust = '' AND NEW.kind IN {_OF_DAYS} THEN {of_change}; END IF;
    IF NEW.adjust = '' AND NEW.kind IN ('{ChangeKind.CORRECTION.value}', '{ChangeKind.DELETION.value}')
        THEN {of_versions}; END IF;
    RETURN NULL;"""


_ADDED = f"""
    FOR series IN SELECT market, symbol, adjust, min(day) AS first, max(day) AS last, count(*) AS rows,
        max(item_id) AS item FROM added GROUP BY market, symbol, adjust
    LOOP
        IF series.rows = 1 THEN stored := 1;
        ELSE SELECT count(*) INTO stored FROM {BAR} WHERE market = series.market AND symbol = series.symbol
            AND adjust = series.adjust AND day BETWEEN series.first AND series.last;
        END IF;
        IF stored = series.rows THEN
            INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows, item_id)
            VALUES ('{ChangeKind.BAR.value}', series.market, series.symbol, series.adjust, series.first,
                series.last, series.rows, series.item);
        ELSE
            INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows, item_id)
            SELECT '{ChangeKind.BAR.value}', series.market, series.symbol, series.adjust, min(day), max(day),
                count(*), series.item
            FROM (SELECT day, is_new, row_number() OVER (ORDER BY day)
                    - row_number() OVER (PARTITION BY is_new ORDER BY day) AS run
                FROM (SELECT bar.day, EXISTS (SELECT 1 FROM added WHERE added.id = bar.id) AS is_new
                    FROM {BAR} AS bar WHERE bar.market = series.market AND bar.symbol = series.symbol
                    AND bar.adjust = series.adjust AND bar.day BETWEEN series.first AND series.last
                ) AS days) AS runs
            WHERE is_new GROUP BY run ORDER BY min(day);
        END IF;
    END LOOP;
    RETURN NULL;"""

_REMOVED = f"""
    FOR series IN SELECT market, symbol, adjust, min(day) AS first, max(day) AS last, count(*) AS rows
        FROM removed GROUP BY market, symbol, adjust
    LOOP
        INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows)
        VALUES ('{ChangeKind.DELETION.value}', series.market, series.symbol, series.adjust, series.first,
            series.last, series.rows) RETURNING id INTO cause;
        INSERT INTO {VERSION} (cause_id, {", ".join(BAR_VALUES)})
        SELECT cause, {", ".join(BAR_VALUES)} FROM removed WHERE market = series.market
            AND symbol = series.symbol AND adjust = series.adjust;
    END LOOP;
    RETURN NULL;"""


def _continue(kind: str, key: tuple[str, str, str], day: str, item: str = "NULL") -> str:
    """Adds a row to this transaction's change of the kind, or a change; its id is then in `cause`.

    Changes without a number are this transaction's: nobody sees those of others.
    """
    market, symbol, adjust = key
    return f"""
    UPDATE {CHANGE} SET rows = rows + 1, first_day = LEAST(first_day, {day}),
        last_day = GREATEST(last_day, {day}) WHERE number IS NULL AND symbol = {symbol}
        AND market = {market} AND adjust = {adjust} AND kind = {kind} RETURNING id INTO cause;
    IF cause IS NULL THEN
        INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows, item_id)
        VALUES ({kind}, {market}, {symbol}, {adjust}, {day}, {day}, 1, {item}) RETURNING id INTO cause;
    END IF;"""


def _version_of_old() -> str:
    values = ", ".join(f"OLD.{column}" for column in BAR_VALUES)
    return f"INSERT INTO {VERSION} (cause_id, {', '.join(BAR_VALUES)}) VALUES (cause, {values});"


def _bar_changed() -> str:
    """An update in place is a correction; one that moves a bar removes it here and adds it there."""
    here, there = ((f"{row}.market", f"{row}.symbol", f"{row}.adjust") for row in ("OLD", "NEW"))
    is_moved = f"({', '.join(here)}, OLD.day) IS DISTINCT FROM ({', '.join(there)}, NEW.day)"
    return f"""
    IF {is_moved} THEN
        {_continue(f"'{ChangeKind.DELETION.value}'", here, "OLD.day")}
        {_version_of_old()}
        INSERT INTO {CHANGE} (kind, market, symbol, adjust, first_day, last_day, rows, item_id)
        VALUES ('{ChangeKind.BAR.value}', {", ".join(there)}, NEW.day, NEW.day, 1, NEW.item_id);
    ELSE
        {_continue(f"'{ChangeKind.CORRECTION.value}'", there, "NEW.day", "NEW.item_id")}
        {_version_of_old()}
    END IF;
    RETURN NULL;"""


def _row_changed(each: Recorded) -> str:
    parts = []
    for row, when in (("OLD", "TG_OP = 'DELETE'"), ("NEW", "TG_OP <> 'DELETE'")):
        symbol = f"{row}.{each.symbol}" if each.symbol else "''"
        day = f"{row}.{each.day}" if each.day else "NULL::date"
        before = "CASE WHEN TG_OP = 'INSERT' THEN NULL ELSE to_jsonb(OLD) END"
        parts.append(f"""
    IF {when} THEN
        {_continue(each.kind.format(row), (f"{row}.market", symbol, "''"), day)}
        INSERT INTO {ROW} (cause_id, "table", row_id, "values")
        VALUES (cause, '{each.table}', {row}.id, {before if row == "NEW" else "to_jsonb(OLD)"});
    END IF;""")
    return "".join(parts) + "\n    RETURN NULL;"


def _postgresql(recorded: list[Recorded]) -> list[str]:
    statements = [
        *postgresql_function(f"{CHANGE}_numbered", _numbered(), "last record; days record;"),
        f"DROP TRIGGER IF EXISTS {CHANGE}_numbered ON {CHANGE}",
        f"CREATE CONSTRAINT TRIGGER {CHANGE}_numbered AFTER INSERT ON {CHANGE} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION {CHANGE}_numbered()",
    ]
    changed = " OR ".join(
        f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in BAR_VALUES if column != "item_id"
    )
    moved = " OR ".join(
        f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in ("market", "symbol", "adjust")
    )
    for name, body, event in (
        ("added", _ADDED, "INSERT ON {0} REFERENCING NEW TABLE AS added FOR EACH STATEMENT"),
        ("removed", _REMOVED, "DELETE ON {0} REFERENCING OLD TABLE AS removed FOR EACH STATEMENT"),
        ("changed", _bar_changed(), f"UPDATE ON {{0}} FOR EACH ROW WHEN ({changed} OR {moved})"),
    ):
        statements += postgresql_trigger(f"{BAR}_{name}", BAR, event.format(BAR), body)
    for each in recorded:
        columns = each.columns or tuple(str(field.column) for field in each.meta.concrete_fields)
        differs = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
        body = _row_changed(each)
        table = each.table
        statements += postgresql_trigger(
            f"{table}_recorded", table, f"INSERT OR DELETE ON {table} FOR EACH ROW", body
        )
        statements += [
            f"DROP TRIGGER IF EXISTS {table}_recorded_update ON {table}",
            f"CREATE TRIGGER {table}_recorded_update AFTER UPDATE ON {table} FOR EACH ROW WHEN ({differs}) "
            f"EXECUTE FUNCTION {table}_recorded()",
        ]
    return statements
