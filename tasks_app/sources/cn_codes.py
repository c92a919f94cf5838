"""The exchange of a six-digit Chinese code, from its first digits."""

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
    "92": "BSE",
}
SHORT = {"SSE": "sh", "SZSE": "sz", "BSE": "bj"}


A_SHARES = ("60", "68", "00", "30")  # of Shanghai and Shenzhen; they trade on every day


def is_a_share(code: str) -> bool:
    """Returns whether a Chinese code is an A-share of Shanghai or Shenzhen: no fund, B share or index."""
    return bool(exchange_of(code)) and code.startswith(A_SHARES)


def exchange_of(code: str) -> str:
    """Returns SSE, SZSE or BSE; "" for anything but the code of a Chinese stock or fund, such as an index."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return ""
    return next((EXCHANGES[code[:n]] for n in (3, 2, 1) if code[:n] in EXCHANGES), "")
