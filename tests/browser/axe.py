"""Asks axe-core, which `make browser` fetches from npm, what is wrong with a page for disabled people."""

from functools import cache

import pytest
from playwright.sync_api import Page

from tests.browser import needs

GRAVE = ("serious", "critical")
# A table's rows are alike: the first ten speak for all.
PART = {"exclude": [["table tbody tr:nth-child(n + 11)"]]}


@cache
def _script() -> str:
    if not needs.AXE.exists():
        reason = "axe-core is not there: `make browser` fetches it with npm"
        pytest.fail(reason) if needs.required() else pytest.skip(reason)
    return needs.AXE.read_text()


def violations(page: Page, *rules: str) -> list[str]:
    """The serious and critical ones of these rules (none: all): rule, where, and what it says."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_script())  # over the debugger: the page's own policy stays as it is
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("([part, options]) => axe.run(part, options)", [PART, options])["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"][:3]
    ]
