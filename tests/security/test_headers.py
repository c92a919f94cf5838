"""What every answer tells the browser to refuse, and that no page needs more than it is granted."""

import re

import pytest
from django.test import Client

from collector_site import csp
from tests.api.factories import make_bars, make_stock
from tests.factories import make_ended
from tests.security.paths import REST
from tests.security.people import make_person
from tests.security.test_access import RULES, address, addresses

pytestmark = pytest.mark.django_db
FILES = ["/static/tasks_app/admin.css", "/static/tasks_app/icon.svg", "/static/no"]
HTML = {"Accept": "text/html"}
INLINE = re.compile(
    r"<style|\sstyle\s*=|<[^>]+\son[a-z]+\s*=|javascript:"
    r"|<script(?![^>]*\ssrc=)(?![^>]*type=\"(?:application/json|text/template)\")",
    re.IGNORECASE,
)
SPELLED = re.compile(r'x-bind:style="(?!\{)|[\s"]:style="(?!\{)')  # as a string it ends up as an attribute


def browser(kind: str = "superuser") -> Client:
    client, user = Client(headers=HTML), make_person(kind)
    if user:
        client.force_login(user)
    return client


def directives(answer) -> dict[str, set[str]]:
    parts = [part.split() for part in answer.headers["Content-Security-Policy"].split(";")]
    return {name: set(values) for name, *values in parts}


def everything() -> list[str]:
    """Every path there is, but for logging out."""
    paths = [*addresses().values(), *(address(route) for _, route in REST), *FILES]
    make_bars(make_stock("US", "X"), 1)
    paths += ["/api/data-collection/quotes/US/X?format=csv", "/api/docs?script=", "/nowhere"]
    return [path for path in paths if "logout" not in path]


@pytest.mark.parametrize("kind", ["anonymous", "superuser"])
def test_every_answer_forbids_framing_guessing_types_and_foreign_content(kind):
    client, wrong = browser(kind), {}
    for path in everything():
        answer = client.get(path)
        found = {name: answer.headers.get(name) for name in SAFE}
        policy = directives(answer)
        if found != SAFE or policy["default-src"] != {"'none'"} or policy["frame-ancestors"] != {"'none'"}:
            wrong[path] = (found, policy)
    assert not wrong


SAFE = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def test_no_page_may_run_or_load_anything_but_our_own_files():
    client, wrong = browser(), {}
    for path in everything():
        policy = directives(client.get(path))
        granted = set().union(*policy.values()) - {"'none'", "'self'"}
        allowed = {"'unsafe-eval'"} if path.startswith("/admin/") else set()
        allowed |= {"data:"} if path.startswith("/api/docs") else set()
        if granted - allowed or policy["base-uri"] != {"'none'"} or "object-src" in policy:
            wrong[path] = policy
    assert not wrong


@pytest.mark.parametrize("kind", ["anonymous", "superuser"])
def test_no_page_has_a_script_or_a_style_in_itself(kind):
    client, wrong, pages = browser(kind), {}, 0
    make_ended("cancelled")
    for path in everything():
        answer = client.get(path)
        if answer.headers.get("Content-Type", "").startswith("text/html") and not answer.streaming:
            pages += 1
            body = answer.content.decode()
            if found := INLINE.findall(body) + SPELLED.findall(body):
                wrong[path] = found
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
def test_the_policy_is_that_of_the_place_and_nothing_for_what_is_no_page(path, kind, granted):
    assert csp.policy_for(path, kind) == granted


def test_refused_bodies_and_lost_sessions_carry_the_headers_too():
    big = Client().post("/api/data-collection/historical", b"x" * 1_000_001, content_type="application/json")
    assert big.status_code == 413
    assert {name: big.headers.get(name) for name in SAFE} == SAFE
    assert "Content-Security-Policy" in big.headers


def test_methods_beyond_the_listed_ones_are_refused():
    for route in RULES:
        assert Client().generic("TRACE", address(route)).status_code in {302, 401, 403, 404, 405}
