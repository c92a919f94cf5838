"""One site and one browser for the whole run; a person is a browser context that is signed in."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright

from tests.browser import needs
from tests.browser.people import PASSWORD
from tests.browser.site import Site
from tests.browser.survey import PHONE, WIDE
from tests.browser.watch import Watch

PATIENCE = 15_000  # ms; a bound for what must happen, on a machine that has much else to do
Open = Callable[..., Page]
__all__ = ["PHONE", "WIDE", "Open"]


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("django"):
        raise pytest.UsageError("the browser tests have a run of their own: python -m tests.browser")
    expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = Site(tmp_path_factory.mktemp("site"))
    try:
        place.start()
        yield place
    finally:
        place.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=needs.chromium(), args=needs.FLAGS)
        yield chromium
        chromium.close()


def sign_in(page: Page, site: Site, role: str) -> None:
    """Through the form, as people do."""
    page.goto(f"{site.url}/admin/login/?next=/admin/")
    page.locator("[name=username]").fill(role)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("#login-form [type=submit]").click()
    page.wait_for_url(f"{site.url}/admin/")


@pytest.fixture(scope="session")
def signed_in(site: Site, browser: Browser) -> Callable[[str], StorageState]:
    """The cookies of somebody of that role, who signs in once."""
    known: dict[str, StorageState] = {}

    def state(role: str) -> StorageState:
        if role not in known:
            with contextlib.closing(browser.new_context(locale="en-US")) as context:
                sign_in(context.new_page(), site, role)
                known[role] = context.storage_state()
        return known[role]

    return state


@pytest.fixture
def context_of(
    site: Site, browser: Browser, signed_in: Callable[[str], StorageState]
) -> Iterator[Callable[..., BrowserContext]]:
    """New windows for people of any role (None: a stranger). Whatever went wrong in one fails the test."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def make(role: str | None, language: str = "en-US", **options: Any) -> BrowserContext:
        given: dict[str, Any] = {"locale": language, "viewport": WIDE, "base_url": site.url, **options}
        context = browser.new_context(**given, storage_state=signed_in(role) if role else None)
        context.set_default_timeout(PATIENCE)
        opened.append((context, Watch(context)))
        return context

    yield make
    for context, _ in opened:
        context.close()
    assert not [problem for _, watch in opened for problem in watch.problems]


@pytest.fixture
def open_as(context_of: Callable[..., BrowserContext]) -> Open:
    """`open_as("viewer", "/admin/")`: that page, seen by somebody of that role."""

    def open_page(role: str | None, path: str, language: str = "en-US", **options: Any) -> Page:
        page = context_of(role, language, **options).new_page()
        page.goto(path)
        return page

    return open_page


@pytest.fixture
def idle(site: Site) -> Iterator[None]:
    """No task is running, before and after."""
    site.become_idle()
    yield
    site.become_idle()
