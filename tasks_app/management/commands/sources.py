"""`manage.py sources`: lists the sources, checks what one can do here, and replays its raw answers."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils.translation import get_language, gettext as _, gettext_noop
from rich.box import SIMPLE
from rich.table import Table

from tasks_app import errors
from tasks_app.engine import source_check
from tasks_app.engine.source_check import CapabilityCheck
from tasks_app.lifecycle import payloads, source_checks
from tasks_app.management import output, replay_view
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.orders import order as orders
from tasks_app.throttle import source_list
from tasks_app.throttle.source_list import SourceEntry


class Command(CollectorCommand):
    help = gettext_noop("List the sources, check what one of them can do here, or replay its raw answers.")

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        text = _("list the sources, and why some can't be used")
        listing = verbs.add_parser("list", help=text, description=text)
        text = _("make one small request for each capability; exits with 1 unless all of them work")
        check = verbs.add_parser("check", help=text, description=text)
        check.add_argument("name", help=_("the source's name"))
        check.add_argument(
            "--market", default="", type=str.upper, help=_("default: the source's first market")
        )
        text = _(
            "derive bars again from the raw answers that are kept, without asking anybody; lists what changes"
        )
        again = verbs.add_parser("replay", help=text, description=text)
        replay_view.add_arguments(again)
        for sub in (listing, check, again):
            sub.add_argument("--json", action="store_true", help=_("print JSON and nothing else"))

    def run(self, *args: Any, verb: str, json: bool, no_color: bool, **options: Any) -> None:
        self.json, self.console = json, output.console(self.stdout, no_color)
        if verb == "list":
            self._list()
        elif verb == "replay":
            self._replay(options)
        else:
            self._check(options["name"], options["market"])

    def report_error(self, error: errors.CollectorError) -> None:
        if self.json:
            self._print_json({"detail": str(error), "code": error.code})

    def _list(self) -> None:
        entries = source_list.all_sources(settings.COLLECTOR)
        if self.json:
            self._print_json([asdict(entry) for entry in entries])
            return
        table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
        for title in (_("source"), _("markets"), _("what it has"), _("status")):
            table.add_column(title, overflow="fold")
        for entry in entries:
            has = ", ".join(entry.capabilities)
            table.add_row(entry.name, " ".join(entry.markets), has, _status_text(entry))
        self.console.print(table)

    def _check(self, name: str, market: str) -> None:
        conf = settings.COLLECTOR
        source = orders.get_source(name, conf)
        market = market or source.markets[0]
        orders.check_market(market, source)
        checks = []
        for check in source_check.check_source(name, market, conf):
            checks.append(check)
            if not self.json:
                self.console.print(_line(check), soft_wrap=True)
        works = all(check.works for check in checks)
        rows = [{**asdict(check), "works": check.works} for check in checks]
        source_checks.record(name, market, rows, get_language() or "en")
        if self.json:
            self._print_json({"source": name, "market": market, "works": works, "checks": rows})
        if not works:
            raise SystemExit(1)

    def _replay(self, options: dict[str, Any]) -> None:
        self.console.quiet = self.json
        confirm = self.console.is_terminal and not self.json
        payload = replay_view.run(self.console, settings.COLLECTOR, options, confirm)
        if self.json:
            self._print_json(payload)

    def _print_json(self, payload: object) -> None:
        self.stdout.write(payloads.dumps(payload), ending="\n")


def _line(check: CapabilityCheck) -> str:
    name = f"{check.market} {check.capability:<8}"
    if check.is_skipped or check.is_empty:
        return f"–  {name} {check.found}"
    result = check.found if check.works else f"{check.error_code}: {check.error}"
    return f"{'✓' if check.works else '✗'}  {name} {check.seconds:6.2f} s  {result}"


def _status_text(entry: SourceEntry) -> str:
    return entry.problem or _("ready")
