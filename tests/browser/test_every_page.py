"""Checks of a page of each kind in Chinese; in `make soak` of all that an administrator reaches by links.

There in English, too, with a filter of each list. In English, test_access.py opens the main pages.
"""

import os
import re
from collections.abc import Iterable

import pytest

from tests.browser import page_checks, untranslated
from tests.browser.conftest import Desk
from tests.browser.live_site import Site
from tests.browser.main_pages import main_pages, task_page
from tests.browser.page_checks import PageCheck

# The named pages whose templates differ.
KINDS = (
    *("dashboard", "start", "tasks", "task", "confirm", "stock", "raw answer", "uploads", "delete data"),
    *("sources", "source", "system", "agreement", "calendar", "exports", "incident", "notice channel"),
    *("plan", "user", "my tokens", "my sessions", "audit", "preferences", "codes", "coverage"),
)
LANGUAGES = {"en-US": "en", "zh-CN": "zh-hans"}
IS_SOAK = bool(os.environ.get("SOAK"))


@pytest.fixture(scope="session", params=LANGUAGES if IS_SOAK else ["zh-CN"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def pages(site: Site, desk: Desk, language: str) -> list[PageCheck]:
    """Returns the checks of the pages; they are opened once."""
    page = desk.open("administrator", language)
    named, tasks = (
        main_pages(site),
        [task_page(site.tasks(status)[0]) for status in ("completed", "cancelled")],
    )
    if IS_SOAK:
        start = [f"{site.url}{path}" for path in (named["dashboard"], named["tasks"], named["task"], *tasks)]
        checks = list(page_checks.crawl(page, desk.log, start, site.url, with_filters=True))
    else:
        paths = [*(named[name] for name in KINDS), *tasks]
        checks = [page_checks.check_page(page, desk.log, f"{site.url}{path}") for path in paths]
    desk.leave()
    print("\n".join(page.url for page in checks))
    return checks


def test_pages_are_found(pages: list[PageCheck]) -> None:
    assert len(pages) > (60 if IS_SOAK else 20)


def test_pages_have_no_console_or_request_errors(pages: list[PageCheck]) -> None:
    assert page_checks.faults(pages, lambda page: page.problems) == ""


def test_pages_declare_their_language(pages: list[PageCheck], language: str) -> None:
    assert {page.language for page in pages} == {LANGUAGES[language]}


def test_chinese_pages_have_no_english_left(pages: list[PageCheck], language: str) -> None:
    if language == "zh-CN":
        assert page_checks.faults(pages, lambda page: list(untranslated.english_texts(page.texts))) == ""


def spaced_punctuation(lines: Iterable[str]) -> list[str]:
    """Returns the lines with a space after full-width punctuation; “ · ” may follow, it separates parts."""
    return [line for line in lines if re.search("[。，、；：！？（）] +[^\\s·]", line)]


def test_chinese_punctuation_has_no_space_after_it(pages: list[PageCheck], language: str) -> None:
    assert spaced_punctuation(["已完成。 共 3 只", "共 3 只， 2 只成功"])
    if language == "zh-CN":
        assert any("。" in line for page in pages for line in page.lines)
        assert page_checks.faults(pages, lambda page: spaced_punctuation(page.lines)) == ""


def test_pages_fit_a_phone(pages: list[PageCheck]) -> None:
    assert page_checks.faults(pages, lambda page: page.phone) == ""


def test_pages_fit_a_wide_window(pages: list[PageCheck]) -> None:
    assert page_checks.faults(pages, lambda page: page.wide) == ""


def test_controls_do_not_need_a_mouse(pages: list[PageCheck]) -> None:
    assert page_checks.faults(pages, lambda page: page.mouse_only) == ""


def test_reduced_motion_stops_animations(pages: list[PageCheck]) -> None:
    assert page_checks.faults(pages, lambda page: page.moving) == ""
