"""How a stock's adjusted prices come about, and its corporate actions, as the page shows them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from tasks_app.admin.common import formatting
from tasks_app.models import Stock
from tasks_app.models.adjustments import ActionKind
from tasks_app.models.quotes import Adjust
from tasks_app.quotes.adjusted_prices import COMPUTED, STORED, Basis, StockPrices
from tasks_app.quotes.adjustment_payloads import action_tables

MAX_ACTIONS = 60  # of each source


def describe_size(basis: Basis, bars: int) -> str:
    """Returns the number of bars of a series, and whether it is computed or stored if it is adjusted."""
    count = formatting.number(bars)
    if basis.adjust == Adjust.NONE or not bars:
        return count
    text = _("%(count)s (computed)") if basis.kind == COMPUTED else _("%(count)s (stored)")
    return text % {"count": count}


def describe_basis(
    prices: StockPrices, page: str, query: Mapping[str, str], basis: Basis
) -> dict[str, Any] | None:
    """Returns where the shown prices come from, and the address of the other basis if there is one."""
    if basis.adjust == Adjust.NONE:
        return None
    is_computed = basis.kind == COMPUTED
    other = STORED if is_computed else COMPUTED
    has_other = (
        basis.adjust in prices.series if is_computed else prices.basis(basis.adjust, other) is not None
    )
    return {
        "is_computed": is_computed,
        "source": basis.source,
        "at": formatting.timestamp(basis.fetched_at) if basis.fetched_at else "",
        "ends_before": basis.ends_before.isoformat() if basis.ends_before else "",
        "other": f"{page}?{urlencode({**query, 'basis': other})}" if has_other else "",
    }


def action_rows(stock: Stock) -> list[dict[str, Any]]:
    """Returns the newest corporate actions by source, the source that sent them last first."""
    return [
        {
            "source": table["source"],
            "at": formatting.timestamp(table["fetched_at"]),
            "complete_from": table["complete_from"] and table["complete_from"].isoformat(),
            "more": max(0, len(table["actions"]) - MAX_ACTIONS),
            "rows": [_action(row) for row in table["actions"][:MAX_ACTIONS]],
        }
        for table in action_tables(stock.market, stock.code)
    ]


def _action(row: Mapping[str, Any]) -> dict[str, Any]:
    days = ("ex_day", "announced_on", "record_day", "paid_on")
    return {
        "kind": ActionKind(row["kind"]).label,
        "terms": _terms(row),
        "note": row["note"],
        **{name: row[name].isoformat() if row[name] else formatting.EMPTY for name in days},
    }


def _terms(row: Mapping[str, Any]) -> str:
    """Returns the amounts that the source told, such as “0.35 per share”."""
    texts = []
    if row["cash"]:
        texts.append(_("%(cash)s per share before tax") % {"cash": row["cash"]})
    if row["ratio"]:
        texts.append(_("%(ratio)s new shares per share") % {"ratio": row["ratio"]})
    if row["price"]:
        texts.append(_("at %(price)s") % {"price": row["price"]})
    return _(", ").join(texts) or formatting.EMPTY
