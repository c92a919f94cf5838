"""Stock lists: A-shares from the three exchanges, Hong Kong and the US from Eastmoney's pages.

Eastmoney's pages are read through the client's lower-level request, by the vendor's field names. The client's
own list functions hide how many rows there should be, and stop early at a page that came back short: a market
has "lost" half its stocks that way.
"""

import random
import time
from collections.abc import Callable, Mapping
from itertools import count
from math import ceil
from typing import Any

import requests

from tasks_app.sources.akshare import calls, codes, frames
from tasks_app.sources.akshare.client import akshare
from tasks_app.sources.akshare.errors import interface_changed
from tasks_app.sources.akshare.throttle_probe import NoData
from tasks_app.sources.base import Permanent, Symbol, Transient
from tasks_app.sources.cn_codes import exchange_of, split_index
from tasks_app.sources.http_calls import CallScope

TOKEN = "bd1d9ddb04089700cf9c27f6f7426281"  # noqa: S105 - public, the same for everyone
PAGE_SIZE = 100
PAGES = {
    "CN": ("82.push2.eastmoney.com", "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048"),
    "HK": ("72.push2.eastmoney.com", "m:128 t:3,m:128 t:4,m:128 t:1,m:128 t:2"),
    "US": ("72.push2.eastmoney.com", "m:105,m:106,m:107"),
    # As the client's fund_etf_spot_em and stock_zh_index_spot_em ask for them.
    "etf": ("88.push2.eastmoney.com", "b:MK0021,b:MK0022,b:MK0023,b:MK0024,b:MK0827"),
    "index": ("48.push2.eastmoney.com", "m:1 t:1,m:0 t:5,m:2"),
}
SH, SZ, BJ = "stock_info_sh_name_code", "stock_info_sz_name_code", "stock_info_bj_name_code"
CODE, NAME, LISTED = "证券代码", "证券简称", "上市日期"
EXCHANGE_LISTS: tuple[tuple[str, str, dict[str, str], tuple[str, str, str]], ...] = (
    ("SSE", SH, {"symbol": "主板A股"}, (CODE, NAME, LISTED)),
    ("SSE", SH, {"symbol": "科创板"}, (CODE, NAME, LISTED)),
    ("SZSE", SZ, {"symbol": "A股列表"}, ("A股代码", "A股简称", "A股上市日期")),
    ("BSE", BJ, {}, (CODE, NAME, LISTED)),
)
RETRY_SECONDS = 60.0
MIN_PAGE_DELAY = 0.15  # seconds
Row = Mapping[str, Any]


def read_chinese_list(scope: CallScope) -> list[Symbol]:
    """Returns all A-shares with their listing dates. Fails as a whole when one exchange fails."""
    symbols: dict[str, Symbol] = {}
    for exchange, function, arguments, columns in EXCHANGE_LISTS:
        client = getattr(akshare, function)
        client.cache_clear()  # the client caches a list for as long as the process lives
        frame = calls.call(client, **arguments)
        payload = scope.last_json()  # Shanghai states the number of rows; the other two send no JSON
        total = (payload.get("pageHelp") or {}).get("total") if isinstance(payload, dict) else None
        _check_complete(exchange, len(frame), int(total or 0))
        for column in columns:
            if column not in frame.columns:
                names = frames.join_names(map(str, frame.columns))
                raise interface_changed(f"a stock list lacks the column {column} and has {names}")
        for code, name, day in zip(*(frame[column].tolist() for column in columns), strict=True):
            plain_name = "".join(str(name).split())  # names are padded with blanks to four characters
            symbol = Symbol(str(code).zfill(6), plain_name, exchange, listed_on=frames.parse_day(day))
            symbols[symbol.code] = symbol
    return list(symbols.values())


def _check_complete(list_name: str, rows: int, total: int) -> None:
    """Raises `Transient` for a list that is empty or shorter than `total`; 0: the total is not known."""
    if not rows or rows < total:
        text = f"The list of {list_name} broke off: {rows} of {total or 'its'} stocks."
        raise Transient(text, code="list_cut_short", retry_after=RETRY_SECONDS)


def read_foreign_list(market: str, scope: CallScope, sleep: Callable[[float], object]) -> list[Symbol]:
    """Returns the stocks of Hong Kong or the US, without listing dates."""
    return [
        Symbol(str(row["f12"]), str(row["f14"]), codes.US_EXCHANGES.get(str(row["f13"]), "HKEX"))
        for row in read_pages(market, "f12,f13,f14", scope, sleep)
    ]


def read_kind_list(kind: str, scope: CallScope, sleep: Callable[[float], object]) -> list[Symbol]:
    """Returns the Chinese ETFs or indices, without listing dates."""
    symbols = []
    for row in read_pages(kind, "f12,f13,f14", scope, sleep):
        number, market = str(row["f12"]), str(row["f13"])
        code = codes.index_of(f"{market}.{number}") if kind == "index" else number
        exchange = (split_index(code) or ("",))[0] if kind == "index" else exchange_of(code)
        if exchange:  # the sections of indices hold those of bonds and funds, too, under other numbers
            symbols.append(Symbol(code, "".join(str(row["f14"]).split()), exchange, kind=kind))
    return symbols


def read_pages(market: str, fields: str, scope: CallScope, sleep: Callable[[float], object]) -> list[Row]:
    """Returns all rows of a market's pages, each code once.

    Raises `Transient` when rows are missing, and `Permanent` when fields are, or when the time allowed is too
    short to read the pages at an acceptable pace.
    """
    rows_by_code: dict[str, Row] = {}
    spent = 0.0
    for number in count(1):
        began = time.monotonic() - scope.waited
        total, rows = calls.call(_read_page, market, fields, number, scope)
        spent += time.monotonic() - scope.waited - began
        for row in rows:
            if missing := sorted(set(fields.split(",")) - set(row)):
                raise interface_changed(f"a list lacks the fields {', '.join(missing)}: {dict(row)}")
            rows_by_code[f"{row.get('f13', '')}.{row['f12']}"] = (
                row  # of two markets' indices with one number
            )
        if number * PAGE_SIZE >= total:
            break
        sleep(page_delay(ceil(total / PAGE_SIZE) - number, spent / number, scope.seconds_left()))
    _check_complete(f"the market {market}", len(rows_by_code), total)
    return list(rows_by_code.values())


def page_delay(pages: int, seconds_each: float, seconds_left: float) -> float:
    """Returns the seconds to wait before the next of so many pages.

    That is the client's own delay where there is time for it, else a shorter one. Raises `Permanent` where it
    would be shorter than `MIN_PAGE_DELAY`.
    """
    spare = seconds_left / pages - seconds_each
    if spare < MIN_PAGE_DELAY:
        needed = ceil(pages * (1.0 + seconds_each) / 0.9)
        text = f"{pages} more pages can't be read at an acceptable pace in {seconds_left:.0f} s: "
        raise Permanent(f"{text}set COLLECTOR_FETCH_TIMEOUT to {needed} or more.", code="timeout")
    return min(spare, random.uniform(0.5, 1.5))  # noqa: S311


def _read_page(market: str, fields: str, number: int, scope: CallScope) -> tuple[int, list[Row]]:
    """Returns the number of rows on all pages, and those of one page.

    Makes one request itself: the client's three attempts would follow a refusal at once, and past the scope.
    """
    host, sections = PAGES[market]
    params = {"po": "0", "np": "1", "ut": TOKEN, "fltt": "2", "invt": "2", "fid": "f12"}
    params |= {"pn": str(number), "pz": str(PAGE_SIZE), "fs": sections, "fields": fields}
    url = f"https://{host}/api/qt/clist/get"
    response = requests.get(url, params=params, timeout=scope.seconds_left())
    response.raise_for_status()
    data = response.json()["data"]
    if not (data and data["diff"] and data["total"]):
        raise NoData()
    return int(data["total"]), data["diff"]
