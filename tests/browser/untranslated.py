"""Finds English texts left on a Chinese page."""

import gettext
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import django

from tests.browser.requirements import ROOT

OUR_CATALOGUE = ROOT / "tasks_app" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.mo"
DJANGO_CATALOGUES = [
    Path(django.__file__).parent / place / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.mo"
    for place in ("conf", "contrib/admin", "contrib/auth")
]
# Texts that may be English anywhere: names of users, sources, groups and programs, their input and messages.
ALLOWED = (
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",  # a task's id may look like words
    r"viewer|operator|administrator|[Aa]dmin",
    r"AAPL|FB|GOOG|IBM|MSFT|SIM\d*|Simulated \d+|[A-Z][\w.&' -]+ (?:Inc|Corp|Co)\.?",
    r"cn-daily|sample|simulated|drill|csv|akshare|baostock|python manage\.py (?:worker|calendar import FILE)",
    r"(?:/[\w.-]+){2,}",  # the path of a file
    r"The drill refuses \w+\.",
    r"NYSE|[0-9a-f]{8} (?:CN|HK|US|SIM)|Lightweight Charts™|English",
    r"Authorization: Token \w*|Content-Type|Stock collector|User-Agent|API Key|API token|Uptime Kuma",
    r"YYYY-MM(?:-DD)?",  # how a day or month is written
)
PHRASE = re.compile(r"[A-Za-z]{2,}(?:[ ’'-]+[A-Za-z]{2,})+")


@cache
def messages() -> dict[str, str]:
    """Returns the translated messages without placeholders: their Chinese by the English in lower case."""
    translations: dict[str, str] = {}
    for path in [*DJANGO_CATALOGUES, OUR_CATALOGUE]:
        with path.open("rb") as file:
            catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, chinese in catalogue.items():
            english = (key[0] if isinstance(key, tuple) else key).split("\x04")[-1]
            if english != chinese and re.search(r"[A-Za-z]{2}", english) and not re.search(r"[%{]", english):
                translations[english.lower()] = chinese
    return translations


def english_texts(texts: Iterable[str]) -> Iterator[str]:
    """Yields the texts that are an English message of ours or contain two English words in a row."""
    for text in texts:
        rest = re.sub(rf"(?<!\w)(?:{'|'.join(ALLOWED)})(?!\w)", "", text).strip()
        if rest.strip(" :：").lower() in messages() or PHRASE.search(rest):
            yield text
