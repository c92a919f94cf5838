"""The stock page: its chart, and its bars as a CSV download."""

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import PHONE, Open
from tests.browser.live_site import Site


@pytest.mark.parametrize("language", [pytest.param("en-US", marks=pytest.mark.soak), "zh-CN"])
def test_chart_is_drawn_and_range_is_chosen(open_as: Open, site: Site, language: str) -> None:
    page = open_as("viewer", f"/admin/tasks_app/stock/{site.stock('US', 'MSFT')}/change/", language)
    values = page.locator("#st-values")
    expect(values).to_contain_text("2013-03-01")
    expect(page.locator("#st-chart canvas")).not_to_have_count(0)
    five = page.locator("#st-ranges button[data-months='60']")
    five.click()
    expect(five).to_have_attribute("aria-pressed", "true")
    page.locator("#st-chart").focus()
    page.keyboard.press("ArrowLeft")
    expect(values).to_contain_text("2013-02-28")


def test_bars_are_downloaded_and_are_cards_of_labelled_values_on_a_phone(open_as: Open, site: Site) -> None:
    page = open_as("viewer", f"/admin/tasks_app/stock/{site.stock('US', 'MSFT')}/change/")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 1_552
    page.set_viewport_size(PHONE)
    box = page.locator(".st-wide")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    volume = page.locator(".st-table td[data-label=Volume]").first
    assert volume.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Volume"'


def test_chart_says_that_it_loads(open_as: Open, site: Site) -> None:
    path = f"/admin/tasks_app/stock/{site.stock('US', 'MSFT')}/change/"
    page = open_as("viewer", "/admin/preferences/")
    held: list[Route] = []

    def hold(route: Route) -> None:  # Playwright takes no method of a built-in type
        held.append(route)

    page.route("**/bars.json*", hold)
    page.goto(path)
    chart = page.locator("#st-chart")
    expect(chart).to_have_text("Loading the chart…")
    expect(chart).to_have_attribute("aria-busy", "true")
    held.pop().continue_()
    page.unroute("**/bars.json*")  # the next test opens the same page
    expect(chart.locator("canvas")).not_to_have_count(0)
    expect(chart).not_to_contain_text("Loading the chart…")
    expect(page.locator("[aria-busy]")).to_have_count(0)
