"""Each fault that the doctor names is reported when it is there, and not before."""

from functools import partial
from pathlib import Path

import pytest
from django.utils import translation

from tasks_app.diagnostics import (
    backups,
    cache,
    calendars,
    clocks,
    database,
    disk,
    installation,
    job_queue,
    lanes,
    postgresql,
    report,
    sources,
    sqlite,
    web,
    workers,
)
from tasks_app.diagnostics.findings import Finding, Severity, kinds_of
from tests.diagnostics.faults import ANY, FAULTS, POSTGRESQL, SQLITE
from tests.diagnostics.machines import publish_machine, versions_with

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    *(backups, cache, calendars, clocks, database, disk, installation, job_queue, lanes, postgresql),
    *(report, sources, sqlite, web, workers),
)
KINDS = [kind for module in MODULES for kind in kinds_of(module)]


def codes() -> dict[str, str]:
    """Returns the codes of what is found now, with their severities."""
    return {finding.code: finding.severity for finding in report.examine(integrity=True).findings}


def areas_of(code: str) -> tuple[report.Area, ...]:
    """Returns the areas that this fault belongs to, besides the database, which is always examined."""
    modules = {module.__name__ for module in MODULES if code in {kind.code for kind in kinds_of(module)}}
    return tuple(
        area for area in report.areas() if getattr(area.examine, "func", area.examine).__module__ in modules
    )


def test_well_installation_has_no_fault(site):
    found = report.examine(integrity=True)
    assert [(each.code, each.found) for each in found.findings if each.severity is not Severity.OK] == []
    assert found.worst is Severity.OK
    assert not any(area.is_skipped for area in found.areas)


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=[pytest.mark.any_database] * (code in ANY)) for code in sorted(FAULTS)]
)
def test_fault_is_reported(site, code, monkeypatch):
    """The area of the fault alone is examined; what all of them find together, test_command.py reads."""
    if code != "check_failed":
        monkeypatch.setattr(report, "areas", partial(tuple, areas_of(code)))
    FAULTS[code](site)
    assert codes().get(code) == severity_of(code)


@pytest.mark.any_database  # kept in the cache
def test_code_of_what_was_stopped_for_an_upgrade_counts_no_more(site):
    publish_machine("here", beats=False, versions=versions_with(code="0"))
    assert not {"versions_differ", "code_not_restarted"} & codes().keys()


def severity_of(code: str) -> Severity:
    (severity,) = {kind.severity for kind in KINDS if kind.code == code}
    return severity


def test_every_fault_is_provoked():
    faults = {kind.code for kind in KINDS if kind.severity is not Severity.OK}
    assert faults == {*ANY, *SQLITE, *POSTGRESQL}


def test_kinds_are_of_all_modules_of_the_package():
    files = {path.stem for path in (ROOT / "tasks_app" / "diagnostics").glob("*.py")}
    names = {module.__name__.rpartition(".")[2] for module in MODULES}
    declaring = {
        name for name in files if "fault(" in (ROOT / f"tasks_app/diagnostics/{name}.py").read_text()
    }
    assert declaring - {"findings"} <= names | {"lanes"}


def test_codes_are_unique_but_for_both_databases():
    own = [kind.code for kind in KINDS if kind not in kinds_of(postgresql)]
    assert len(own) == len(set(own))


@pytest.mark.any_database  # texts
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.severity is not Severity.OK], ids=lambda k: k.code
)
def test_advice_is_given_in_both_languages(kind):
    english = str(kind.found), str(kind.advice)
    with translation.override("zh-hans"):
        chinese = str(kind.found), str(kind.advice)
    assert all(english)
    assert chinese[1] != english[1]


@pytest.mark.any_database  # texts
@pytest.mark.parametrize("see", sorted({kind.see for kind in KINDS if kind.see}))
def test_paragraph_that_is_referred_to_exists(see):
    document, _, anchor = see.partition("#")
    headings = [line for line in (ROOT / document).read_text().splitlines() if line.startswith("#")]
    assert anchor in {
        heading.lstrip("# ").lower().replace(" ", "-").replace(",", "").replace(":", "")
        for heading in headings
    }
    kind = next(kind for kind in KINDS if kind.see == see)
    with translation.override("zh-hans"):
        chinese, _, anchor = Finding(kind).see.partition("#")
    assert chinese == document or f'<a id="{anchor}"></a>' in (ROOT / chinese).read_text()
