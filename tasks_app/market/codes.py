"""Stock codes: which texts can be one, how they are spelled when stored, and how a list is abbreviated."""

import re
from collections.abc import Sequence

MAX_NAMED = 10
_CODE = re.compile(r"[A-Za-z0-9._-]{1,16}")


def is_code(text: str) -> bool:
    """Returns whether the text can be a stock's code."""
    return bool(_CODE.fullmatch(text))


def clean_code(code: str) -> str:
    """Returns the code as orders spell it: in capitals, without surrounding spaces."""
    return code.strip().upper()


def spellings(code: str) -> set[str]:
    """Returns the stored spellings that a user's code may mean: a source's list may hold small letters."""
    return {code, clean_code(code)}


def name_codes(codes: Sequence[str]) -> str:
    """Returns the first ten codes, separated by commas, and "…" if there are more."""
    return ", ".join([*codes[:MAX_NAMED], "…"] if len(codes) > MAX_NAMED else codes)
