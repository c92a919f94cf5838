"""The one code of a security, read from any of the spellings that people, vendors and programs use.

| market | the code | spellings |
|---|---|---|
| CN | six digits | 600000.SH, sh600000, sh.600000, 600000.SS, 600000.XSHG, SHSE.600000, SH#600000, 1.600000 |
| | | 600000SH, 600000 CH |
| CN, an index | six digits and SH, SZ, BJ or CSI | 000300.SH, sh000300, 000300.XSHG, 000300.CSI, 399001 |
| HK | five digits | 700, 0700.HK, hk00700, 00700.XHKG, 700.HKG, 700 HK, 116.00700, 31#00700 |
| US | the ticker in capitals, a class after a dot | BRK-B, BRK_B, BRK/B, BRK.B.US, 106.BRK_B, 74#AAPL |

A code is never guessed. A text that could be two securities, or contradicts itself, is an error.
"""

import re
import unicodedata
from typing import Any

from tasks_app.sources.cn_codes import MARKS as MARK_OF_EXCHANGE, exchange_of, index_code

EXCHANGE_OF_MARK = {
    **{mark: exchange for exchange, mark in MARK_OF_EXCHANGE.items()},
    "SS": "SSE",  # Yahoo's
    "SSE": "SSE", "SZSE": "SZSE", "BSE": "BSE",
    "XSHG": "SSE", "XSHE": "SZSE", "XBSE": "BSE",
    "SHSE": "SSE", "BJSE": "BSE",
    "CG": "SSE", "CS": "SZSE",  # Bloomberg's, of which CH is both
}  # fmt: skip
DIGITS = {"CN": 6, "HK": 5}
EASTMONEY = {"0": ("SZSE", "BSE"), "1": ("SSE",), "2": ("CSI",)}  # its market ids of Chinese stocks

_MARKET = re.compile(r"(CN|HK|US)[-_](.+)", re.IGNORECASE)
_MARKS = "|".join(sorted((*EXCHANGE_OF_MARK, "CN", "CH"), key=len, reverse=True))
_CN = re.compile(
    rf"(?:({_MARKS})[-_.#]?|([012])[.#])?(\d{{6}})(?:[-_. ]?({_MARKS}))?", re.IGNORECASE | re.ASCII
)
_HK = re.compile(r"(HK[-_.#]?|31#|116\.)?(\d{1,5})([-_. ]?(?:HKG?|XHKG))?", re.IGNORECASE | re.ASCII)
# Classes, warrants, units, rights and preferred shares; other marks are those of exchanges abroad (VOD.L).
_US = re.compile(
    r"(US[-_.]|74#|10[567]\.)?([A-Z]{1,5})(?:[.-]([ABCUWR]|WS|WT|UN|RT|RI)|-(P[A-Z])|_([A-C]))?([-_.]US)?",
    re.IGNORECASE | re.ASCII,
)
# Where the market is known to be the US: Eastmoney's classes, preferred shares as exchanges write them,
# and the marks of NYSE and NASDAQ in Reuters' and Wind's codes. In a file's name they would be ambiguous.
_US_WIDE = re.compile(
    r"(US[-_.]|74#|10[567]\.)?([A-Z]{1,5})"
    r"(?:[-./]([ABCUWR]|WS|WT|UN|RT|RI)|[-._/](P(?:R[-.]?)?[A-Z])|_(?!US|OQ|O|N)([A-Z]{1,2}))?"
    r"([-_.]US|\.(?:OQ|O|N))?",
    re.IGNORECASE | re.ASCII,
)


class CodeError(ValueError):
    """A text is no code, or could be two. `code` is stable and for machines, `values` say what is wrong.

    `not_a_code`; `unread` with `meant`; `short_code` with `digits` and `meant`;
    `other_exchange` with `named` and `expected`; `other_market` with `market`.
    """

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code, values)
        self.code, self.values = code, values


def clean_text(text: str) -> str:
    """Returns a text in half width, without what spreadsheets add: '600000, ="600000", 600000.0."""
    text = unicodedata.normalize("NFKC", text).strip().removeprefix("=").strip("'\"\t ")
    text = re.sub(r"\s+equity$", "", text, flags=re.IGNORECASE)  # Bloomberg's
    return text[:-2] if re.fullmatch(r"\d+\.0", text) else text


def parse_code(text: str, market: str = "", *, wide: bool = False) -> tuple[str, str]:
    """Returns the market and the code of a text, within a market if one is named.

    Without a market, six digits are a Chinese stock, five one of Hong Kong, and a ticker of the US is in
    capitals or has a mark beside it. `wide` also reads the spellings of US classes that would be ambiguous
    in a file's name. Raises `CodeError`.
    """
    if parts := _MARKET.fullmatch(text):
        if market not in ("", parts[1].upper()):
            raise CodeError("other_market", market=parts[1].upper())
        market, text = parts[1].upper(), parts[2]
    if market in ("", "CN") and (found := _CN.fullmatch(text)):
        return "CN", _parse_chinese(found)
    found = _HK.fullmatch(text) if market in ("", "HK") else None
    is_marked = found and (found[1] or found[3])
    if found and int(found[2]) and (market or is_marked or len(found[2]) == DIGITS["HK"]):
        return "HK", found[2].zfill(DIGITS["HK"])
    found = (_US_WIDE if wide and market else _US).fullmatch(text) if market in ("", "US") else None
    if found and (market or found[1] or found[6] or text.isupper()):
        share = (found[3] or found[4] or found[5] or "").upper()
        share = re.sub(r"^PR?[-.]?(?=[A-Z]$)", "P", share) if found[4] else share
        return "US", f"{found[2].upper()}.{share}" if share else found[2].upper()
    if market == "CN" and text.isascii() and text.isdigit() and len(text) < DIGITS["CN"]:
        raise CodeError("short_code", digits=len(text), meant=text.zfill(DIGITS["CN"]))
    raise CodeError("not_a_code")


def canonical_code(market: str, text: str) -> str:
    """Returns the one code under which a market's security is stored, asked for and shown.

    A text in no known spelling is the code of a source of its own: it stays as it is, in capitals, as does
    every code of made-up quotes. Raises `CodeError` for one that could be two securities or is of another
    market.
    """
    text = clean_text(text)
    own = text.upper().removesuffix(f".{market}")  # as our exports write it
    if market not in ("CN", "HK", "US") or (text.isdigit() and len(text) == DIGITS.get(market)):
        return (index_code(own) if market == "CN" else "") or own
    try:
        return parse_code(text, market, wide=True)[1]
    except CodeError as error:
        if error.code != "not_a_code":
            raise
    if other := _marked_market(text, market):
        raise CodeError("other_market", market=other)
    if market == "CN" and (found := _CN.fullmatch(text)):  # a bond
        exchange = EXCHANGE_OF_MARK.get((found[1] or found[4] or "").upper())
        return f"{found[3]}.{MARK_OF_EXCHANGE[exchange]}" if exchange else found[3]
    if meant := _nearly_written(text, market):
        raise CodeError("unread", meant=meant)
    return own


def canonical_or_same(market: str, text: str) -> str:
    """Returns the canonical code of what a source or the database has; its own text where that is unclear."""
    try:
        return canonical_code(market, text)
    except CodeError:
        return text


def exported_code(market: str, code: str) -> str:
    """Returns a code with its exchange or market, which no program takes for a number: 000001.SZ, AAPL.US."""
    if market != "CN":
        return f"{code}.{market}"
    is_marked = code.rpartition(".")[2] in EXCHANGE_OF_MARK
    return code if is_marked else f"{code}.{MARK_OF_EXCHANGE.get(exchange_of(code), market)}"


def _parse_chinese(found: re.Match[str]) -> str:
    code = found[3]
    marks = [(mark or "").upper() for mark in (found[1], found[4])]
    named = {EXCHANGE_OF_MARK[mark] for mark in marks if mark in EXCHANGE_OF_MARK}
    if len(named) < 2 and (index := index_code(code, named or EASTMONEY.get(found[2], ()))):
        return index
    exchange = exchange_of(code)
    if not exchange:
        raise CodeError("not_a_code")
    if others := named - {exchange}:
        raise CodeError("other_exchange", named=min(others), expected=exchange, stock=code)
    if found[2] and exchange not in EASTMONEY[found[2]]:
        raise CodeError("other_exchange", named=EASTMONEY[found[2]][0], expected=exchange, stock=code)
    return code


def _nearly_written(text: str, market: str) -> str:
    """Returns the code of China or Hong Kong that stands in a text with marks that nobody knows, else ""."""
    if market == "CN":
        found = re.findall(r"(?<!\d)\d{6}(?!\d)", text, re.ASCII)
        return found[0] if len(found) == 1 and exchange_of(found[0]) else ""
    marked = re.fullmatch(r"(?:[a-z]{2,5}[^a-z\d]?)?(\d{1,5})(?:[^a-z\d]?[a-z]{2,5})?", text, re.I | re.ASCII)
    return marked[1].zfill(DIGITS["HK"]) if market == "HK" and marked and int(marked[1]) else ""


def _marked_market(text: str, market: str) -> str:
    """Returns the other market that a mark in the text names; "" for none."""
    try:
        other, code = parse_code(text)
    except CodeError:
        return ""
    is_marked = text.upper() not in (code, code.lstrip("0"))
    return other if other != market and is_marked and re.search(r"[^\d]", text) else ""
