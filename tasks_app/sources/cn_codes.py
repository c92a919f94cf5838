"""Exchange and kind of a Chinese code, from its first digits.

Stocks and funds have six digits. An index has its exchange beside them, `000001.SH`: the same digits may be
those of a stock (000001 is a bank of Shenzhen).
"""

from collections.abc import Collection

# The longer prefix wins: 92 is Beijing's, 90 Shanghai's.
EXCHANGES = {
    "5": "SSE",  # funds
    "60": "SSE",
    "68": "SSE",  # STAR market
    "90": "SSE",  # B shares
    "00": "SZSE",
    "15": "SZSE",  # funds
    "16": "SZSE",
    "18": "SZSE",
    "200": "SZSE",  # B shares
    "30": "SZSE",  # ChiNext
    "4": "BSE",
    "8": "BSE",
    "899": "",  # indices of Beijing
    "92": "BSE",
}
SHORT = {"SSE": "sh", "SZSE": "sz", "BSE": "bj"}
MARKS = {**{exchange: mark.upper() for exchange, mark in SHORT.items()}, "CSI": "CSI"}
# How the numbers of each publisher's indices begin; CSI is China Securities Index.
INDICES = {"SSE": ("000", "95"), "SZSE": ("399", "97", "98"), "BSE": ("899",), "CSI": ("93", "95")}
UNAMBIGUOUS = ("399", "899")  # no stock or fund has such a number
FUNDS = ("15", "16", "18", "5")  # ETFs, LOFs, closed funds and REITs
STOCK, ETF, INDEX, OTHER = "stock", "etf", "index", "other"


A_SHARES = ("60", "68", "00", "30")  # of Shanghai and Shenzhen; they trade on every day


def is_a_share(code: str) -> bool:
    """Returns whether a Chinese code is an A-share of Shanghai or Shenzhen: no fund, B share or index."""
    return bool(exchange_of(code)) and code.startswith(A_SHARES)


def exchange_of(code: str) -> str:
    """Returns SSE, SZSE or BSE; "" for anything but the code of a Chinese stock or fund, such as an index."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return ""
    return next((EXCHANGES[code[:n]] for n in (3, 2, 1) if code[:n] in EXCHANGES), "")


def index_code(number: str, exchanges: Collection[str] = ()) -> str:
    """Returns the code of the index with these six digits on one of these exchanges; "" if that is none.

    Without an exchange only numbers count that no stock or fund has. CSI publishes Shanghai's and Shenzhen's
    indices, too: its 000300 is theirs.
    """
    if not exchanges:
        exchanges = INDICES if number.startswith(UNAMBIGUOUS) else ()
    elif "CSI" in exchanges and number.startswith(("000", "399")):
        exchanges = ("SSE", "SZSE")
    found = (exchange for exchange in exchanges if number.startswith(INDICES[exchange]))
    return next((f"{number}.{MARKS[exchange]}" for exchange in found), "")


def split_index(code: str) -> tuple[str, str] | None:
    """Returns the exchange (SSE, SZSE, BSE or CSI) and the six digits of an index; None for other codes."""
    number, _, mark = code.partition(".")
    exchange = next((name for name, text in MARKS.items() if text == mark), "")
    is_index = exchange and len(number) == 6 and index_code(number, [exchange]) == code
    return (exchange, number) if is_index else None


def listed_exchange(code: str) -> str:
    """Returns the exchange of a stock, fund or index; "" for other codes."""
    return (split_index(code) or (exchange_of(code),))[0]


def kind_of(code: str) -> str:
    """Returns stock, etf (any fund that is traded like a stock), index, or other: a bond, say."""
    if split_index(code):
        return INDEX
    if not exchange_of(code):
        return OTHER
    return ETF if code.startswith(FUNDS) else STOCK
