"""Adjustment factors and corporate actions of a stock as the API and the pages show them, by source."""

from datetime import date
from typing import Any

from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction
from tasks_app.models.adjustments import AdjustmentContent

FACTOR_FIELDS = ("ex_day", "hfq", "qfq")
ACTION_FIELDS = (
    *("kind", "ex_day", "announced_on", "record_day", "paid_on"),
    *("cash", "ratio", "price", "note"),
)


def factor_tables(market: str, code: str) -> list[dict[str, Any]]:
    """Returns each source's factors by ascending ex day, the source that sent them last first."""
    return [
        {
            "source": table.source,
            "fetched_at": table.fetched_at,
            "until": table.until,
            "lacks": table.lacks,
            "factors": list(
                AdjustmentFactor.objects.filter(market=market, symbol=code, source=table.source)
                .order_by("ex_day")
                .values(*FACTOR_FIELDS)
            ),
        }
        for table in _tables(market, code, AdjustmentContent.FACTORS)
    ]


def action_tables(market: str, code: str) -> list[dict[str, Any]]:
    """Returns each source's corporate actions, the newest first, the source that sent them last first."""
    return [
        {
            "source": table.source,
            "fetched_at": table.fetched_at,
            "until": table.until,
            "complete_from": table.complete_from,
            "actions": _actions(table),
        }
        for table in _tables(market, code, AdjustmentContent.ACTIONS)
    ]


def _actions(table: AdjustmentTable) -> list[dict[str, Any]]:
    rows = CorporateAction.objects.filter(market=table.market, symbol=table.symbol, source=table.source)
    actions = list(rows.order_by("number").values(*ACTION_FIELDS))
    # Those without an ex day are announced only: they come first.
    return sorted(actions, key=lambda row: row["ex_day"] or date.max, reverse=True)


def _tables(market: str, code: str, content: str) -> list[AdjustmentTable]:
    rows = AdjustmentTable.objects.filter(market=market, symbol=code, content=content)
    return list(rows.order_by("-fetched_at", "source"))
