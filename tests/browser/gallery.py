"""Takes a picture of every kind of page, in both languages and themes, wide and on a phone.

`python -m tests.browser.gallery FOLDER [WORD]` (only pages whose URL contains WORD) also prints what each
page weighs: kilobytes of its HTML and of all that a first visit transfers, requests, and milliseconds until
the first byte and the first paint. Readers look at the pictures; the tests of tests/browser check.
"""

import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import page_checks, requirements
from tests.browser.conftest import PHONE, WIDE, set_user
from tests.browser.live_site import Site
from tests.browser.main_pages import main_pages
from tests.browser.problem_log import ProblemLog

LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
THEMES = ("light", "dark")
WIDTHS: dict[str, dict[str, Any]] = {
    "wide": {"viewport": WIDE},
    "phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True},
}
MAX_HEIGHT = 2600  # of a picture, in CSS pixels
# Of visitors without a session: the sign-in pages, one that does not exist, a link that is too old.
VISITOR_PAGES = ("/admin/login/", "/api/auth/login/", "/no-such-page", "/accounts/set-password/MQ/old-token/")
REFUSED_PAGES = ("/admin/system/", "/admin/start/")  # as the viewer sees them: 403
API_PAGES = ("/api/", "/api/data-collection/", "/api/data-collection/tasks", "/api/docs")
# Bytes are counted as they were sent; the document's own entry is the navigation.
WEIGHT = """() => {
    const [page] = performance.getEntriesByType('navigation');
    const all = [page, ...performance.getEntriesByType('resource')];
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    return [page.decodedBodySize, all.reduce((sum, entry) => sum + entry.transferSize, 0), all.length,
            paint ? paint.startTime : 0, page.responseStart - page.requestStart];
}"""


def window(
    browser: Browser, site: Site, language: str, theme: str, width: str, *, role: str | None = "administrator"
) -> BrowserContext:
    """Returns a context of a role, or of a visitor who has not signed in, with an empty cache."""
    context = browser.new_context(
        base_url=site.url,
        locale=LANGUAGES[language],
        color_scheme=theme,
        reduced_motion="reduce",
        timezone_id="Asia/Shanghai",
        **WIDTHS[width],
    )
    if role:
        set_user(context, role, site.url)
    return context


def every_url(browser: Browser, site: Site, word: str) -> list[str]:
    """Returns a path of each kind of page: the main ones, and those that links of theirs lead to."""
    context = window(browser, site, "en", "light", "wide")
    pages = [path for path in main_pages(site).values() if path not in VISITOR_PAGES]
    start = [site.url + path for path in [*pages, *API_PAGES]]
    checks = page_checks.crawl(context.new_page(), ProblemLog(context), start, site.url, with_filters=False)
    urls = [check.url.removeprefix(site.url) for check in checks]
    context.close()
    return [url for url in urls if word in url]


def name_of(url: str) -> str:
    """Returns the path as a file name; ids are cut."""
    parts = urlsplit(url)
    path = page_checks.NUMBERS.sub("N", parts.path.removeprefix("/admin").strip("/")) or "overview"
    return re.sub(r"\W+", "-", path + ("-filtered" if parts.query else ""))


def settle(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_function(f"document.fonts.ready.then(() => {page_checks.SETTLED})")
    page.wait_for_selector(".swagger-ui .loading-container", state="detached")  # the API's document


def photograph(page: Page, path: Path) -> None:
    """Saves the page from its top, as far as MAX_HEIGHT."""
    size = page.viewport_size or WIDE
    height = min(int(page.evaluate("document.documentElement.scrollHeight")), MAX_HEIGHT)
    page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
    page.screenshot(path=path)
    page.set_viewport_size(size)


def weights(browser: Browser, site: Site, urls: list[str]) -> Iterator[str]:
    """Yields a line of a table for each page, opened with an empty cache."""
    yield "| page | HTML kB | first visit kB | requests | first byte ms | first paint ms | console |"
    yield "|---|---|---|---|---|---|---|"
    for url in urls:
        context = window(browser, site, "en", "light", "wide")
        log = ProblemLog(context)
        page = context.new_page()
        settle(page, url)
        html, sent, requests, paint, wait = page.evaluate(WEIGHT)
        context.close()
        said = "; ".join(log.problems) or "clean"
        yield (
            f"| {name_of(url)} | {html / 1000:.0f} | {sent / 1000:.0f} | {requests} "
            f"| {wait:.0f} | {paint:.0f} | {said} |"
        )


def take(browser: Browser, site: Site, folder: Path, word: str) -> None:
    urls = every_url(browser, site, word)
    for line in weights(browser, site, urls):
        print(line, flush=True)
    for language, theme, width in itertools.product(LANGUAGES, THEMES, WIDTHS):
        context = window(browser, site, language, theme, width)
        page = context.new_page()
        for url in urls:
            settle(page, url)
            photograph(page, folder / f"{name_of(url)}.{language}.{theme}.{width}.png")
        context.close()
        for role, paths in ((None, VISITOR_PAGES), ("viewer", REFUSED_PAGES)):
            context = window(browser, site, language, theme, width, role=role)
            page = context.new_page()
            for url in (path for path in paths if word in path):
                settle(page, url)
                name = f"{name_of(url)}-of-{role or 'a-visitor'}"
                photograph(page, folder / f"{name}.{language}.{theme}.{width}.png")
            context.close()


def main() -> int:
    """Returns 0 when all pictures were taken."""
    if reason := requirements.missing():
        print(f"No pictures: {reason}")
        return 1
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    folder, word = Path(sys.argv[1]), "".join(sys.argv[2:])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="collector-") as place, sync_playwright() as playwright:
        site = Site(Path(place))
        try:
            site.seed("tests.browser.seed_data")
            site.start()
            browser = playwright.chromium.launch(
                executable_path=requirements.chromium(), args=requirements.FLAGS
            )
            take(browser, site, folder, word)
        finally:
            site.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
