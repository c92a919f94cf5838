"""The stock page: its chart, and its bars as a CSV download."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.live_site import Site


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
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


def test_bars_are_downloaded(open_as: Open, site: Site) -> None:
    page = open_as("viewer", f"/admin/tasks_app/stock/{site.stock('US', 'MSFT')}/change/")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 1_552
