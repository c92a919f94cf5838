"""`manage.py csvfolder preview`: what the source `csv` would make of a folder, before it is collected."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from tasks_app.conf import MARKETS
from tasks_app.lifecycle import payloads
from tasks_app.management import csv_preview, output
from tasks_app.sources.csv_folder.layout import scan


class Command(BaseCommand):
    help = "Show what the source csv would make of a folder of files. Exits 1 when a file can't be read."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        sub = verbs.add_parser(
            "preview", help="read every file and tell what is in it", description=self.help
        )
        sub.add_argument("folder", nargs="?", type=Path, help="the folder; COLLECTOR_CSV_DIR when left out")
        sub.add_argument("--market", choices=MARKETS, help="only the files of this market")
        sub.add_argument("--json", action="store_true", help="print JSON and nothing else")

    def handle(self, *args: Any, folder: Path | None, market: str | None, **options: Any) -> None:
        output.speak()
        place = folder or Path(settings.COLLECTOR.csv_dir)
        if not place.name and not folder:
            raise CommandError(_("Which folder? Name it, or set COLLECTOR_CSV_DIR."))
        try:
            layout = scan(place)
        except OSError as error:
            raise CommandError(f"{place}: {error.strerror}") from error
        previews = list(csv_preview.look(layout, market))
        if options["json"]:
            self.stdout.write(payloads.dumps(csv_preview.as_json(place, previews, layout)))
        else:
            console = output.console(self.stdout, options["no_color"])
            csv_preview.show(place, previews, layout, console)
        if not all(preview.reading for preview in previews):
            raise SystemExit(1)
