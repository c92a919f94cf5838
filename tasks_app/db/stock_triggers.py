"""Triggers that keep `Stock.bars` and `Stock.last_day` in step with `Series`: the lists are sorted by them.

They are those of all adjustments together: the bars of the longest one, and the last day of any.
"""

from collections.abc import Sequence

from tasks_app.db.change_triggers import STOCK
from tasks_app.db.trigger_sql import postgresql_trigger, sqlite_trigger
from tasks_app.models.quotes import Adjust, Series

SERIES = Series._meta.db_table
_ADJUSTS = "(" + ", ".join(f"'{value}'" for value in Adjust.values) + ")"
_COLUMNS = ("market", "symbol", "adjust", "bars", "last_day")


def update_of(market: str, code: str) -> str:
    """Returns the SQL that sets both columns of a stock; the arguments are SQL expressions."""
    return (
        f"UPDATE {STOCK} SET (bars, last_day) = (SELECT COALESCE(MAX(one.bars), 0), MAX(one.last_day) "
        f"FROM {SERIES} AS one WHERE one.market = {market} AND one.adjust IN {_ADJUSTS} "
        f"AND one.symbol = {code}) WHERE market = {market} AND code = {code}"
    )


def statements(vendor: str, tables: set[str]) -> Sequence[str]:
    """Returns the SQL that installs the triggers; nothing while a table is missing."""
    if not {STOCK, SERIES} <= tables:
        return ()
    return {"sqlite": _sqlite, "postgresql": _postgresql}[vendor]()


def _changed(not_equal: str) -> str:
    return " OR ".join(f"OLD.{name} {not_equal} NEW.{name}" for name in _COLUMNS)


def _sqlite() -> Sequence[str]:
    of_new, of_old = (update_of(f"{row}.market", f"{row}.symbol") for row in ("NEW", "OLD"))
    is_moved = "(OLD.market <> NEW.market OR OLD.symbol <> NEW.symbol)"
    has_series = (
        f"EXISTS (SELECT 1 FROM {SERIES} WHERE market = NEW.market AND adjust IN {_ADJUSTS} "
        "AND symbol = NEW.code)"
    )
    return [
        *sqlite_trigger(f"{SERIES}_summed_insert", f"INSERT ON {SERIES}", "NEW.bars > 0", [of_new]),
        *sqlite_trigger(
            f"{SERIES}_summed_update",
            f"UPDATE ON {SERIES}",
            _changed("IS NOT"),
            [of_new, f"{of_old} AND {is_moved}"],
        ),
        *sqlite_trigger(f"{SERIES}_summed_delete", f"DELETE ON {SERIES}", "OLD.bars > 0", [of_old]),
        *sqlite_trigger(
            f"{STOCK}_summed", f"INSERT ON {STOCK}", has_series, [update_of("NEW.market", "NEW.code")]
        ),
    ]


def _postgresql() -> Sequence[str]:
    of_new, of_old = (_locked(f"{row}.market", f"{row}.symbol") for row in ("NEW", "OLD"))
    both = f"{of_new} IF OLD.market <> NEW.market OR OLD.symbol <> NEW.symbol THEN {of_old} END IF;"
    of_stock = (
        f"IF EXISTS (SELECT 1 FROM {SERIES} AS one WHERE one.market = NEW.market "
        f"AND one.adjust IN {_ADJUSTS} AND one.symbol = NEW.code) "
        f"THEN {update_of('NEW.market', 'NEW.code')}; END IF;"
    )
    triggers: list[str] = []
    for name, table, event, body in (
        (f"{SERIES}_summed_insert", SERIES, "INSERT ON {0} FOR EACH ROW WHEN (NEW.bars > 0)", of_new),
        (
            f"{SERIES}_summed_update",
            SERIES,
            f"UPDATE ON {{0}} FOR EACH ROW WHEN ({_changed('IS DISTINCT FROM')})",
            both,
        ),
        (f"{SERIES}_summed_delete", SERIES, "DELETE ON {0} FOR EACH ROW WHEN (OLD.bars > 0)", of_old),
        (f"{STOCK}_summed", STOCK, "INSERT ON {0} FOR EACH ROW", of_stock),
    ):
        triggers += postgresql_trigger(name, table, event.format(table), f"{body} RETURN NULL;")
    return triggers


def _locked(market: str, code: str) -> str:
    """The update, once the stock is locked: it then sees what another transaction wrote of the stock."""
    return (
        f"PERFORM 1 FROM {STOCK} WHERE market = {market} AND code = {code} FOR NO KEY UPDATE; "
        f"{update_of(market, code)};"
    )
