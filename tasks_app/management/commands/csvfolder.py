"""`manage.py csvfolder`: shows how the source `csv` would read a folder, and verifies what it has stored."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _, gettext_noop
from rich.box import SIMPLE
from rich.table import Table

from tasks_app.conf import ADJUSTS, MARKETS
from tasks_app.engine.sample_check import StockCheck, check_sample
from tasks_app.lifecycle import payloads
from tasks_app.management import csv_preview, output
from tasks_app.management.cli_errors import TranslatedCommand
from tasks_app.sources import registry
from tasks_app.sources.csv_folder.layout import scan_folder
from tasks_app.sources.csv_folder.problems import UnreadableFile


class Command(TranslatedCommand):
    help = gettext_noop(
        "Show how the source csv would read a folder of files, and verify a sample of what it stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        text = _("Read every file and show its content. Exits 1 when a file can't be read.")
        sub = verbs.add_parser("preview", help=_("read every file and show its content"), description=text)
        sub.add_argument("folder", nargs="?", type=Path, help=_("default: COLLECTOR_CSV_DIR"))
        sub.add_argument("--market", choices=MARKETS, help=_("only the files of this market"))
        sub.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))
        text = _("Compare a random sample of stocks with another source. Exits 1 unless all days agree.")
        sub = verbs.add_parser("verify", help=_("compare a sample of stocks with a source"), description=text)
        sub.add_argument(
            "--source", required=True, help=_("the source to compare with: one request per stock")
        )
        sub.add_argument("--market", choices=MARKETS, default="CN", help=_("default: CN"))
        sub.add_argument("--adjust", choices=ADJUSTS, default="", help=_("default: unadjusted"))
        sub.add_argument("--stocks", type=int, default=20, help=_("how many stocks (20)"))
        sub.add_argument("--days", type=int, default=60, help=_("how many of their newest bars (60)"))
        sub.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        is_good = self._preview(**options) if verb == "preview" else self._verify(**options)
        if not is_good:
            raise SystemExit(1)

    def _preview(self, folder: Path | None, market: str | None, **options: Any) -> bool:
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
        return not preview["unreadable"]

    def _verify(self, source: str, market: str, adjust: str, stocks: int, days: int, **options: Any) -> bool:
        available = registry.available(settings.COLLECTOR)
        if source not in available or market not in available[source].markets:
            names = [name for name, each in available.items() if market in each.markets]
            text = _("No source “%(source)s” serves the market %(market)s. Available sources: %(known)s.")
            raise CommandError(text % {"source": source, "market": market, "known": ", ".join(names)})
        if stocks < 1 or days < 1:
            raise CommandError(_("--stocks and --days must be at least 1."))
        of, conf = "csv", settings.COLLECTOR
        sample = check_sample(market, adjust, of=of, by=source, stocks=stocks, days=days, conf=conf)
        checks = list(sample)
        if options["json"]:
            rows = [asdict(check) | {"is_equal": check.is_equal} for check in checks]
            self.stdout.write(payloads.dumps({"market": market, "source": source, "stocks": rows}))
        else:
            self._print(checks, source, no_color=options["no_color"])
        return bool(checks) and all(check.is_equal for check in checks)

    def _print(self, checks: list[StockCheck], source: str, *, no_color: bool) -> None:
        console = output.console(self.stdout, no_color)
        if not checks:
            console.print(_("The source csv has stored no bars of this market and adjustment."))
            return
        table = Table(box=SIMPLE)
        for heading in (_("code"), _("days"), _("result")):
            table.add_column(heading, overflow="fold")
        for check in checks:
            table.add_row(check.code, str(check.days), _describe(check))
        console.print(table)
        equal = sum(check.is_equal for check in checks)
        text = _("%(equal)d of %(stocks)d stocks agree with the source %(source)s on all days.")
        console.print(text % {"equal": equal, "stocks": len(checks), "source": source})


def _describe(check: StockCheck) -> str:
    """Returns the result of a stock in words."""
    if check.error:
        return _("not compared: %(reason)s") % {"reason": check.error}
    texts = []
    if check.differing:
        texts.append(_("days that differ: %(count)d") % {"count": check.differing})
    for day, columns in check.differences:
        values = ", ".join(f"{name} {mine} ≠ {other}" for name, (mine, other) in columns.items())
        texts.append(f"{day}: {values}")
    if check.lacking:
        days = ", ".join(map(str, check.lacking[:3])) + " …" * (len(check.lacking) > 3)
        text = _("days that the other source lacks: %(count)d (%(days)s)")
        texts.append(text % {"count": len(check.lacking), "days": days})
    return "\n".join(texts) or _("equal")
