"""Walks through every page of the site once, and notes what is wrong with each."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import BrowserContext, Page, TimeoutError, ViewportSize

from tests.browser.watch import Watch

SCRIPT = (Path(__file__).parent / "survey.js").read_text()
PHONE: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1400, "height": 900}
# Signing out ends the walk, a file is no page, and what deletes is left alone.
SKIPPED = re.compile(r"/logout/|/delete/|format=csv|\.csv\b|/i18n/")
NUMBERS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\d{4}-\d\d-\d\d|\d+")
BESIDE = {
    "_changelist_filters",
    "_facets",
    "_popup",
    "_to_field",
    "o",
}  # shows what the page shows without it
LONGEST = 90
SETTLED = "!document.querySelector('.htmx-request, [aria-busy=true]')"


@dataclass
class Seen:
    """One page: its address and what is wrong, by kind of fault."""

    url: str
    problems: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    language: str = ""
    phone: str = ""
    wide: str = ""
    mouse_only: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)


def ask(page: Page, question: str) -> Any:
    """The answer of one of survey.js's functions."""
    helpers, functions = SCRIPT.split("\n({", 1)
    return page.evaluate(f"() => {{ {helpers}\n return ({{{functions}.{question}() }}")


def kind(url: str) -> str:
    """The address without ids, numbers and values: pages of one kind come from one template.

    Of a list's filters each is looked at by itself, not in every combination with the others.
    """
    parts = urlsplit(url)
    path = re.sub(r"/(?:CN|HK|US)/[^/]+", "/M/C", NUMBERS.sub("#", parts.path))
    asked = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)} - BESIDE
    return f"{path}?{asked.pop() if len(asked) == 1 else ''}"


def walk(context: BrowserContext, watch: Watch, start: Iterable[str], base: str) -> Iterator[Seen]:
    """Every page that can be reached by links below /admin/, the given ones first, one of each kind."""
    page = context.new_page()
    waiting, known = list(start), {kind(url) for url in start}
    done = 0
    while waiting:
        done += 1
        assert done <= LONGEST, f"too many kinds of pages: {sorted(known)}"
        seen = look(page, watch, waiting.pop(0))
        yield seen
        for url in ask(page, "links"):
            wanted = url.startswith(f"{base}/admin/") and not SKIPPED.search(url)
            if wanted and (url := url.split("#")[0]) and kind(url) not in known:
                known.add(kind(url))
                waiting.append(url)
    page.close()


def look(page: Page, watch: Watch, url: str) -> Seen:
    """One page at both widths."""
    before = len(watch.problems)
    page.goto(url)
    page.wait_for_function(SETTLED)
    seen = Seen(url, texts=ask(page, "texts"), language=page.locator("html").get_attribute("lang") or "")
    seen.mouse_only, seen.moving = ask(page, "mouseOnly"), ask(page, "moving")
    seen.phone = overflow(page, PHONE)
    seen.wide = overflow(page, WIDE)
    seen.problems = watch.problems[before:]
    return seen


def overflow(page: Page, size: ViewportSize) -> str:
    """What sticks out at that size for longer than a moment, in which scripts take in the new one."""
    page.set_viewport_size(size)
    with contextlib.suppress(TimeoutError):
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=5_000)
    return str(ask(page, "overflow"))


def faults(pages: Iterable[Seen], of: Callable[[Seen], Any]) -> str:
    """One line for each page with a fault of that kind."""
    return "\n".join(
        f"{urlsplit(page.url)._replace(scheme='', netloc='').geturl()}: {of(page)}"
        for page in pages
        if of(page)
    )


def control(page: Page, number: int) -> str:
    """The beginning of a control that survey.js has numbered."""
    html: str = page.evaluate("(n) => document.querySelector(`[data-stop='${n}']`).outerHTML", number)
    return re.sub(r"\s+", " ", html)[:160]
