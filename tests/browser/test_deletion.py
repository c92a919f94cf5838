"""The page that deletes data: by keyboard, and only after a question."""

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.live_site import Site

PAGE = "/admin/delete-data/"


def test_keyboard_counts_first_and_deletes_nothing(open_as: Open, site: Site) -> None:
    page = open_as("administrator", PAGE)
    page.get_by_label("Source").focus()
    page.keyboard.type("sample")
    page.get_by_role("button", name="Count the bars").focus()
    page.keyboard.press("Enter")
    found = page.locator("#dd-found")
    expect(found.get_by_role("heading", name="Delete this?")).to_be_visible()
    expect(found).to_contain_text("6,400")
    found.get_by_role("link", name="Delete nothing").focus()
    page.keyboard.press("Tab")
    expect(found.get_by_role("button", name="Yes, delete it")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#dd-found")).to_have_count(0)
    expect(page.get_by_text("Nothing has been deleted yet.")).to_be_visible()
