"""Adjustment factors of A-shares from Sina, and their dividends and bonus shares from Eastmoney.

Sina's factors begin on 1900-01-01 with 1; AKShare's own adjusted series multiply by them and round to cents.
Eastmoney tells cash and shares per ten held shares.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import requests

from tasks_app.sources.akshare import calls
from tasks_app.sources.akshare.client import akshare
from tasks_app.sources.akshare.errors import interface_changed
from tasks_app.sources.akshare.frames import join_names, parse_day, parse_number
from tasks_app.sources.base import CorporateAction, Factor, Permanent, SourceError
from tasks_app.sources.cn_codes import SHORT, exchange_of
from tasks_app.sources.http_calls import CallScope

NO_ROWS = 9201  # the vendor's code for a stock that has never paid
CASH, SHARES, WORDS = "现金分红-现金分红比例", "送转股份-送转总比例", "现金分红-现金分红比例描述"
DAYS = ("除权除息日", "预案公告日", "股权登记日")  # ex day, announced, record day


def fetch_factors(code: str) -> Sequence[Factor]:
    """Returns Sina's factors by ex day. Raises `SourceError`."""
    rows = calls.call(_read_factor_rows, f"{SHORT[exchange_of(code)]}{code}")
    factors = []
    for row in rows:
        try:
            factor = Factor(date.fromisoformat(row["d"]), Decimal(row["f"]))
        except (ArithmeticError, ValueError, TypeError) as error:
            raise Permanent(f"Sina sent a factor that can't be read: {row}.", code="bad_answer") from error
        if factor.ex_day.year > 1900 or factor.hfq != 1:
            factors.append(factor)
    return factors


def _read_factor_rows(symbol: str) -> list[dict[str, str]]:
    """Returns the rows {"d": ex day, "f": factor} of `var …={"total": …, "data": […]}` and a comment.

    Not by AKShare's function, which evaluates what Sina sends as Python.
    """
    # Here, since before `client` this would import the whole package.
    from akshare.stock.cons import zh_sina_a_stock_hfq_url

    text = requests.get(zh_sina_a_stock_hfq_url.format(symbol)).text  # noqa: S113 - `calls` has the timeout
    rows: list[dict[str, str]] = json.JSONDecoder().raw_decode(text.partition("=")[2])[0]["data"]
    return rows


def fetch_actions(code: str, scope: CallScope) -> Sequence[CorporateAction]:
    """Returns Eastmoney's dividends and bonus shares, announced ones included. Raises `SourceError`."""
    try:
        frame = calls.call(akshare.stock_fhps_detail_em, symbol=code)
    except SourceError as error:
        payload = scope.last_json()
        if error.code == "source_raised" and isinstance(payload, dict) and payload.get("code") == NO_ROWS:
            return []
        raise
    _require_columns(frame, (CASH, SHARES, WORDS, *DAYS), "Eastmoney")
    return [action for row in frame.to_dict("records") for action in _parse_row(row)]


def _parse_row(row: dict[str, Any]) -> Iterator[CorporateAction]:
    """Yields what the row tells: a cash dividend, bonus shares, or both."""
    ex_day, announced_on, record_day = (parse_day(row[name]) for name in DAYS)
    note = row[WORDS] if isinstance(row[WORDS], str) else ""
    cash, shares = (parse_number(row[column]) for column in (CASH, SHARES))
    if cash:
        yield CorporateAction("dividend", ex_day, announced_on, record_day, cash=_per_share(cash), note=note)
    if shares:
        yield CorporateAction("split", ex_day, announced_on, record_day, ratio=_per_share(shares), note=note)


def _per_share(per_ten: float) -> Decimal:
    return Decimal(repr(per_ten)) / 10


def _require_columns(frame: Any, names: Sequence[str], vendor: str) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise interface_changed(f"missing columns: {join_names(missing)}", vendor)
