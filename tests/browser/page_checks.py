"""Crawls every kind of page of the site once and records the faults of each."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from playwright.sync_api import Page, TimeoutError, ViewportSize

from tests.browser.problem_log import ProblemLog

SCRIPT = (Path(__file__).parent / "page_checks.js").read_text()
PHONE: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1400, "height": 900}
# Logging out would end the crawl, files are no pages, and deleting would change the site.
SKIPPED = re.compile(r"/logout/|/delete/|format=csv|/csv/|\.csv\b|/i18n/")
NUMBERS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\d{4}-\d\d-\d\d|\d+")
PRESENTATION_PARAMS = {
    "_changelist_filters",
    "_facets",
    "_popup",
    "_to_field",
    "o",
}  # the page shows the same rows without them
MAX_PAGES = 90
MAX_ROWS = 15  # of a table; further ones are alike
SETTLED = "!document.querySelector('.htmx-request, [aria-busy=true]')"


@dataclass
class PageCheck:
    """The URL of a page and its faults by kind."""

    url: str
    links: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    language: str = ""
    phone: str = ""
    wide: str = ""
    mouse_only: list[str] = field(default_factory=list)
    moving: list[str] = field(default_factory=list)


def run_script(page: Page, function: str, *numbers: int) -> Any:
    """Returns the result of a function of page_checks.js with these arguments."""
    helpers, functions = SCRIPT.split("\n({", 1)
    return page.evaluate(f"() => {{ {helpers}\n return ({{{functions}.{function}(...{list(numbers)}) }}")


def page_kind(url: str, is_filter_a_kind: bool = True) -> str:
    """Returns the URL without ids, numbers and values: pages of one kind come from one template.

    A list with a filter, whichever it is, is a kind of its own, or else one with the list without it.
    """
    parts = urlsplit(url)
    path = re.sub(r"/(?:CN|HK|US|SIM)/[^/]+", "/M/C", NUMBERS.sub("#", parts.path))
    path = re.sub(r"/sources/[^/]+", "/sources/S", path)
    filters = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)} - PRESENTATION_PARAMS
    return f"{path}?filter" if len(filters) == 1 and is_filter_a_kind else f"{path}?"


def crawl(
    page: Page, log: ProblemLog, start: Iterable[str], base: str, *, with_filters: bool
) -> Iterator[PageCheck]:
    """Yields a check of each kind of page below /admin/ that links lead to, beginning with `start`."""
    queue, kinds = list(start), {page_kind(url, with_filters) for url in start}
    done = 0
    while queue:
        done += 1
        assert done <= MAX_PAGES, f"too many kinds of pages: {sorted(kinds)}"
        check = check_page(page, log, queue.pop(0))
        yield check
        for url in check.links:
            wanted = url.startswith(f"{base}/admin/") and not SKIPPED.search(url)
            kind = page_kind(url := url.split("#")[0], with_filters)
            if wanted and kind not in kinds:
                kinds.add(kind)
                queue.append(url)


def check_page(page: Page, log: ProblemLog, url: str) -> PageCheck:
    """Opens a page and checks it at both widths, beginning with that of the window: resizing costs most."""
    before = len(log.problems)
    page.goto(url)
    settle(page)
    language = page.locator("html").get_attribute("lang") or ""
    check = PageCheck(url, links=run_script(page, "links"), language=language)
    run_script(page, "shortenTables", MAX_ROWS)
    if page.viewport_size == WIDE:
        check_wide(page, check)
        page.set_viewport_size(PHONE)
        check.phone = overflow(page)
    else:
        check.phone = overflow(page)
        page.set_viewport_size(WIDE)
        check_wide(page, check)
    check.problems = log.problems[before:]
    return check


def check_wide(page: Page, check: PageCheck) -> None:
    """Checks what a wide window shows, which is more than a phone does."""
    check.wide = wide_overflow(page)
    check.texts, check.lines = run_script(page, "texts"), run_script(page, "lines")
    check.moving = run_script(page, "moving")
    check.mouse_only = run_script(page, "mouseOnly")


def wide_overflow(page: Page) -> str:
    """Returns what is wider than the window, or the tables that are wider than their cards."""
    return overflow(page) or str(run_script(page, "cutTables"))


def overflow(page: Page) -> str:
    """Returns what is wider than the window, once scripts have had time to adapt to its size."""
    if not (found := run_script(page, "overflow")):
        return ""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=20_000)
        found = run_script(page, "overflow")
    return str(found)


def settle(page: Page) -> None:
    """Waits until the page has what it loads after itself. To wait costs more than to ask first."""
    if not page.evaluate(SETTLED):
        page.wait_for_function(SETTLED)


def faults(pages: Iterable[PageCheck], fault: Callable[[PageCheck], Any]) -> str:
    """Returns a line for each page with a fault of that kind."""
    return "\n".join(
        f"{urlsplit(page.url)._replace(scheme='', netloc='').geturl()}: {fault(page)}"
        for page in pages
        if fault(page)
    )


def control(page: Page, number: int) -> str:
    """Returns the beginning of the HTML of a control that page_checks.js has numbered."""
    html: str = page.evaluate("(n) => document.querySelector(`[data-stop='${n}']`).outerHTML", number)
    return re.sub(r"\s+", " ", html)[:160]
