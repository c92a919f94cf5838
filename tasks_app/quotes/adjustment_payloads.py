"""Adjustment factors and corporate actions of a stock as the API and the pages show them, by source."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from tasks_app.history.versions import Moment, known_rows
from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction
from tasks_app.models.adjustments import AdjustmentContent

FACTOR_FIELDS = ("ex_day", "hfq", "qfq")
ACTION_FIELDS = (
    *("kind", "ex_day", "announced_on", "record_day", "paid_on"),
    *("cash", "ratio", "price", "note"),
)


def factor_tables(market: str, code: str, moment: Moment | None = None) -> list[dict[str, Any]]:
    """Returns each source's factors by ascending ex day, the source that sent them last first.

    With a moment, as they were known then.
    """
    factors = sorted(known_rows(AdjustmentFactor, moment, market, code), key=lambda row: row.ex_day)
    return [
        {
            "source": table.source,
            "fetched_at": table.fetched_at,
            "until": table.until,
            "lacks": table.lacks,
            "factors": [_values(row, FACTOR_FIELDS) for row in factors if row.source == table.source],
        }
        for table in _tables(market, code, AdjustmentContent.FACTORS, moment)
    ]


def action_tables(market: str, code: str, moment: Moment | None = None) -> list[dict[str, Any]]:
    """Returns each source's corporate actions, the newest first, the source that sent them last first.

    With a moment, as they were known then.
    """
    actions = sorted(known_rows(CorporateAction, moment, market, code), key=lambda row: row.number)
    # Those without an ex day are announced only: they come first.
    actions.sort(key=lambda row: row.ex_day or date.max, reverse=True)
    return [
        {
            "source": table.source,
            "fetched_at": table.fetched_at,
            "until": table.until,
            "complete_from": table.complete_from,
            "actions": [_values(row, ACTION_FIELDS) for row in actions if row.source == table.source],
        }
        for table in _tables(market, code, AdjustmentContent.ACTIONS, moment)
    ]


def _values(row: AdjustmentFactor | CorporateAction, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _tables(market: str, code: str, content: str, moment: Moment | None) -> list[AdjustmentTable]:
    rows = [row for row in known_rows(AdjustmentTable, moment, market, code) if row.content == content]
    return sorted(rows, key=lambda row: (-row.fetched_at.timestamp(), row.source))
