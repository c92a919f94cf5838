"""The main pages in English: their width, and their accessibility by axe-core and the keyboard."""

import pytest
from playwright.sync_api import Page

from tests.browser import axe, page_checks
from tests.browser.conftest import Open
from tests.browser.live_site import Site
from tests.browser.main_pages import EACH_NAME, main_pages

MAX_TAB_STOPS = 400
MAX_ROWS = 4  # of a table; further ones are alike


@pytest.mark.parametrize("name", EACH_NAME)
def test_page_fits_and_is_accessible(open_as: Open, site: Site, name: str) -> None:
    """One load for all checks. The page does not refresh itself meanwhile: it would replace its controls.

    The menu, which is the same on all pages, takes a third of the time. The overview is checked with it.
    """
    role = None if name == "sign-in" else "administrator"
    page = open_as(role, "/healthz", refresh=0)
    page.set_viewport_size(page_checks.PHONE)
    page.goto(main_pages(site)[name])
    page_checks.settle(page)
    page_checks.run_script(page, "shortenTables", MAX_ROWS)
    phone = page_checks.overflow(page)
    page.set_viewport_size(page_checks.WIDE)  # once: to resize costs most
    wide = page_checks.wide_overflow(page)
    if name not in ("dashboard", "sign-in"):
        page.locator("#nav-sidebar").evaluate("menu => menu.replaceChildren()")
    missed, hidden_focus = find_keyboard_faults(page)
    light = axe.violations(page)
    page.emulate_media(color_scheme="dark")
    page.evaluate("() => document.documentElement.classList.add('dark')")  # as the theme's switch does
    page.wait_for_function("document.getAnimations().length === 0")
    dark = axe.violations(page, "color-contrast")  # nothing else depends on colours
    assert (wide, phone, missed, hidden_focus, light, dark) == ("", "", [], {}, [], [])


@pytest.mark.parametrize("language", ["en-US", pytest.param("zh-CN", marks=pytest.mark.soak)])
def test_long_lists_fit_a_small_laptop(open_as: Open, site: Site, language: str) -> None:
    """The lists with the most columns. A table that the card cuts is found, too."""
    page = open_as("administrator", "/healthz", language=language)
    page.set_viewport_size({"width": 1280, "height": 800})
    for name in ("bars", "stocks", "tasks"):
        page.goto(main_pages(site)[name])
        assert page_checks.wide_overflow(page) == "", name
    page.locator("#result_list td").first.evaluate("cell => { cell.style.minWidth = '90rem' }")
    assert "wider than its card" in page_checks.wide_overflow(page)


def find_keyboard_faults(page: Page) -> tuple[list[str], dict[int, str]]:
    """Returns the controls that Tab does not reach, and those that have no visible focus then."""
    wanted = set(range(page_checks.run_script(page, "controls")))
    assert wanted
    reached: set[int] = set()
    faults: dict[int, str] = {}
    ends = 0  # of the page; it may begin somewhere in it, where the focus was set
    pressed = 0
    while pressed < MAX_TAB_STOPS and not (reached >= wanted or ends == 2):
        pressed += (keys := max(len(wanted - reached), 1))
        for _ in range(keys):
            page.keyboard.press("Tab")
        for stop in page_checks.run_script(page, "tabStops"):
            ends += stop is None
            if reached >= wanted or ends == 2:
                break
            if stop and stop["stop"] not in reached and not (stop["visible"] and stop["onScreen"]):
                # Once is enough: a date has four stops, and rings of its own.
                faults[stop["stop"]] = stop["what"]
            if stop and stop["stop"] is not None:
                reached.add(stop["stop"])
    missed = [page_checks.control(page, number) for number in sorted(wanted - reached)]
    return missed, faults
