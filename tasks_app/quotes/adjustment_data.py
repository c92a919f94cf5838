"""Adjustment factors and corporate actions as they are stored: by market, code and source.

A source's table is replaced as a whole, so that factors of two vendors or of two days are never mixed.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import Max, Q
from django.db.models.functions import Now

from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction
from tasks_app.models.adjustments import AdjustmentContent
from tasks_app.quotes.series import close_before
from tasks_app.sources.base import (
    Bar,
    CorporateAction as CorporateActionOfSource,
    CorporateActions,
    Factor,
    Request,
)

ROUNDING = 0.0011  # a previous close that is further from the last close has had something taken off
MAX_NOTE = 200
BELIEVED_JUMP = 5.0  # times the price before


def tables_of(market: str, code: str, source: str) -> dict[str, AdjustmentTable]:
    """Returns what the source has sent of the stock, by content. One query."""
    rows = AdjustmentTable.objects.filter(market=market, symbol=code, source=source)
    return {row.content: row for row in rows}


def replace_factors(market: str, code: str, source: str, factors: Sequence[Factor], until: date) -> None:
    """Replaces the source's factors of a stock in the caller's transaction; all ex days to `until` are in.

    Equal ones stay as they are: each change is numbered, and keeps the value before.
    """
    key = {"market": market, "symbol": code, "source": source}
    new = {(row.ex_day, _text(row.hfq), _text(row.qfq)) for row in factors}
    stored = AdjustmentFactor.objects.filter(**key)
    known = {(row.ex_day, row.hfq, row.qfq): row.pk for row in stored}
    stored.filter(pk__in=[pk for values, pk in known.items() if values not in new]).delete()
    AdjustmentFactor.objects.bulk_create(
        AdjustmentFactor(**key, ex_day=day, hfq=hfq, qfq=qfq) for day, hfq, qfq in sorted(new - known.keys())
    )
    _note_table(key, AdjustmentContent.FACTORS, until, None)


def replace_actions(market: str, code: str, source: str, actions: CorporateActions, until: date) -> None:
    """Replaces the source's corporate actions of a stock in the caller's transaction.

    Stored ones before `complete_from` stay, and so do their days: only then the table reaches further back.
    """
    key = {"market": market, "symbol": code, "source": source}
    stored, first = CorporateAction.objects.filter(**key), actions.complete_from
    if first is not None:
        known = AdjustmentTable.objects.filter(**key, content=AdjustmentContent.ACTIONS).first()
        stored = stored.filter(Q(ex_day__isnull=True) | Q(ex_day__gte=first))
        if known and known.until >= first:  # without a gap between them
            first = known.complete_from and min(known.complete_from, first)
    told = [_told(row) for row in actions]
    if told != list(stored.order_by("number").values(*_TOLD)):
        stored.delete()
        kept = CorporateAction.objects.filter(**key).aggregate(last=Max("number"))["last"]
        numbered = enumerate(told, start=0 if kept is None else kept + 1)
        CorporateAction.objects.bulk_create(
            CorporateAction(**key, number=number, **values) for number, values in numbered
        )
    _note_table(key, AdjustmentContent.ACTIONS, until, first)


_TOLD = (
    *("kind", "ex_day", "announced_on", "record_day", "paid_on"),
    *("cash", "ratio", "price", "note"),
)


def _told(row: CorporateActionOfSource) -> dict[str, Any]:
    amounts = {"cash": _text(row.cash), "ratio": _text(row.ratio), "price": _text(row.price)}
    days = {name: getattr(row, name) for name in ("ex_day", "announced_on", "record_day", "paid_on")}
    return {"kind": row.kind, **days, **amounts, "note": row.note[:MAX_NOTE]}


def mark_lacking(request: Request, source: str, ex_day: date) -> None:
    """Notes an ex day that bars show and the source's factors lack."""
    factors = AdjustmentTable.objects.filter(content=AdjustmentContent.FACTORS, source=source)
    factors.filter(market=request.market, symbol=request.code).update(lacks=ex_day)


def mark_ex_days_of(request: Request, bars: Sequence[Bar]) -> None:
    """Notes in the factors of every source the first ex day that these unadjusted bars show and they lack.

    The bars may be another source's, or of files: prices computed from the factors must not go past it.
    """
    key = {"market": request.market, "symbol": request.code}
    if request.adjust or not bars:
        return
    tables = AdjustmentTable.objects.filter(**key, content=AdjustmentContent.FACTORS, until__lt=bars[-1].day)
    for table in tables:
        if unknown := unknown_ex_days(request, bars, table):
            mark_lacking(request, table.source, min(unknown[0], table.lacks or unknown[0]))


def unknown_ex_days(request: Request, bars: Sequence[Bar], table: AdjustmentTable) -> list[date]:
    """Returns the days after the table's end on which the bars' previous close shows an ex day it lacks.

    Such a close differs from the last one before. Bars without a previous close show nothing.
    """
    days = [day for day in _ex_days(request, bars) if day > table.until]
    if not days:
        return []
    factors = AdjustmentFactor.objects.filter(
        market=request.market, symbol=request.code, source=table.source, ex_day__gt=table.until
    )
    known = set(factors.values_list("ex_day", flat=True))
    return [day for day in days if day not in known]


def explains_jump(request: Request, after: date, day: date, times: float) -> bool:
    """Returns whether what sources told explains that prices jumped by so many times between two days.

    An ex day between them does. A source whose splits or factors are complete up to that day, and have none
    there, says that the price truly moved: believed of a fall by less than four fifths.
    """
    key = {"market": request.market, "symbol": request.code}
    within = {"ex_day__gt": after, "ex_day__lte": day}
    if any(model.objects.filter(**key, **within).exists() for model in (AdjustmentFactor, CorporateAction)):
        return True
    complete = Q(complete_from__isnull=True) | Q(complete_from__lte=after)
    tables = AdjustmentTable.objects.filter(complete, **key, until__gte=day, lacks__isnull=True)
    return times < BELIEVED_JUMP and tables.exists()


def last_ex_day(market: str, code: str, source: str) -> date | None:
    """Returns the last ex day among the source's corporate actions of a stock."""
    rows = CorporateAction.objects.filter(market=market, symbol=code, source=source, ex_day__isnull=False)
    return rows.order_by("-ex_day").values_list("ex_day", flat=True).first()


def sent_previous_close(bar: Bar) -> float | None:
    """The previous close as the source sent it, from which dividends and splits are taken off."""
    if bar.prev_close is not None:
        return bar.prev_close
    return None if bar.change is None else bar.close - bar.change


def _ex_days(request: Request, bars: Sequence[Bar]) -> Iterator[date]:
    for before, bar in pairwise([None, *bars]):
        if bar is None or (sent := sent_previous_close(bar)) is None:
            continue
        close = before.close if before else close_before(request, bar.day)
        if close is not None and abs(close - sent) > ROUNDING:
            yield bar.day


def _note_table(key: dict[str, str], content: str, until: date, complete_from: date | None) -> None:
    row = AdjustmentTable(**key, content=content, until=until, complete_from=complete_from, fetched_at=Now())
    AdjustmentTable.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["market", "symbol", "source", "content"],
        update_fields=["until", "complete_from", "lacks", "fetched_at"],
    )


def _text(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"
