"""Eastmoney's security ids: a market id and the code, such as "1.600000"."""

import re

from tasks_app.sources import cn_codes
from tasks_app.sources.base import Symbol, UnknownStock

HK, HK_CODE = "116", re.compile(r"[0-9]{5}")
US_CODE = re.compile(r"(?:(10[567])\.)?([A-Z][A-Z0-9._-]{0,11})")
# Market ids of the US exchanges, those with most stocks first.
INDEX_MARKETS = {"SSE": "1", "SZSE": "0", "BSE": "0", "CSI": "2"}
EXCHANGES = {"0": ("SZSE", "BSE"), "1": ("SSE",), "2": ("CSI",)}  # of the Chinese market ids
US_EXCHANGES = {"105": "NASDAQ", "106": "NYSE", "107": "AMEX"}


def security_ids(market: str, code: str) -> tuple[str, ...]:
    """Returns the ids that a stock, fund or index may have, in the order to try them.

    Only a US code may have several: its market id is known from the list alone. "105.MSFT" states it, "MSFT"
    does not. BRK.B is written BRK_B. Raises `UnknownStock` for a malformed code.
    """
    if market == "CN":
        if index := cn_codes.split_index(code):
            return (f"{INDEX_MARKETS[index[0]]}.{index[1]}",)
        exchange = cn_codes.exchange_of(code)
        if not exchange:
            raise UnknownStock(
                f"“{code}” is not the six-digit code of a Chinese stock or fund, as 600000 is."
            )
        return (f"{int(exchange == 'SSE')}.{code}",)  # Shanghai is 1; Shenzhen and Beijing are 0
    if market == "HK":
        if not HK_CODE.fullmatch(code):
            raise UnknownStock(f"“{code}” is not the five-digit code of a Hong Kong stock, as 00700 is.")
        return (f"{HK}.{code}",)
    parts = US_CODE.fullmatch(code)
    if not parts:
        raise UnknownStock(f"“{code}” is not the code of a US stock, as MSFT or 105.MSFT is.")
    market_id, symbol = parts[1], parts[2].replace(".", "_")
    return tuple(f"{known}.{symbol}" for known in ([market_id] if market_id else US_EXCHANGES))


def us_security_id(symbol: Symbol) -> str:
    """Returns the id of a stock on the US list."""
    return next(f"{market}.{symbol.code}" for market, name in US_EXCHANGES.items() if name == symbol.exchange)


def index_of(security_id: str) -> str:
    """Returns the code of the index with this id; "" if it is none."""
    market, _, number = security_id.partition(".")
    return cn_codes.index_code(number, EXCHANGES[market]) if market in EXCHANGES else ""
