"""`manage.py export`: writes stored data into a folder, and only what has changed since the last time."""

import math
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _, gettext_lazy, gettext_noop
from rich.console import Console

from tasks_app.conf import ADJUSTS, ALL_MARKETS
from tasks_app.errors import CollectorError
from tasks_app.exports import jobs
from tasks_app.exports.choice import choose
from tasks_app.exports.errors import ExportInterrupted
from tasks_app.exports.jobs import StaleExport
from tasks_app.exports.layouts import LAYOUTS
from tasks_app.exports.run import SCANNING, WRITING, ExportRun, Progress
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.lifecycle import payloads
from tasks_app.lifecycle.events import Actor
from tasks_app.management import cli_arguments, output
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.management.step_progress import StepProgress
from tasks_app.models import Export
from tasks_app.models.events import Channel

ACTOR = Actor(Channel.COMMAND)


class ExportCancelled(CollectorError):
    code = "export_cancelled"
    template = gettext_lazy("The export was cancelled. What was exported before stays as it is.")


class Command(CollectorCommand):
    help = gettext_noop(
        "Write stored data into a folder; what has not changed since the last export is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        day: dict[str, Any] = {"type": cli_arguments.iso_day, "metavar": "YYYY-MM-DD"}
        parser.add_argument("--out", required=True, type=Path, metavar="DIR", help=_("made if it is missing"))
        text = _("parquet without a restriction is a whole export, which can be imported (default: parquet)")
        parser.add_argument("--format", choices=list(LAYOUTS), default=PARQUET, help=text)
        parser.add_argument(
            "--market", default="", type=str.upper, choices=ALL_MARKETS, help=_("default: all")
        )
        parser.add_argument("--adjust", choices=[each or "none" for each in ADJUSTS], help=_("default: all"))
        parser.add_argument("--start", **day, help=_("first day"))
        parser.add_argument("--end", **day, help=_("last day"))
        parser.add_argument(
            "--codes",
            nargs="+",
            action="extend",
            default=[],
            metavar="CODE",
            help=_("only these, separated by commas or spaces; @FILE reads them from a file"),
        )
        text = _("the bars stored then: a day (its end in UTC), a time with offset, or a change's number")
        parser.add_argument("--as-of", default="", metavar="MOMENT", help=text)
        text = _("have the workers do it, and return at once; DIR must be theirs, too")
        parser.add_argument("--background", action="store_true", help=text)
        parser.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))

    def run(self, *args: Any, out: Path, json: bool, no_color: bool, **options: Any) -> None:
        self.json = json
        console = output.console(self.stdout, no_color)
        folder, selection = out.resolve(), _selection(options)
        if options["background"]:
            export = jobs.start(folder, selection, ACTOR)
            text = _("Started: export %(id)d. The page “Exports” shows how far it is.") % {"id": export.pk}
            payload: dict[str, Any] = {"id": export.pk, "folder": str(folder), "state": export.state}
            self.stdout.write(payloads.dumps(payload) if json else text, ending="\n")
            return
        with StepProgress(console, disabled=json) as display:
            run = _export(jobs.start(folder, selection, ACTOR, is_queued=False), display)
        if json:
            self.stdout.write(payloads.dumps(_payload(run)), ending="\n")
        else:
            _print_end(console, run)

    def report_error(self, error: CollectorError) -> None:
        if self.json:
            self.stdout.write(payloads.dumps({"detail": str(error), "code": error.code}), ending="\n")


def _export(export: Export, display: StepProgress) -> ExportRun:
    """Runs an export to its end, which its row records."""
    worker = jobs.Worker(export)
    try:
        worker.work(math.inf, lambda step: display.show(step.done, step.total, _describe(step)))
    except StaleExport:
        raise ExportCancelled from None
    except CollectorError as error:
        jobs.fail(export, error)
        raise
    except KeyboardInterrupt:
        jobs.fail(export, ExportInterrupted())
        raise ExportInterrupted from None
    jobs.complete(export, worker.run)
    return worker.run


def _selection(options: dict[str, Any]) -> Selection:
    """Returns what the options select. Raises `CollectorError`."""
    return choose(
        layout=options["format"],
        market=options["market"],
        adjust=None if options["adjust"] is None else options["adjust"].replace("none", ""),
        stock_codes=cli_arguments.read_codes(options["codes"]),
        start_date=options["start"],
        end_date=options["end"],
        as_of=options["as_of"],
    )


def _describe(step: Progress) -> str:
    if step.phase == SCANNING:
        return _("looking for changes")
    if step.phase == WRITING:
        counts = {"done": step.done, "total": step.total, "rows": f"{step.rows:,}"}
        return _("%(done)d/%(total)d parts  %(rows)s rows") % counts
    return _("putting the files in place")


def _payload(export: ExportRun) -> dict[str, Any]:
    manifest = export.manifest
    return {
        "folder": str(export.folder.path.resolve()),
        "selection": manifest.selection,
        "exported_at": manifest.exported_at,
        "is_consistent": manifest.is_consistent,
        "checksum": manifest.checksum,
        "parts": len(manifest.parts),
        "rows": manifest.rows,
        "written_parts": export.written,
    }


def _print_end(console: Console, export: ExportRun) -> None:
    manifest = export.manifest
    counts = {
        "rows": f"{manifest.rows:,}",
        "parts": f"{len(manifest.parts):,}",
        "written": f"{export.written:,}",
    }
    text = _("Rows of the export: %(rows)s. Parts: %(parts)s, of which written anew: %(written)s.")
    console.print(text % counts, soft_wrap=True)
    console.print(_("Checksum: %(checksum)s") % {"checksum": manifest.checksum}, soft_wrap=True)
    if not manifest.is_consistent:
        text = _(
            "Data were stored meanwhile, so the parts are of different moments. For one moment, run it again "
            "while nothing is collected."
        )
        console.print(text, soft_wrap=True)
