"""Compares factors and corporate actions from a raw answer with the stored ones, and replaces these."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction as StoredAction, RecordedStock
from tasks_app.models.adjustments import AdjustmentContent
from tasks_app.models.raw_answers import CallKind
from tasks_app.quotes import adjustment_data
from tasks_app.sources.base import CorporateAction, CorporateActions

DAY = timedelta(days=1)
Row = tuple[date | None, str, Any, Any]  # ex day, field, old, new
ACTION_FIELDS = CorporateAction._fields


def replace_table(link: RecordedStock, rows: Any, *, write: bool) -> tuple[list[Row], bool]:
    """Returns what the rows of a call change, and whether a later answer has been stored since: then nothing.

    With `write` the stored rows are replaced, in the caller's transaction; the table stays as old as it was.
    """
    call, is_factors = link.call, link.call.kind == CallKind.FACTORS
    content = AdjustmentContent.FACTORS if is_factors else AdjustmentContent.ACTIONS
    table = adjustment_data.tables_of(call.market, link.symbol, call.source).get(content)
    if table and table.fetched_at > link.recorded_at:
        return [], True
    changes = list(_factor_changes(link, rows) if is_factors else _action_changes(link, rows))
    if changes and write:
        _replace(link, rows, table, content)
    return changes, False


def _replace(link: RecordedStock, rows: Any, table: AdjustmentTable | None, content: str) -> None:
    """Replaces the stored rows, and keeps what the table says of its age."""
    call = link.call
    asked_on = call.asked_at.astimezone(ZoneInfo(MARKET_TIME_ZONES[call.market])).date()
    until = table.until if table else asked_on - DAY
    replace: Any = (
        adjustment_data.replace_factors
        if content == AdjustmentContent.FACTORS
        else adjustment_data.replace_actions
    )
    replace(call.market, link.symbol, call.source, rows, until)
    key = {"market": call.market, "symbol": link.symbol, "source": call.source, "content": content}
    lacks = table.lacks if table else None
    if lacks and any(row.ex_day == lacks for row in rows):
        lacks = None
    fetched_at = table.fetched_at if table else link.recorded_at
    AdjustmentTable.objects.filter(**key).update(fetched_at=fetched_at, lacks=lacks)


def _factor_changes(link: RecordedStock, rows: Sequence[Any]) -> Iterator[Row]:
    stored = AdjustmentFactor.objects.filter(
        market=link.call.market, symbol=link.symbol, source=link.call.source
    )
    old = {row.ex_day: (row.hfq, row.qfq) for row in stored}
    new = {row.ex_day: tuple(_text(value) for value in (row.hfq, row.qfq)) for row in rows}
    for day in sorted(old.keys() | new.keys()):
        for place, name in enumerate(("hfq", "qfq")):
            before, after = (values[day][place] if day in values else None for values in (old, new))
            if before != after:
                yield day, name, before, after


def _action_changes(link: RecordedStock, actions: CorporateActions) -> Iterator[Row]:
    """Yields the corporate actions that go, and those that come."""
    stored = StoredAction.objects.filter(market=link.call.market, symbol=link.symbol, source=link.call.source)
    if first := actions.complete_from:
        stored = stored.filter(Q(ex_day__isnull=True) | Q(ex_day__gte=first))
    old = [_described(row) for row in stored.order_by("number")]
    new = [_described(row) for row in actions]
    for day, text in old:
        if (day, text) not in new:
            yield day, "action", text, None
    for day, text in new:
        if (day, text) not in old:
            yield day, "action", None, text


def _described(row: Any) -> tuple[date | None, str]:
    """Returns an action's ex day, and its values as one text."""
    values = {name: getattr(row, name) for name in ACTION_FIELDS}
    values |= {name: _text(values[name]) for name in ("cash", "ratio", "price")}
    values["note"] = values["note"][: adjustment_data.MAX_NOTE]
    return row.ex_day, ", ".join(
        f"{name} {value}" for name, value in values.items() if value not in (None, "")
    )


def _text(value: Any) -> str:
    """Returns a number as it is stored."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:f}"
