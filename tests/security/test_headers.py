"""Security headers of every response, and pages that need no more than their policy allows."""

import re

import pytest
from django.test import Client

from collector_site import csp
from tests.security.responses import responses
from tests.security.test_access import RULES
from tests.security.url_paths import path_of

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("responses")]  # the tests share the responses
INLINE = re.compile(
    r"<style|\sstyle\s*=|<[^>]+\son[a-z]+\s*=|javascript:"
    r"|<script(?![^>]*\ssrc=)(?![^>]*type=\"(?:application/json|text/template)\")",
    re.IGNORECASE,
)
STYLE_AS_STRING = re.compile(
    r'x-bind:style="(?!\{)|[\s"]:style="(?!\{)'
)  # Alpine would set a string as an attribute


def directives(response) -> dict[str, set[str]]:
    parts = [part.split() for part in response.headers["Content-Security-Policy"].split(";")]
    return {name: set(values) for name, *values in parts}


@pytest.mark.parametrize("kind", ["anonymous", "superuser"])
def test_every_response_has_security_headers(kind):
    wrong = {}
    for path, response in responses(kind).by_path.items():
        headers = {name: response.headers.get(name) for name in SAFE}
        policy = directives(response)
        if headers != SAFE or policy["default-src"] != {"'none'"} or policy["frame-ancestors"] != {"'none'"}:
            wrong[path] = (headers, policy)
    assert not wrong


SAFE = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def test_policy_allows_only_this_host():
    wrong = {}
    for path, response in responses("superuser").by_path.items():
        policy = directives(response)
        granted = set().union(*policy.values()) - {"'none'", "'self'"}
        allowed = {"'unsafe-eval'"} if path.startswith("/admin/") else set()
        allowed |= {"data:"} if path.startswith("/api/docs") else set()
        if granted - allowed or policy["base-uri"] != {"'none'"} or "object-src" in policy:
            wrong[path] = policy
    assert not wrong


@pytest.mark.parametrize("kind", ["anonymous", "superuser"])
def test_pages_have_no_inline_code(kind):
    wrong, pages = {}, 0
    for path, response in responses(kind).by_path.items():
        if response.headers.get("Content-Type", "").startswith("text/html") and not response.streaming:
            pages += 1
            body = response.content.decode()
            if headers := INLINE.findall(body) + STYLE_AS_STRING.findall(body):
                wrong[path] = headers
    assert not wrong
    assert pages >= {"anonymous": 5, "superuser": 40}[kind]


@pytest.mark.parametrize(
    ("path", "kind", "granted"),
    [
        ("/admin/tasks_app/stock/", "text/html; charset=utf-8", csp.ADMIN),
        ("/administration", "text/html", csp.PAGE),
        ("/admin/jsi18n/", "text/javascript", csp.NOTHING),
        ("/api/docs", "text/html", csp.DOCS),
        ("/api/data-collection/tasks", "text/html", csp.PAGE),
        ("/api/data-collection/tasks", "application/json", csp.NOTHING),
        ("/static/x.svg", "image/svg+xml", csp.NOTHING),
        ("/", "", csp.NOTHING),
    ],
)
def test_policy_by_path_and_content_type(path, kind, granted):
    assert csp.policy_for(path, kind) == granted


def test_413_has_security_headers():
    big = Client().post("/api/data-collection/historical", b"x" * 1_000_001, content_type="application/json")
    assert big.status_code == 413
    assert {name: big.headers.get(name) for name in SAFE} == SAFE
    assert "Content-Security-Policy" in big.headers


def test_trace_is_rejected_everywhere():
    for route in RULES:
        assert Client().generic("TRACE", path_of(route)).status_code in {302, 401, 403, 404, 405}
