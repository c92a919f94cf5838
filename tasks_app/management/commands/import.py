# ruff: noqa: N999  Django finds a command by the name of its module
"""`manage.py import`: brings a whole export back into an empty database."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from tasks_app.errors import CollectorError
from tasks_app.exports import restore
from tasks_app.exports.restore import Progress
from tasks_app.lifecycle import payloads
from tasks_app.management import output
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.management.step_progress import StepProgress


class Command(CollectorCommand):
    help = "Import a whole export into an empty database. An import that was interrupted goes on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of the export")
        parser.add_argument("--json", action="store_true", help="print JSON and nothing else")

    def run(self, *args: Any, folder: Path, json: bool, no_color: bool, **options: Any) -> None:
        self.json = json
        console = output.console(self.stdout, no_color)
        with StepProgress(console, disabled=json) as display:
            for step in restore.import_folder(folder):
                display.show(step.done, step.total, _describe(step))
        if json:
            payload = {"folder": str(folder.resolve()), "files": step.total, "rows": step.rows}
            self.stdout.write(payloads.dumps(payload), ending="\n")
        else:
            text = _("Imported: %(rows)s rows from %(files)s files.")
            console.print(text % {"rows": f"{step.rows:,}", "files": f"{step.total:,}"}, soft_wrap=True)

    def report_error(self, error: CollectorError) -> None:
        if self.json:
            self.stdout.write(payloads.dumps({"detail": str(error), "code": error.code}), ending="\n")


def _describe(step: Progress) -> str:
    counts = {"done": step.done, "total": step.total, "rows": f"{step.rows:,}"}
    if step.phase == restore.CHECKING:
        return _("%(done)d/%(total)d files checked") % counts
    return _("%(done)d/%(total)d files  %(rows)s rows") % counts
