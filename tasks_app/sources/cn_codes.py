"""Which exchange a Chinese six-digit code belongs to, from its first digits."""

# The longest prefix wins: 92 is Beijing's, 900 Shanghai's B shares.
EXCHANGES = {
    "5": "SSE",  # funds
    "60": "SSE",
    "68": "SSE",  # STAR market
    "90": "SSE",  # B shares
    "00": "SZSE",
    "15": "SZSE",  # funds
    "16": "SZSE",
    "18": "SZSE",
    "20": "SZSE",  # B shares
    "30": "SZSE",  # ChiNext
    "4": "BSE",
    "8": "BSE",
    "92": "BSE",
}
SHORT = {"SSE": "sh", "SZSE": "sz", "BSE": "bj"}


def exchange_of(code: str) -> str:
    """SSE, SZSE or BSE; "" for what is no code of a Chinese stock or fund, an index for instance."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return ""
    return EXCHANGES.get(code[:2]) or EXCHANGES.get(code[:1], "")
