"""Checks the accessibility of a page with axe-core, which `make browser` fetches from npm."""

from functools import cache

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


def violations(page: Page, *rules: str) -> list[str]:
    """Returns serious and critical violations of these rules (none: all) with rule, HTML and explanation."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_script())  # through the debugger, so the page's content security policy is unchanged
    # Without `preload` axe would request and parse all style sheets again, for a rule that is off by default.
    options = {"resultTypes": ["violations"], "preload": False, **({"runOnly": list(rules)} if rules else {})}
    results = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary']}"
        for rule in results
        if rule["impact"] in REPORTED
        for node in rule["nodes"][:3]
    ]
