"""`manage.py doctor`: examines the installation, and says what is wrong and what to do about it."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _, gettext_noop
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tasks_app.diagnostics import report, settings_values, versions
from tasks_app.diagnostics.findings import Finding, Severity
from tasks_app.diagnostics.report import AreaReport, Report
from tasks_app.diagnostics.settings_values import SettingValue
from tasks_app.lifecycle import payloads
from tasks_app.management import output
from tasks_app.management.cli_errors import TranslatedCommand

EXIT_CODES = {Severity.OK: 0, Severity.WARNING: 1, Severity.FAULT: 2}
MARKS = {Severity.OK: ("✓", "green"), Severity.WARNING: ("!", "yellow"), Severity.FAULT: ("✗", "red")}


class Command(TranslatedCommand):
    """Needs neither a database nor well-formed settings of sources: it reports what is wrong with them."""

    help = gettext_noop(
        "Examine settings, database, queue, workers, sources, disks and backups. Exits with 0 if all is well,"
        " with 1 for warnings, with 2 for faults. Each finding says what to do."
    )
    requires_system_checks = ()  # they are among what is reported

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))
        parser.add_argument(
            "--show-settings",
            action="store_true",
            help=_("print all settings, their values and origins, too"),
        )
        parser.add_argument(
            "--integrity", action="store_true", help=_("read an SQLite file as a whole: seconds per gigabyte")
        )
        parser.add_argument("--quiet", action="store_true", help=_("print warnings and faults only"))

    def handle(self, *args: Any, **options: Any) -> None:
        result = report.examine(integrity=options["integrity"])
        if options["json"]:
            self.stdout.write(payloads.dumps(_as_json(result)), ending="\n")
        else:
            console = output.console(self.stdout, options["no_color"])
            for area in result.areas:
                _print_area(area, console, options["quiet"])
            if options["show_settings"]:
                _print_settings(_all_settings(result), console)
            console.print(_verdict(result), soft_wrap=True)
        if code := EXIT_CODES[result.worst]:
            raise SystemExit(code)


def _as_json(result: Report) -> dict[str, Any]:
    return {
        "at": timezone.now(),
        "result": result.worst,
        "warnings": result.count(Severity.WARNING),
        "faults": result.count(Severity.FAULT),
        "areas": [
            {
                "name": area.name,
                "skipped": area.is_skipped,
                "findings": [_finding_as_json(finding) for finding in area.findings],
            }
            for area in result.areas
        ],
        "versions": versions.versions(),
        "settings": [asdict(value) for value in _all_settings(result)],
    }


def _finding_as_json(finding: Finding) -> dict[str, str]:
    names = ("code", "severity", "found", "advice", "see")
    return {name: str(getattr(finding, name)) for name in names}


def _all_settings(result: Report) -> list[SettingValue]:
    """Returns the settings; those of sources only where the tables can be read."""
    has_tables = not any(area.is_skipped for area in result.areas)
    return [*settings_values.installation_values(), *(settings_values.source_values() if has_tables else ())]


def _print_area(area: AreaReport, console: Console, is_quiet: bool) -> None:
    shown = [each for each in area.findings if not (is_quiet and each.severity is Severity.OK)]
    if area.is_skipped and not is_quiet:
        console.print(area.title, style="bold")
        console.print("  – " + _("not examined: it needs the database and its tables"), soft_wrap=True)
    elif shown:
        console.print(area.title, style="bold")
        for finding in shown:
            _print_finding(finding, console)


def _print_finding(finding: Finding, console: Console) -> None:
    mark, style = MARKS[finding.severity]
    console.print(f"  {mark} {finding.found}", style=style, soft_wrap=True)
    if finding.advice:
        console.print(f"    {finding.advice}", soft_wrap=True)
        console.print(f"    [{' · '.join(filter(None, [finding.code, finding.see]))}]", soft_wrap=True)


def _print_settings(values: Iterable[SettingValue], console: Console) -> None:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for title in (_("setting"), _("value"), _("origin")):
        table.add_column(title, overflow="fold")
    for value in values:
        table.add_row(value.variable, value.value, value.origin)
    console.print(table)


def _verdict(result: Report) -> str:
    if result.worst is Severity.OK:
        return _("All is well.")
    counts = {"faults": result.count(Severity.FAULT), "warnings": result.count(Severity.WARNING)}
    return _("Faults: %(faults)d, warnings: %(warnings)d.") % counts
