"""The page of uploads: a file is sent, checked, its columns are named, and it is taken over."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.live_site import Site

PAGE = "/admin/uploads/"
ROWS = "dt,px_open,px_high,px_low,px_last,qty\n2024-01-02,10,11,9.5,10.5,1000\n"


def test_unknown_file_is_named_and_taken_over(open_as: Open, site: Site, tmp_path: Path) -> None:
    (tmp_path / "600000.csv").write_text(ROWS)
    page = open_as("administrator", PAGE)
    page.get_by_label("Files", exact=True).set_input_files(tmp_path / "600000.csv")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_text("no column for day, open, high, low, close, volume")).to_be_visible()
    meanings = ("day", "open", "high", "low", "close", "volume in shares")
    for heading, meaning in zip(ROWS.splitlines()[0].split(","), meanings, strict=True):
        page.get_by_label(heading).select_option(label=meaning)
    page.get_by_role("button", name="Remember this and check again").click()
    expect(page.get_by_text("shares, by the heading")).to_be_visible()
    page.get_by_role("button", name="Take it over").click()
    expect(page.get_by_text("Taken over as 600000.csv. Bars: 1, rows left out: 0.")).to_be_visible()
    assert (site.folder / "quotes" / "600000.csv").read_text() == ROWS


def test_file_beyond_the_limit_is_not_sent(open_as: Open, tmp_path: Path) -> None:
    (tmp_path / "600000.csv").write_text(ROWS)
    page = open_as("administrator", PAGE)
    page.locator("#uf-form").evaluate("form => { form.dataset.limit = '10'; }")
    page.get_by_label("Files", exact=True).set_input_files(tmp_path / "600000.csv")
    page.get_by_role("button", name="Upload and check").click()
    expect(page.get_by_role("alert")).to_contain_text("The files are larger than")
    assert page.url.endswith(PAGE)
