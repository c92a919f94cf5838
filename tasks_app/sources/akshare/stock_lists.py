"""Stock lists: A-shares from the three exchanges, Hong Kong and the US from Eastmoney's pages.

Eastmoney's pages are read through the client's lower-level request, by the vendor's field names.
The client's own list functions hide how many rows there should be, and a page that came back short
makes them stop early: a market has "lost" half its stocks that way.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from math import ceil
from typing import Any

import akshare
from akshare.utils import request

from tasks_app.sources.akshare import calls, codes, frames
from tasks_app.sources.akshare.calls import Watch
from tasks_app.sources.akshare.errors import NoData, changed
from tasks_app.sources.base import Permanent, Symbol, Transient

TOKEN = "bd1d9ddb04089700cf9c27f6f7426281"  # noqa: S105 - public, the same for everybody
PAGE = 100
PAGES = {
    "CN": ("82.push2.eastmoney.com", "m:0 t:6,m:0 t:80,m:1 t:2,m:1 t:23,m:0 t:81 s:2048"),
    "HK": ("72.push2.eastmoney.com", "m:128 t:3,m:128 t:4,m:128 t:1,m:128 t:2"),
    "US": ("72.push2.eastmoney.com", "m:105,m:106,m:107"),
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
CLOSEST = 0.15  # seconds between pages
Row = Mapping[str, Any]


def chinese(watching: Watch) -> list[Symbol]:
    """All A-shares with their days of listing. One exchange that fails fails the list: half is none."""
    found: dict[str, Symbol] = {}
    for exchange, function, given, columns in EXCHANGE_LISTS:
        client = getattr(akshare, function)
        client.cache_clear()  # the client remembers a list for as long as the process lives
        frame = calls.call(client, **given)
        check_whole(exchange, len(frame), total_of(watching.payload()))
        for row in zip(*(column(frame, name) for name in columns), strict=True):
            symbol = listed(exchange, *row)
            found[symbol.code] = symbol
    return list(found.values())


def listed(exchange: str, code: Any, name: Any, day: Any) -> Symbol:
    """A line of an exchange's list."""
    text = "".join(str(name).split())  # names are padded with blanks to four characters
    return Symbol(str(code).zfill(6), text, exchange, listed_on=frames.day_or_none(day))


def column(frame: Any, name: str) -> list[Any]:
    """A column of a list by its name."""
    if name not in frame.columns:
        unexpected = frames.listed(map(str, frame.columns))
        raise changed(f"a stock list lacks the column {name} and has {unexpected}")
    values: list[Any] = frame[name].tolist()
    return values


def total_of(payload: Any) -> int:
    """How many rows an exchange says that its list has; 0 when it does not say."""
    if isinstance(payload, dict):  # Shanghai; the other two send no JSON
        return int((payload.get("pageHelp") or {}).get("total") or 0)
    return 0


def check_whole(what: str, rows: int, total: int) -> None:
    """Raises `Transient` for a list that is empty or shorter than it says."""
    if not rows or rows < total:
        text = f"The list of {what} broke off: {rows} of {total or 'its'} stocks."
        raise Transient(text, code="list_cut_short", retry_after=RETRY_SECONDS)


def foreign(market: str, watching: Watch, sleep: Callable[[float], object]) -> list[Symbol]:
    """The stocks of Hong Kong or the US; those pages tell no days of listing."""
    rows = page_rows(market, "f12,f13,f14", watching, sleep)
    return [
        Symbol(str(row["f12"]), str(row["f14"]), codes.US_EXCHANGES.get(str(row["f13"]), "HKEX"))
        for row in rows
    ]


def page_rows(market: str, fields: str, watching: Watch, sleep: Callable[[float], object]) -> list[Row]:
    """All rows of a market's pages, each code once. Raises `Transient` when some are missing.

    `Permanent` when the time allowed is too short to read them at a pace that is still kind.
    """
    found: dict[str, Row] = {}
    spent = 0.0
    for number in count(1):
        began = time.monotonic()
        total, rows = one_page(market, fields, number)
        spent += time.monotonic() - began
        check_fields(rows, fields)
        found.update((str(row["f12"]), row) for row in rows)
        if number * PAGE >= total:
            break
        sleep(pause(ceil(total / PAGE) - number, spent / number, watching.left()))
    check_whole(f"the market {market}", len(found), total)
    return list(found.values())


def pause(pages: int, each: float, left: float) -> float:
    """Seconds before the next of so many pages, each of which takes `each`, in the time that is left.

    The client's own spacing where there is time for it, else closer. Raises `Permanent` where it would
    be too close.
    """
    spare = left / pages - each
    if spare < CLOSEST:
        needed = ceil(pages * (1.0 + each) / 0.9)
        text = f"{pages} more pages can't be read kindly in {left:.0f} s: "
        raise Permanent(f"{text}set COLLECTOR_FETCH_TIMEOUT to {needed} or more.", code="timeout")
    return min(spare, random.uniform(0.5, 1.5))  # noqa: S311


def one_page(market: str, fields: str, number: int) -> tuple[int, list[Row]]:
    """How many rows there are in all, and a page of them."""
    host, markets = PAGES[market]
    fixed = {"po": "0", "np": "1", "ut": TOKEN, "fltt": "2", "invt": "2", "fid": "f12"}
    asked = {**fixed, "pn": str(number), "pz": str(PAGE), "fs": markets, "fields": fields}
    url = f"https://{host}/api/qt/clist/get"
    total, rows = calls.call(read, url, asked)
    return total, rows


def read(url: str, asked: Row) -> tuple[int, list[Row]]:
    """One request without the client's three tries, which would come at a vendor who has just refused."""
    timeout = calls.seconds_left()
    answer = request.request_with_retry(url, params=asked, timeout=timeout, max_retries=1)
    data = answer.json()["data"]
    if not (data and data["diff"] and data["total"]):
        raise NoData
    return int(data["total"]), data["diff"]


def check_fields(rows: Iterable[Row], fields: str) -> None:
    """Raises `Permanent` that names what is missing."""
    for row in rows:
        if missing := sorted(set(fields.split(",")) - set(row)):
            raise changed(f"a list lacks the fields {', '.join(missing)}: {dict(row)}")
