"""Codes as files write them, read by the rules for all spellings (`security_codes`)."""

from tasks_app.sources import security_codes
from tasks_app.sources.csv_folder.problems import UnreadableFile, file_error
from tasks_app.sources.security_codes import CodeError


def parse_code(text: str, market: str = "") -> tuple[str, str]:
    """Returns the market and the code that a text stands for, within a market if one is named.

    A ticker of the US in small letters counts only with a mark or market beside it. Raises `UnreadableFile`
    for a text without a code, or one that contradicts itself: sh.000001 is an index, and 000001 a stock of
    Shenzhen.
    """
    try:
        return security_codes.parse_code(text, market)
    except CodeError as error:
        if error.code == "other_exchange":
            raise file_error(
                error.code, named=error.values["named"], expected=error.values["expected"]
            ) from error
        raise file_error("not_a_code") from error


def is_same_code(written: str, market: str, code: str) -> bool:
    """Returns whether a text spells the code; 1 is one of 000001, as spreadsheets leave it."""
    if written.isdigit() and written.zfill(len(code)) == code:
        return True
    try:
        return parse_code(written, market) == (market, code)
    except UnreadableFile:
        return False
