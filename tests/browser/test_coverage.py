"""The heat map of the coverage page: an area is marked by dragging, by two clicks or by keys."""

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import Open

ADDRESS = "/admin/coverage/?market=US&since=2012-01&until=2013-03"


@pytest.fixture
def page(open_as: Open) -> Page:
    return open_as("operator", ADDRESS)


def cell(page: Page, number: int) -> Locator:
    """Returns a cell of the first row."""
    return page.locator("#hm-table tbody tr").first.locator("td").nth(number)


def months(page: Page) -> tuple[str, str]:
    """Returns the marked months, as the form below has them."""
    form = page.locator("#hm-form")
    return form.locator("[name=since]").input_value(), form.locator("[name=until]").input_value()


def drag(page: Page, first: int, last: int) -> None:
    cell(page, first).hover()
    page.mouse.down()
    cell(page, last).hover()
    page.mouse.up()


def test_area_is_marked_by_a_drag_two_clicks_and_the_keyboard(page: Page) -> None:
    drag(page, 2, 4)
    assert months(page) == ("2012-03", "2012-05")
    cell(page, 6).click()
    assert months(page) == ("2012-07", "2012-07")
    cell(page, 8).click()
    assert months(page) == ("2012-07", "2012-09")
    drag(page, 2, 4)
    cell(page, 8).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert months(page) == ("2012-10", "2012-12")


def test_legend_works_by_the_keyboard_and_the_first_visible_month_is_whole(page: Page) -> None:
    key = page.get_by_role("button", name="framed")
    key.press("Space")
    assert key.get_attribute("aria-pressed") == "false"
    assert page.locator("#hm-table").get_attribute("data-off") == "open"
    key.press("Enter")
    assert (key.get_attribute("aria-pressed"), page.locator("#hm-table").get_attribute("data-off")) == (
        "true",
        "",
    )
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.querySelector('.hm-box').scrollLeft > 0")
    cut = """() => {
        const left = document.querySelector('.hm-box').getBoundingClientRect().left + 1
            + parseFloat(document.querySelector('.hm-box').style.getPropertyValue('--hm-head'));
        return [...document.querySelectorAll('[data-month]')].map((th) => th.getBoundingClientRect())
            .filter((at) => at.left < left - 2 && at.right > left + 2).length;
    }"""
    assert page.evaluate(cut) == 0
