"""Checks the accessibility of a page with axe-core, which `make browser` fetches from npm."""

from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser import requirements

REPORTED = ("serious", "critical")


@cache
def _script() -> str:
    if not requirements.AXE.exists():
        reason = "axe-core is not there: `make browser` fetches it with npm"
        pytest.fail(reason) if requirements.required() else pytest.skip(reason)
    return requirements.AXE.read_text()


def _lesser(page: Page) -> list[str]:
    """Returns the rules whose violations are never reported; they would take a fifth of the time."""
    script = (
        "reported => axe._audit.rules.filter(r => r.impact && !reported.includes(r.impact)).map(r => r.id)"
    )
    rules: list[str] = page.evaluate(script, REPORTED)
    return rules


def violations(page: Page, *rules: str) -> list[str]:
    """Returns serious and critical violations of these rules (none: all) with rule, HTML and explanation."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_script())  # through the debugger, so the page's content security policy is unchanged
    # Without `preload` axe would request and parse all style sheets again, for a rule that is off by default.
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if rules:
        options["runOnly"] = list(rules)
    else:
        options["rules"] = {rule: {"enabled": False} for rule in _lesser(page)}
    results = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary']}"
        for rule in results
        if rule["impact"] in REPORTED
        for node in rule["nodes"][:3]
    ]
