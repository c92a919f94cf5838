"""The life of a task in the browser: started from the form, watched, cancelled, retried."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Open
from tests.browser.live_site import Site
from tests.browser.main_pages import TASKS, task_page

CODES = [f"{board}{number:04d}" for number in range(1, 6) for board in ("00", "30", "60")]
FAILING_CODES = "000007, 300007"
SOON = 0.25  # seconds until a page that waits for a task asks again

pytestmark = pytest.mark.usefixtures("idle")


@pytest.fixture
def running(site: Site) -> str:
    """Starts a task of 24 stocks whose source holds its answers, and returns its id."""
    site.answers.hold()
    return site.start_task()


def width(page: Page) -> float:
    """Returns the length of the filled part of the bar, of 1,000."""
    return float(page.locator(".sc-bar rect.sc-done").get_attribute("width") or 0)


def mark_document(page: Page) -> None:
    """Marks the document; a reload loses the mark."""
    page.evaluate("() => { window.sameDocument = true }")


def is_same_document(page: Page) -> bool:
    return page.evaluate("() => window.sameDocument === true") is True


def expect_progress(page: Page, sentence: str) -> None:
    """Waits until the sentence next to the bar begins like this."""
    expect(page.locator(".sc-bar p")).to_contain_text(re.compile(f"^{re.escape(sentence)}"))


def expect_status(page: Page, name: str) -> None:
    """Waits until the label in the head of the page shows this status, after its icon."""
    expect(page.locator("[data-sc-part=head] .sc-label")).to_have_text(re.compile(rf"{name}\s*$"))


def fill_in(page: Page, codes: str) -> None:
    page.locator("input[name=source][value=drill]").check()
    page.get_by_role("button", name="Last year").click()
    page.locator("input[name=scope][value=some]").check()
    page.locator("[name=stock_codes]").fill(codes)
    page.locator("[name=force_update]").check()


def test_started_task_progresses_to_its_end(open_as: Open, site: Site) -> None:
    site.answers.hold()
    page = open_as("operator", "/admin/start/", refresh=SOON, reduced_motion="no-preference")
    fill_in(page, " ".join([*CODES, FAILING_CODES]))
    expect(page.locator("#ss-estimate")).to_contain_text("17")
    page.get_by_role("button", name="Start").last.click()
    expect(page).to_have_url(re.compile(r"/collectiontask/[0-9a-f-]{36}/change/"))
    expect(page.get_by_text(re.compile("was started. It collects 17 stocks"))).to_be_visible()
    mark_document(page)
    expect_status(page, "running")
    expect_progress(page, "0 of 17 stocks (0%), 0 failed")
    assert width(page) == 0
    site.answers.release(7)
    expect_progress(page, "7 of 17 stocks (41%)")
    assert 0 < width(page) < 500
    expect_status(page, "running")
    site.answers.release_all()
    expect_status(page, "completed · with failures")
    expect_progress(page, "17 of 17 stocks (100%), 2 failed")
    assert width(page) == 882
    expect(page.get_by_role("link", name="Retry failed and remaining")).to_be_visible()
    expect(page.get_by_role("link", name="Cancel the task")).to_have_count(0)
    assert is_same_document(page)


def test_form_errors_stand_next_to_their_fields(open_as: Open) -> None:
    page = open_as("operator", "/admin/start/")
    fill_in(page, "no code!")
    page.locator("[name=start_date]").fill("2024-02-01")
    page.locator("[name=end_date]").fill("2024-01-01")
    page.get_by_role("button", name="Start").last.click()
    expect(page).to_have_url(re.compile("/admin/start/"))
    wrong = page.locator("[aria-invalid=true]")
    expect(wrong).not_to_have_count(0)
    for field in wrong.all():
        described_by = (field.get_attribute("aria-describedby") or "").split()
        assert any("".join(page.locator(f"#{name}").all_inner_texts()) for name in described_by)
    assert page.locator("[name=stock_codes]").input_value() == "no code!"


def test_cancel_asks_first_and_ends_the_task(open_as: Open, site: Site, running: str) -> None:
    page = open_as("operator", task_page(running), refresh=SOON)
    site.answers.release(7)
    expect_progress(page, "7 of 24 stocks")
    page.get_by_role("link", name="Cancel the task").click()
    expect(page.get_by_text("Cancel this task?")).to_be_visible()
    expect(page.get_by_text("Stored bars stay")).to_be_visible()
    assert site.status(running) == "running"
    page.get_by_role("link", name="Keep it running").click()
    expect_status(page, "running")
    page.get_by_role("link", name="Cancel the task").click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page).to_have_url(re.compile(f"{running}/change/"))
    expect_status(page, "cancelled")
    assert site.status(running) == "cancelled"
    expect_progress(page, "7 of 24 stocks")
    expect(page.get_by_role("link", name="Cancel the task")).to_have_count(0)
    expect(page.get_by_role("link", name="Retry failed and remaining")).to_be_visible()


def test_overview_shows_running_task_without_reload(open_as: Open, site: Site) -> None:
    page = open_as("operator", "/admin/", refresh=SOON)
    mark_document(page)
    expect(page.get_by_role("heading", name="Running now")).to_have_count(0)
    site.answers.hold()
    task = site.start_task()
    expect(page.get_by_role("heading", name="Running now")).to_be_visible()
    expect(page.get_by_role("link", name=task[:8]).first).to_be_visible()
    site.answers.release(7)
    expect(page.locator(".sd-counted")).to_have_text(re.compile("^7 of 24 stocks"))
    assert is_same_document(page)
    page.get_by_role("link", name="Cancel the task").click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.get_by_text(re.compile("cancelled")).first).to_be_visible()
    assert site.status(task) == "cancelled"


def test_cancel_by_another_user_shows_on_open_page(open_as: Open, site: Site, running: str) -> None:
    page = open_as("viewer", task_page(running), refresh=SOON)
    mark_document(page)
    expect_status(page, "running")
    site.api("DELETE", f"tasks/{running}")
    expect_status(page, "cancelled")
    assert is_same_document(page)
    said = "0 of 24 stocks (0%), 0 failed. The task has ended; this page no longer changes."
    expect(page.locator("#sc-state")).to_have_text(said)


def test_failure_group_is_retried(open_as: Open, site: Site) -> None:
    task = site.start_task(stock_codes=["000001", "000007", "300007", "600007"])
    page = open_as("operator", task_page(task), refresh=SOON)
    expect_status(page, "completed · with failures")
    page.get_by_role("link", name=re.compile("Retry these")).click()
    page.get_by_role("button", name="Yes, start it").click()
    expect(page).not_to_have_url(re.compile(task))
    expect_status(page, "failed")
    expect_progress(page, "3 of 3 stocks (100%), 3 failed")
    expect(page.get_by_role("link", name=task[:8]).first).to_be_visible()


def test_list_cancels_running_tasks_and_reports_others(open_as: Open, site: Site, running: str) -> None:
    ended = site.tasks("completed")[0]
    page = open_as("operator", TASKS)
    for task in (ended, running):
        page.locator(f"input.action-select[value='{task}']").check()
    page.locator("select[name=action]").select_option("cancel_selected")
    page.get_by_role("button", name=re.compile("Run|Go")).click()
    page.get_by_role("button", name="Yes, cancel them").click()
    expect(page.get_by_text("1 cancelled, 1 was already completed")).to_be_visible()
    assert (site.status(running), site.status(ended)) == ("cancelled", "completed")


def test_list_follows_a_running_task(open_clocked: Open, site: Site, running: str) -> None:
    page = open_clocked("operator", TASKS)
    row = page.locator("#result_list tr", has_text=running[:8])
    row.locator("input.action-select").check()
    expect(row).to_contain_text("running")
    mark_document(page)
    site.become_idle()
    page.clock.run_for(6_000)
    expect(row).to_contain_text("cancelled")
    expect(row.locator("input.action-select")).to_be_checked()
    assert is_same_document(page)


@pytest.mark.soak  # tests/admin/test_roles.py proves it page by page, without a browser
def test_viewer_sees_no_actions_and_gets_403(open_as: Open, site: Site, running: str) -> None:
    failed = site.failed_task()
    verbs = [f"{TASKS}{running}/cancel/", f"{TASKS}{failed}/retry/", "/admin/start/"]
    for path in ("/admin/", TASKS, task_page(running), task_page(failed)):
        page = open_as("viewer", path)
        for verb in (*verbs, f"{TASKS}{failed}/cancel/"):
            expect(page.locator(f"a[href^='{verb}'], form[action^='{verb}']")).to_have_count(0)
        expect(page.locator("select[name=action] option[value=cancel_selected]")).to_have_count(0)
    token = next(c["value"] for c in page.context.cookies() if c["name"] == "csrftoken")
    for verb in verbs:
        response = page.request.post(verb, headers={"X-CSRFToken": token, "Referer": site.url})
        assert response.status == 403, verb
    assert site.status(running) == "running"


def test_refresh_pause_is_remembered(open_clocked: Open, site: Site, running: str) -> None:
    page = open_clocked("viewer", task_page(running))
    page.get_by_label("Refresh every").select_option("0")
    page.reload()
    expect(page.get_by_label("Refresh every")).to_have_value("0")
    assert count_polls_in_a_minute(page) == 0
    site.become_idle()
    page.get_by_role("button", name="Refresh now").click()
    expect_status(page, "cancelled")


def test_hidden_tab_polls_nothing_and_catches_up(open_clocked: Open, site: Site, running: str) -> None:
    page = open_clocked("viewer", task_page(running))
    expect_status(page, "running")
    hide(page, True)
    assert count_polls_in_a_minute(page) == 0
    site.become_idle()
    hide(page, False)
    page.clock.run_for(1_000)
    expect_status(page, "cancelled")


def test_ended_task_is_not_polled(open_clocked: Open, site: Site) -> None:
    page = open_clocked("viewer", task_page(site.failed_task()))
    expect(page.get_by_label("Refresh every")).to_be_hidden()
    assert count_polls_in_a_minute(page) == 0


def count_polls_in_a_minute(page: Page) -> int:
    """Returns how often the page polls in a minute of its fake clock."""
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.evaluate("() => fetch('/healthz')")
    page.clock.run_for(60_000)
    page.evaluate("() => fetch('/healthz')")  # earlier requests are recorded once this one is answered
    return len([url for url in urls if "/live/" in url])


def hide(page: Page, hidden: bool) -> None:
    """Makes the page believe that its tab is hidden, or visible again."""
    page.evaluate(
        """hidden => { Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
                       document.dispatchEvent(new Event("visibilitychange")) }""",
        hidden,
    )


def test_task_page_works_on_a_phone(open_on_phone: Open, site: Site, running: str) -> None:
    page = open_on_phone("operator", task_page(running), refresh=SOON)
    site.answers.release(7)
    expect_progress(page, "7 of 24 stocks")
    page.wait_for_function("wide => document.documentElement.scrollWidth <= wide", arg=PHONE["width"])
    page.get_by_role("link", name="Cancel the task").tap()
    page.get_by_role("button", name="Yes, cancel it").tap()
    expect_status(page, "cancelled")


def test_legend_of_the_throughput_fades_a_series(open_as: Open, site: Site) -> None:
    page = open_as("operator", task_page(site.first_task()))
    key = page.locator("#sc-legend-failed")
    key.press("Space")
    assert key.get_attribute("aria-pressed") == "false"
    assert page.locator("#sc-task.sc-no-failed").count() == 1
    key.press("Space")
    assert (key.get_attribute("aria-pressed"), page.locator(".sc-no-failed").count()) == ("true", 0)


def test_legend_of_runs_fades_a_state_by_the_keyboard(open_as: Open) -> None:
    page = open_as("operator", "/admin/")
    key = page.locator("#sd-legend-failed")
    key.press("Space")
    assert key.get_attribute("aria-pressed") == "false"
    assert page.locator(".sd-off").count() == page.locator(".sd-run.sd-failed").count()
    key.press("Space")
    assert (key.get_attribute("aria-pressed"), page.locator(".sd-off").count()) == ("true", 0)
