"""Preferences of a user that are remembered: language and theme."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open


def open_account(page: Page) -> None:
    page.locator("#nav-sidebar button[aria-expanded]").last.click()


def test_language_switch_is_remembered(open_as: Open) -> None:
    page = open_as("viewer", "/admin/tasks_app/collectiontask/")
    open_account(page)
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(page).to_have_url(re.compile("/collectiontask/$"))
    page.goto("/admin/tasks_app/stock/")
    expect(page.locator("#nav-sidebar").get_by_role("link", name="任务", exact=True)).to_be_visible()
    open_account(page)
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.mark.parametrize(
    ("choice", "scheme"), [("Dark", "light"), pytest.param("Light", "dark", marks=pytest.mark.soak)]
)
def test_theme_switch_overrides_the_system(open_as: Open, choice: str, scheme: str) -> None:
    media = {"color_scheme": scheme, "reduced_motion": "no-preference"}
    page = open_as("viewer", "/admin/tasks_app/collectiontask/", **media)
    expect(page.locator("html")).to_have_class(re.compile("dark") if scheme == "dark" else re.compile("^$"))
    open_account(page)
    page.get_by_role("button", name=choice).click()
    expect(page.locator("html")).to_have_class(choice.lower())
    before = background(page)
    page.goto("/admin/tasks_app/stock/")
    expect(page.locator("html")).to_have_class(choice.lower())
    assert background(page) == before


def background(page: Page) -> str:
    """Returns the colour of the page, once it no longer changes."""
    page.wait_for_function("document.getAnimations().length === 0")
    colour: str = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return colour


def test_phone_navigation_opens_and_closes(open_on_phone: Open) -> None:
    page = open_on_phone("viewer", "/admin/")
    links = page.locator("#nav-sidebar").get_by_role("link", name="Stocks", exact=True)
    expect(links).not_to_be_in_viewport()
    page.get_by_role("button", name="Show or hide the navigation").locator("visible=true").tap()
    expect(links).to_be_in_viewport()
    links.tap()
    expect(page).to_have_url(re.compile("/stock/$"))
    expect(page.locator("#nav-sidebar")).not_to_be_in_viewport()
