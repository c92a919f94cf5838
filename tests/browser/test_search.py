"""The search of Ctrl+K, by keyboard alone."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Open


def test_search_opens_a_stock_and_closes_by_keyboard(open_as: Open) -> None:
    page = open_as("viewer", "/admin/")
    page.keyboard.press("Control+k")
    box = page.get_by_role("searchbox", name="Search", exact=True)
    expect(box).to_be_focused()
    box.press_sequentially("msft")
    expect(page.locator(".sc-found .sc-on")).to_contain_text("MSFT")
    box.press("Enter")
    expect(page).to_have_url(re.compile(r"/stock/\d+/change/"))
    expect(page.locator("h1, h2").first).to_be_visible()
    page.get_by_role("button", name="Search Ctrl K").click()
    box = page.get_by_role("searchbox", name="Search", exact=True)
    box.press_sequentially("nonsense")
    expect(page.locator(".sc-found")).to_contain_text("Nothing found")
    box.press("Enter")
    box.press("Escape")
    box.press("Escape")
    expect(box).not_to_be_visible()
