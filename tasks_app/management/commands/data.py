"""`manage.py data delete`: deletes what a source stored, after saying what that is."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _, gettext_noop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tasks_app import lifecycle
from tasks_app.conf import ALL_MARKETS
from tasks_app.errors import CollectorError, ReversedDates
from tasks_app.lifecycle import payloads
from tasks_app.lifecycle.events import Actor
from tasks_app.management import cli_arguments, output
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.models import DataDeletion
from tasks_app.models.events import Channel
from tasks_app.quotes import deletion
from tasks_app.quotes.deletion import Contents, Selection

ACTOR = Actor(Channel.COMMAND)
COUNTS = ("series", "bars", "corrections", "findings", "adjustments", "raw_answers", "stocks")


class Command(CollectorCommand):
    help = gettext_noop("Delete what a source stored. Says first what that is; deletes it only with --yes.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        sub = verbs.add_parser("delete", help=_("delete what a source stored"), description=self.help)
        sub.add_argument(
            "--source", required=True, help=_("the source's name; it need not be installed any more")
        )
        sub.add_argument(
            "--market", default="", type=str.upper, choices=ALL_MARKETS, help=_("default: all markets")
        )
        sub.add_argument(
            "--start-date", type=cli_arguments.iso_day, metavar="DAY", help=_("first day, YYYY-MM-DD")
        )
        sub.add_argument(
            "--end-date", type=cli_arguments.iso_day, metavar="DAY", help=_("last day, YYYY-MM-DD")
        )
        sub.add_argument("--yes", action="store_true", help=_("delete it; otherwise it is only counted"))
        sub.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))

    def run(self, *args: Any, yes: bool, json: bool, no_color: bool, **options: Any) -> None:
        self.json = json
        first, last = options["start_date"], options["end_date"]
        if first and last and last < first:
            raise ReversedDates(start=first, end=last)
        selection = Selection(options["source"], options["market"], first, last)
        contents = deletion.count_contents(selection)
        console = output.console(self.stdout, no_color)
        if not json:
            _print_contents(console, contents)
        record = _delete(console, selection, contents) if yes and not contents.is_empty else None
        if json:
            self.stdout.write(payloads.dumps(_payload(selection, contents, record)), ending="\n")
        elif record:
            console.print(_deleted(record), soft_wrap=True)
        elif not contents.is_empty:
            console.print(_("Nothing was deleted. To delete it, add --yes."), soft_wrap=True)

    def report_error(self, error: CollectorError) -> None:
        if self.json:
            self.stdout.write(payloads.dumps({"detail": str(error), "code": error.code}), ending="\n")


def _print_contents(console: Console, contents: Contents) -> None:
    if contents.is_empty:
        console.print(_("The source has stored nothing of this."))
    for each in contents.markets:
        text = _("%(market)s: bars %(bars)s, series %(series)s, %(first)s to %(last)s")
        values = {**vars(each), "bars": f"{each.bars:,}", "series": f"{each.series:,}"}
        console.print(text % values, soft_wrap=True)
    names = ("corrections", "findings", "adjustments", "lists", "raw_answers")
    rest = {name: getattr(contents, name) for name in names}
    if any(rest.values()):
        text = _(
            "Also: corrections %(corrections)s, findings %(findings)s, "
            "tables of adjustment factors or corporate actions %(adjustments)s, stock lists %(lists)s, "
            "raw answers %(raw_answers)s."
        )
        console.print(text % {name: f"{count:,}" for name, count in rest.items()}, soft_wrap=True)


def _delete(console: Console, selection: Selection, contents: Contents) -> DataDeletion:
    """Deletes batch by batch, with a progress bar on a terminal."""
    columns = (BarColumn(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        row = progress.add_task("", total=contents.bars, text="")
        for record in lifecycle.delete_source_data(selection, ACTOR):
            progress.update(row, completed=record.bars, text=_deleted(record), refresh=True)
    return record


def _deleted(record: DataDeletion) -> str:
    text = _(
        "Deleted: bars %(bars)s in %(series)s series, corrections %(corrections)s, findings %(findings)s, "
        "tables of adjustment factors or corporate actions %(adjustments)s, raw answers %(raw_answers)s, "
        "made-up stocks %(stocks)s."
    )
    return text % {name: f"{getattr(record, name):,}" for name in COUNTS}


def _payload(selection: Selection, contents: Contents, record: DataDeletion | None) -> dict[str, Any]:
    return {
        "source": selection.source,
        "market": selection.market or None,
        "start_date": selection.first,
        "end_date": selection.last,
        "found": {
            "markets": [vars(each) for each in contents.markets],
            "corrections": contents.corrections,
            "findings": contents.findings,
            "adjustments": contents.adjustments,
            "stock_lists": contents.lists,
            "raw_answers": contents.raw_answers,
        },
        "deleted": record and {name: getattr(record, name) for name in COUNTS},
    }
