"""Accessibility of the main pages: axe-core in light and dark, and the keyboard."""

import pytest

from tests.browser import axe, page_checks
from tests.browser.conftest import Open
from tests.browser.live_site import Site
from tests.browser.main_pages import CORE_PAGES, PAGE_NAMES, main_pages

MAX_TAB_STOPS = 400


def role_for(name: str) -> str | None:
    return None if name == "sign-in" else "administrator"


@pytest.mark.parametrize(
    ("name", "language"), [(name, "en-US") for name in PAGE_NAMES] + [(name, "zh-CN") for name in CORE_PAGES]
)
def test_axe_finds_nothing_serious(open_as: Open, site: Site, name: str, language: str) -> None:
    page = open_as(role_for(name), main_pages(site)[name], language, reduced_motion="reduce")
    page.wait_for_function(page_checks.SETTLED)
    light = axe.violations(page)
    page.emulate_media(color_scheme="dark")
    page.evaluate("() => document.documentElement.classList.add('dark')")  # as the theme's switch does
    page.wait_for_function("document.getAnimations().length === 0")
    dark = axe.violations(page, "color-contrast")  # nothing else depends on colours
    assert (light, dark) == ([], [])


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_tab_reaches_every_control_with_visible_focus(open_as: Open, site: Site, name: str) -> None:
    page = open_as(role_for(name), main_pages(site)[name], reduced_motion="reduce")
    page.wait_for_function(page_checks.SETTLED)
    wanted = set(range(page_checks.run_script(page, "controls")))
    assert wanted
    reached: set[int] = set()
    faults: dict[int, str] = {}
    ends = 0  # of the page; it may begin somewhere in it, where the focus was set
    for _ in range(MAX_TAB_STOPS):
        page.keyboard.press("Tab")
        stop = page_checks.run_script(page, "focused")
        ends += stop is None
        if reached >= wanted or ends == 2:
            break
        if stop and stop["stop"] not in reached and not (stop["visible"] and stop["onScreen"]):
            faults[stop["stop"]] = stop["what"]  # once is enough: a date has four stops, and rings of its own
        if stop and stop["stop"] is not None:
            reached.add(stop["stop"])
    missed = [page_checks.control(page, number) for number in sorted(wanted - reached)]
    assert (missed, faults) == ([], {})
