"""Codes as files and people write them: 600000.SH, sz000001, SH#600000, 0700.HK, AAPL.US, 105.MSFT.

A code is never guessed: without a market, six digits are a Chinese stock, five one of Hong Kong, and a ticker
of the US has at most five letters, in capitals, and perhaps a class (BRK.B, BAC-PL).
"""

import re

from tasks_app.sources.cn_codes import SHORT, exchange_of
from tasks_app.sources.csv_folder.problems import UnreadableFile, file_error

EXCHANGE_OF_MARK = {
    **{mark.upper(): exchange for exchange, mark in SHORT.items()},
    "SS": "SSE",  # Yahoo's
    "SSE": "SSE", "SZSE": "SZSE", "BSE": "BSE", "XSHG": "SSE", "XSHE": "SZSE", "XBSE": "BSE",
}  # fmt: skip
_CN_MARK = "|".join(sorted(EXCHANGE_OF_MARK, key=len, reverse=True))
_CLASS_MARK = re.compile("[-_]")  # BRK-B and BRK_B are BRK.B
_MARKET = re.compile(r"(CN|HK|US)[-_](.+)", re.IGNORECASE)
_CN = re.compile(rf"(?:({_CN_MARK})[-_.#]?)?(\d{{6}})(?:[-_.]({_CN_MARK}))?", re.IGNORECASE | re.ASCII)
_HK = re.compile(r"(HK[-_.#]?|31#)?(\d{1,5})([-_.](?:HK|XHKG))?", re.IGNORECASE | re.ASCII)
# Classes, warrants, units, rights and preferred shares; other marks are those of exchanges abroad (VOD.L).
_CLASS = r"(?:[.-](?:[ABCUWR]|WS|WT|UN|RT|RI)|-P[A-Z]|_[A-C])"
_US = re.compile(
    rf"(US[-_.]|74#|10[567]\.)?([A-Z]{{1,5}}{_CLASS}??)([-_.]US)?",
    re.IGNORECASE | re.ASCII,
)


def parse_code(text: str, market: str = "") -> tuple[str, str]:
    """Returns the market and the code that a text stands for, within a market if one is named.

    A ticker of the US in small letters counts only with a mark or market beside it. Raises `UnreadableFile`
    for a text without a code, or one that contradicts itself: sh.000001 is an index, and 000001 a stock of
    Shenzhen.
    """
    if parts := _MARKET.fullmatch(text):
        if market not in ("", parts[1].upper()):
            raise file_error("not_a_code")
        market, text = parts[1].upper(), parts[2]
    if market in ("", "CN") and (parts := _CN.fullmatch(text)):
        return "CN", _checked_chinese(parts[2], [mark for mark in (parts[1], parts[3]) if mark])
    parts = _HK.fullmatch(text) if market in ("", "HK") else None
    if parts and (market or parts[1] or parts[3] or len(parts[2]) == 5):
        return "HK", parts[2].zfill(5)
    parts = _US.fullmatch(text) if market in ("", "US") else None
    if parts and (market or parts[1] or parts[3] or text.isupper()):
        return "US", parts[2].upper()
    raise file_error("not_a_code")


def is_same_code(written: str, market: str, code: str) -> bool:
    """Returns whether a text spells the code; 1 is one of 000001, as spreadsheets leave it."""
    if written.isdigit() and written.zfill(len(code)) == code:
        return True
    try:
        _, found = parse_code(written, market)
    except UnreadableFile:
        return False
    return _CLASS_MARK.sub(".", found) == _CLASS_MARK.sub(".", code)


def clean(text: str) -> str:
    """Returns a code without the marks by which spreadsheets are told that it is text: '600000, ="600000"."""
    return text.strip().removeprefix("=").strip("'\"\t ").removesuffix(".0")


def _checked_chinese(code: str, marks: list[str]) -> str:
    exchange = exchange_of(code)
    if not exchange:
        raise file_error("not_a_code")
    for mark in marks:
        if (named := EXCHANGE_OF_MARK[mark.upper()]) != exchange:
            raise file_error("other_exchange", named=named, expected=exchange)
    return code
