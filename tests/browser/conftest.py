"""One site and one browser for the whole run; its users take turns in one browser context."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from tests.browser import requirements
from tests.browser.live_site import Site
from tests.browser.page_checks import PHONE, WIDE
from tests.browser.problem_log import ProblemLog
from tests.browser.roles import PASSWORD, session_of

TIMEOUT = 60_000  # ms; only a broken page takes as long, however busy the machine is
MEDIA = {"color_scheme": "light", "reduced_motion": "reduce"}  # unless a test wants others
Open = Callable[..., Page]
__all__ = ["PHONE", "WIDE", "Open"]


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("django"):
        raise pytest.UsageError("the browser tests have a run of their own: python -m tests.browser")
    expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Iterator[Site]:
    """Returns a site of this process. The first process of the run seeds a database, the others copy it."""
    site = Site(tmp_path_factory.mktemp("site"))
    seeded = tmp_path_factory.getbasetemp().parent / f"seeded-{testrun_uid}.sqlite3"
    with seeded.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seeded.exists():
            site.seed("tests.browser.seed_data")
            shutil.copy(site.database, seeded)
    shutil.copy(seeded, site.database)
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=requirements.chromium(), args=requirements.FLAGS
        )
        yield chromium
        chromium.close()


class Desk:
    """A browser context and its page, which users share one after the other.

    A context or page of its own for each of them would cost several times as much: the one begins with an
    empty cache, both with a new process.
    """

    def __init__(self, browser: Browser, site: Site, viewport: ViewportSize = WIDE, **options: Any) -> None:
        self.viewport = viewport
        self.context = browser.new_context(base_url=site.url, viewport=viewport, **options)
        self.context.set_default_timeout(TIMEOUT)
        self.log = ProblemLog(self.context)
        self._first = self.context.new_page()
        self._first.goto("/healthz")  # while it is open, other pages of the site use its process
        self._shared = self.context.new_page()
        self._is_free = True

    def open(self, role: str | None, language: str = "en-US", refresh: float = 2, **media: Any) -> Page:
        """Returns a page of a user of that role (None: anonymous), which shows nothing of the site yet.

        Those that it shows refresh themselves every `refresh` seconds, until the user chooses.
        """
        set_user(self.context, role, self._first.url)
        self._first.evaluate("seconds => { localStorage['sc-refresh'] = seconds }", str(refresh))
        page = self._shared if self._is_free else self.context.new_page()
        self._is_free = False
        page.set_viewport_size(self.viewport)
        page.set_extra_http_headers({"Accept-Language": language})  # a context's locale would win
        page.emulate_media(**{**MEDIA, **media})
        return page

    def leave(self) -> None:
        """Closes what the last user opened, and forgets what the pages have stored."""
        for page in self.context.pages:
            if page not in (self._first, self._shared):
                page.close()
        self._shared.goto("/healthz")
        self._is_free = True
        self._first.evaluate("() => localStorage.clear()")


def set_user(context: BrowserContext, role: str | None, url: str) -> None:
    """Replaces the context's cookies with the session of a user of that role (None: anonymous)."""
    context.clear_cookies()
    if role:
        context.add_cookies([{"name": "sessionid", "value": session_of(role), "url": url}])


@pytest.fixture(scope="session")
def desk(site: Site, browser: Browser) -> Desk:
    return Desk(browser, site)


def serve(desk: Desk) -> Iterator[Open]:
    """Yields a function that opens pages at the desk. Any problem on one of them fails the test."""
    before = len(desk.log.problems)

    def open_page(role: str | None, path: str, language: str = "en-US", **options: Any) -> Page:
        page = desk.open(role, language, **options)
        page.goto(path)
        return page

    yield open_page
    desk.leave()
    assert not desk.log.problems[before:]


@pytest.fixture
def open_as(desk: Desk) -> Iterator[Open]:
    """`open_as("viewer", "/admin/")` returns that page, opened by a user of that role.

    Options are the language, how often the page refreshes itself, and those of `Page.emulate_media`.
    """
    yield from serve(desk)


@pytest.fixture(scope="session")
def phone(site: Site, browser: Browser) -> Desk:
    return Desk(browser, site, viewport=PHONE, has_touch=True, is_mobile=True)


@pytest.fixture(scope="session")
def clocked(site: Site, browser: Browser) -> Desk:
    """Returns a desk at which every page has a clock that a test can move; by itself it runs as always."""
    desk = Desk(browser, site)
    desk.context.clock.install()
    return desk


@pytest.fixture
def open_on_phone(phone: Desk) -> Iterator[Open]:
    yield from serve(phone)


@pytest.fixture
def open_clocked(clocked: Desk) -> Iterator[Open]:
    """Opens pages whose clock a test can move."""
    yield from serve(clocked)


def sign_in(page: Page, site: Site, role: str) -> None:
    """Signs in through the login form."""
    page.goto(f"{site.url}/admin/login/?next=/admin/")
    page.locator("[name=username]").fill(role)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("#login-form [type=submit]").click()
    page.wait_for_url(f"{site.url}/admin/")


@pytest.fixture
def idle(site: Site) -> Iterator[None]:
    """Leaves no task running after the test, and no answer held."""
    yield
    site.become_idle()
