"""Finds English that was left on a Chinese page."""

import gettext
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import django

from tests.browser.needs import ROOT

OURS = ROOT / "tasks_app" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.mo"
THEIRS = [
    Path(django.__file__).parent / place / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.mo"
    for place in ("conf", "contrib/admin", "contrib/auth")
]
# What may be English anywhere: names of people, sources, groups and programs, and what they typed or said.
NAMES = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",  # a task's id may look like words
    r"viewer|operator|administrator|[Aa]dmin",
    r"AAPL|FB|GOOG|IBM|MSFT|SIM\d+|Simulated \d+|[A-Z][\w.&' -]+ (?:Inc|Corp|Co)\.?",
    r"sample|simulated|drill|csv|akshare|baostock|python manage\.py worker",
    r"The drill refuses \w+\.|All \d+ stocks failed\. The first one is .*",
    r"[0-9a-f]{8} (?:CN|HK|US)|Lightweight Charts™|English",
    r"Authorization: Token \w*|Content-Type|Stock collector",
)
PHRASE = re.compile(r"[A-Za-z]{2,}(?:[ ’'-]+[A-Za-z]{2,})+")


@cache
def messages() -> dict[str, str]:
    """The sentences that have a Chinese, by themselves in lower case; none with a placeholder."""
    found: dict[str, str] = {}
    for path in [*THEIRS, OURS]:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, chinese in catalogue.items():
            english = (key[0] if isinstance(key, tuple) else key).split("\x04")[-1]
            if english != chinese and re.search(r"[A-Za-z]{2}", english) and not re.search(r"[%{]", english):
                found[english.lower()] = chinese
    return found


def left(texts: Iterable[str]) -> Iterator[str]:
    """The texts that are a message of ours in English, or hold two English words in a row."""
    for text in texts:
        rest = re.sub(rf"(?<!\w)(?:{'|'.join(NAMES)})(?!\w)", "", text).strip()
        if rest.strip(" :：").lower() in messages() or PHRASE.search(rest):
            yield text
