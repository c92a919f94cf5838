"""One site and one browser for the whole run; each user is a signed-in browser context."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright

from tests.browser import requirements
from tests.browser.live_site import Site
from tests.browser.page_checks import PHONE, WIDE
from tests.browser.problem_log import ProblemLog
from tests.browser.roles import PASSWORD

TIMEOUT = 15_000  # ms; generous, for busy machines
# The pages poll that often, in seconds, unless the user has chosen something else.
POLL = "try { localStorage['sc-refresh'] ??= '%s' } catch {}"  # a blank page has no storage
Open = Callable[..., Page]
__all__ = ["PHONE", "WIDE", "Open"]


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("django"):
        raise pytest.UsageError("the browser tests have a run of their own: python -m tests.browser")
    expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
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


def sign_in(page: Page, site: Site, role: str) -> None:
    """Signs in through the login form."""
    page.goto(f"{site.url}/admin/login/?next=/admin/")
    page.locator("[name=username]").fill(role)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("#login-form [type=submit]").click()
    page.wait_for_url(f"{site.url}/admin/")


@pytest.fixture(scope="session")
def signed_in(site: Site, browser: Browser) -> Callable[[str], StorageState]:
    """Returns the cookies of a role's user, who signs in once."""
    states: dict[str, StorageState] = {}

    def state(role: str) -> StorageState:
        if role not in states:
            with contextlib.closing(browser.new_context(locale="en-US")) as context:
                sign_in(context.new_page(), site, role)
                states[role] = context.storage_state()
        return states[role]

    return state


@pytest.fixture
def context_of(
    site: Site, browser: Browser, signed_in: Callable[[str], StorageState]
) -> Iterator[Callable[..., BrowserContext]]:
    """Opens browser contexts for a role (None: anonymous). Any problem in one of them fails the test."""
    opened: list[tuple[BrowserContext, ProblemLog]] = []

    def make(
        role: str | None, language: str = "en-US", refresh: float = 0.25, **options: Any
    ) -> BrowserContext:
        defaults: dict[str, Any] = {"locale": language, "viewport": WIDE, "base_url": site.url, **options}
        context = browser.new_context(**defaults, storage_state=signed_in(role) if role else None)
        context.set_default_timeout(TIMEOUT)
        context.add_init_script(POLL % refresh)
        opened.append((context, ProblemLog(context)))
        return context

    yield make
    for context, _ in opened:
        context.close()
    assert not [problem for _, log in opened for problem in log.problems]


@pytest.fixture
def open_as(context_of: Callable[..., BrowserContext]) -> Open:
    """`open_as("viewer", "/admin/")` returns that page, opened by a user of that role."""

    def open_page(role: str | None, path: str, language: str = "en-US", **options: Any) -> Page:
        page = context_of(role, language, **options).new_page()
        page.goto(path)
        return page

    return open_page


@pytest.fixture
def idle(site: Site) -> Iterator[None]:
    """Leaves no task running after the test, and no answer held."""
    yield
    site.become_idle()
