"""Signing in by role, and the language of the sign-in page."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, sign_in
from tests.browser.live_site import Site
from tests.browser.roles import ROLES

WELCOME = {"en-US": "Sign in", "zh-CN": "登录", "fr-FR": "Sign in"}


@pytest.mark.parametrize(
    "role", [*(pytest.param(role, marks=pytest.mark.soak) for role in ROLES[1:]), ROLES[0]]
)
def test_each_role_signs_in_and_sees_tasks(open_as: Open, site: Site, role: str) -> None:
    page = open_as(None, "/healthz")
    sign_in(page, site, role)
    page.goto("/admin/tasks_app/collectiontask/")
    expect(page.locator("#result_list tbody tr")).not_to_have_count(0)


@pytest.mark.parametrize("language", ["zh-CN", "fr-FR", pytest.param("en-US", marks=pytest.mark.soak)])
def test_login_language_is_the_browsers_or_english(open_as: Open, language: str) -> None:
    page = open_as(None, "/admin/", language)
    expect(page).to_have_url(re.compile("/admin/login/"))
    expect(page.locator("#login-form [type=submit]")).to_contain_text(WELCOME[language])
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans" if language == "zh-CN" else "en")
