# ruff: noqa: N999  Django finds a command by the name of its module
"""`manage.py import`: brings a whole export back into an empty database, or discards such an import."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _, gettext_noop
from rich.console import Console

from tasks_app import time_zones
from tasks_app.errors import CollectorError
from tasks_app.exports import discard as discarding, restore
from tasks_app.exports.restore import Progress
from tasks_app.lifecycle import payloads
from tasks_app.management import output
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.management.step_progress import StepProgress


class Command(CollectorCommand):
    help = gettext_noop(
        "Import a whole export into an empty database. An import that was interrupted goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help=_("the folder of the export"), nargs="?")
        text = _("delete what an unfinished import has imported; counts it unless --yes is given")
        parser.add_argument("--discard", action="store_true", help=text)
        parser.add_argument("--yes", action="store_true", help=_("with --discard: delete it"))
        parser.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))

    def run(
        self, *args: Any, folder: Path | None, json: bool, no_color: bool, discard: bool, **options: Any
    ) -> None:
        self.json = json
        console = output.console(self.stdout, no_color)
        if discard == bool(folder) or (options["yes"] and not discard):
            raise CommandError(_("Give the folder of an export, or --discard without one."))
        if folder is None:
            self._discard(console, is_confirmed=options["yes"])
            return
        with StepProgress(console, disabled=json) as display:
            for step in restore.import_folder(folder):
                display.show(step.done, step.total, _describe(step))
        if json:
            payload = {"folder": str(folder.resolve()), "files": step.total, "rows": step.rows}
            self.stdout.write(payloads.dumps(payload), ending="\n")
        else:
            text = _("Imported. Rows: %(rows)s, files: %(files)s.")
            console.print(text % {"rows": f"{step.rows:,}", "files": f"{step.total:,}"}, soft_wrap=True)

    def _discard(self, console: Console, *, is_confirmed: bool) -> None:
        record, counts, deleted = discarding.find(), discarding.count_rows(), 0
        if not self.json:
            rows = ", ".join(f"{name} {count:,}" for name, count in counts.items()) or _("none")
            text = _("The import of %(folder)s, begun at %(at)s, is unfinished. Rows to delete: %(rows)s.")
            values = {"folder": record.folder, "at": time_zones.write(record.at), "rows": rows}
            console.print(text % values, soft_wrap=True)
        if is_confirmed:
            with StepProgress(console, disabled=self.json) as display:
                for step in discarding.discard():
                    display.show(step.done, step.total, f"{step.rows:,}")
                    deleted = step.rows
        if self.json:
            payload = {"folder": record.folder, "rows": counts, "discarded": is_confirmed, "deleted": deleted}
            self.stdout.write(payloads.dumps(payload), ending="\n")
        elif is_confirmed:
            console.print(_("Discarded. Deleted rows: %(rows)s.") % {"rows": f"{deleted:,}"}, soft_wrap=True)
        else:
            console.print(_("Nothing was deleted. To delete it, add --yes."), soft_wrap=True)

    def report_error(self, error: CollectorError) -> None:
        if self.json:
            self.stdout.write(payloads.dumps({"detail": str(error), "code": error.code}), ending="\n")


def _describe(step: Progress) -> str:
    counts = {"done": step.done, "total": step.total, "rows": f"{step.rows:,}"}
    if step.phase == restore.CHECKING:
        return _("%(done)d/%(total)d files checked") % counts
    return _("%(done)d/%(total)d files  %(rows)s rows") % counts
