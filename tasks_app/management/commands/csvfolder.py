"""`manage.py csvfolder preview`: shows how the source `csv` would read a folder."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from tasks_app.conf import MARKETS
from tasks_app.lifecycle import payloads
from tasks_app.management import csv_preview, output
from tasks_app.sources.csv_folder.layout import scan_folder
from tasks_app.sources.csv_folder.problems import UnreadableFile


class Command(BaseCommand):
    help = "Show how the source csv would read a folder of files. Exits 1 when a file can't be read."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        sub = verbs.add_parser("preview", help="read every file and show its content", description=self.help)
        sub.add_argument("folder", nargs="?", type=Path, help="default: COLLECTOR_CSV_DIR")
        sub.add_argument("--market", choices=MARKETS, help="only the files of this market")
        sub.add_argument("--json", action="store_true", help="print JSON and nothing else")

    def handle(self, *args: Any, folder: Path | None, market: str | None, **options: Any) -> None:
        output.activate_terminal_language()
        path = folder or Path(settings.COLLECTOR.csv_dir)
        if not path.name and not folder:
            raise CommandError(_("Which folder? Name one, or set COLLECTOR_CSV_DIR."))
        try:
            layout = scan_folder(path)
            unit = settings.COLLECTOR.csv_volume_unit
            preview = csv_preview.preview_folder(path, layout, market, unit)
        except UnreadableFile as error:
            raise CommandError(f"{path}: {error.problems[0].describe(_)}") from error
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        if options["json"]:
            self.stdout.write(payloads.dumps(preview))
        else:
            csv_preview.print_preview(preview, output.console(self.stdout, options["no_color"]))
        if preview["unreadable"]:
            raise SystemExit(1)
