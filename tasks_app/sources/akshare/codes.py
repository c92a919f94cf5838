"""How Eastmoney names a security: its market id and the code, "1.600000" for instance."""

import re

from tasks_app.sources import cn_codes
from tasks_app.sources.base import Symbol, UnknownStock

HK, HK_CODE = "116", re.compile(r"[0-9]{5}")
US_CODE = re.compile(r"(?:(10[567])\.)?([A-Z][A-Z0-9._-]{0,11})")
# Market ids of the US exchanges, the most numerous first.
US_EXCHANGES = {"105": "NASDAQ", "106": "NYSE", "107": "AMEX"}


def cn(code: str) -> str:
    """The name of a Chinese stock or fund: Shanghai is 1, Shenzhen and Beijing are 0."""
    exchange = cn_codes.exchange_of(code)
    if not exchange:
        raise UnknownStock(
            f"“{code}” is no code of a Chinese stock or fund: those have six digits, as 600000."
        )
    return f"{int(exchange == 'SSE')}.{code}"


def hk(code: str) -> str:
    """The name of a Hong Kong stock."""
    if not HK_CODE.fullmatch(code):
        raise UnknownStock(f"“{code}” is no code of a Hong Kong stock: those have five digits, as 00700.")
    return f"{HK}.{code}"


def us(code: str) -> tuple[str, ...]:
    """The names that a US stock may have: its own market id is known from its list alone.

    `105.MSFT` says it, `MSFT` does not. BRK.B is written BRK_B there.
    """
    found = US_CODE.fullmatch(code)
    if not found:
        raise UnknownStock(f"“{code}” is no code of a US stock, such as MSFT or 105.MSFT.")
    market, symbol = found.groups()
    symbol = symbol.replace(".", "_")
    return (f"{market}.{symbol}",) if market else tuple(f"{known}.{symbol}" for known in US_EXCHANGES)


def us_name(symbol: Symbol) -> str:
    """The name of a stock on the list."""
    return next(f"{market}.{symbol.code}" for market, name in US_EXCHANGES.items() if name == symbol.exchange)
