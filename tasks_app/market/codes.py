"""Stock codes: which texts can be one, and the spelling in which they are stored."""

import re

_CODE = re.compile(r"[A-Za-z0-9._-]{1,16}")


def is_code(text: str) -> bool:
    """Whether it could be a stock's code."""
    return bool(_CODE.fullmatch(text))


def clean_code(code: str) -> str:
    """The code as an order takes it."""
    return code.strip().upper()


def spellings(code: str) -> set[str]:
    """What a code that somebody gives may stand for: a source's own list may hold small letters."""
    return {code, clean_code(code)}
