"""`manage.py stocks`: a market's stock list, and the codes under which its stocks are known."""

from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _, gettext_noop, ngettext

from tasks_app import command_lines, errors, reasons, time_zones
from tasks_app.conf import ALL_MARKETS, MARKETS
from tasks_app.engine import item_planner
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.market import code_changes, codes, stock_files, stock_imports, stock_list
from tasks_app.market.stock_list import SyncResult
from tasks_app.models import CodeAlias, CodeChange, StockImport
from tasks_app.models.quotes import ORDER_KINDS, InstrumentKind
from tasks_app.orders import order
from tasks_app.sentences import join_sentences
from tasks_app.sources import registry
from tasks_app.sources.base import SourceError
from tasks_app.sources.market_time import market_today

MAX_SHOWN = 20  # imports


class Command(CollectorCommand):
    help = gettext_noop(
        "Synchronise the stocks of a market with a source's list, import or undo lists, name other codes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        sync = verbs.add_parser("sync", help=_("read the list of a source"))
        sync.add_argument("--source", default="", help=_("default: the one that serves the market"))
        sync.add_argument(
            "--kind", choices=[kind.value for kind in ORDER_KINDS], default="stock", help=_("default: stock")
        )
        load = verbs.add_parser(
            "import", help=_("read code,name,exchange,listed_on,delisted_on from a CSV file")
        )
        load.add_argument(
            "file", type=Path, metavar="FILE", help=_("UTF-8 or GBK; only the code is required")
        )
        text = _("numbers of less than six digits are A-shares that lost their leading zeros")
        load.add_argument("--pad-codes", action="store_true", help=text)
        undo = verbs.add_parser("undo", help=_("undo an import; without a number, list the imports"))
        undo.add_argument("import_id", type=int, nargs="?", metavar="NUMBER")
        alias = verbs.add_parser(
            "alias", help=_("let a text stand for a code; without one, list the aliases")
        )
        alias.add_argument("alias", nargs="?", metavar="ALIAS")
        alias.add_argument("code", nargs="?", metavar="CODE", help=_("without it, the alias is removed"))
        changes = verbs.add_parser(
            "changes",
            help=_("read old_code,new_code,changed_on from a CSV file; without one, list the changes"),
        )
        changes.add_argument("file", type=Path, nargs="?", metavar="FILE")
        text = _("day of the change, for lines without changed_on")
        changes.add_argument("--on", type=date.fromisoformat, metavar="YYYY-MM-DD", help=text)
        changes.add_argument("--remove", metavar="OLD_CODE", help=_("remove the change of this code"))
        for sub, markets in ((sync, ALL_MARKETS), *((sub, MARKETS) for sub in (load, alias, changes))):
            sub.add_argument("--market", required=True, type=str.upper, choices=markets)
        for sub in (sync, load):
            text = _("store the list even if it is over a tenth shorter than the last one")
            sub.add_argument("--accept-shrink", action="store_true", help=text)

    def run(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(**options)
        except SourceError as error:
            hint = _("If that is right, add --accept-shrink.") if error.code == "stock_list_shrank" else ""
            text = join_sentences(reasons.translated_reason(error.code), error, hint)
            raise CommandError(text) from error

    def _sync(self, *, market: str, source: str, kind: str, accept_shrink: bool, **_: Any) -> None:
        conf = settings.COLLECTOR
        source = order.find_source(market, source, conf).name
        if not registry.traits(source, conf).serves_kind(market, kind):
            raise errors.KindNotServed(source=source, market=market, kind=InstrumentKind(kind).label)
        symbols = item_planner.fetch_stock_list_now(source, market, conf, kind)
        accept_shrink = accept_shrink or registry.traits(source, conf).list_is_free
        today = market_today(market)
        options: dict[str, Any] = {"today": today, "kind": kind, "accept_shrink": accept_shrink}
        self._print_counts(stock_list.sync(market, source, symbols, **options))

    def _import(self, *, market: str, file: Path, pad_codes: bool, accept_shrink: bool, **__: Any) -> None:
        rows = stock_files.stock_schema(market, pad_codes=pad_codes).rows(file)
        symbols = [symbol for symbol in rows if symbol]
        record, synced = stock_imports.import_stocks(
            market, file.name, symbols, today=market_today(market), accept_shrink=accept_shrink
        )
        self._print_counts(synced)
        if left_out := len(rows) - len(symbols):
            text = _("Lines left out because their code is an index's or a bond's: %(count)d.")
            self.stdout.write(text % {"count": left_out})
        if record.pk:
            text = _("To undo this import: %(manage)s stocks undo %(id)d")
            self.stdout.write(text % {"manage": command_lines.manage(), "id": record.pk})

    def _undo(self, *, import_id: int | None, **__: Any) -> None:
        if import_id is None:
            for row in StockImport.objects.order_by("-pk")[:MAX_SHOWN]:
                state = _("undone") if row.undone_at else ""
                count = ngettext("%(count)d stock", "%(count)d stocks", len(row.changes))
                changes = count % {"count": len(row.changes)}
                self.stdout.write(f"{row.pk}  {time_zones.write(row.at)}  {row}  {changes}  {state}".rstrip())
            return
        result = stock_imports.undo(import_id)
        text = _("Stocks removed: %(removed)d; with their earlier values: %(restored)d; unchanged: %(kept)d.")
        self.stdout.write(text % vars(result))

    def _alias(self, *, market: str, alias: str | None, code: str | None, **__: Any) -> None:
        if alias and code:
            codes.add_alias(market, alias, code)
        elif alias:
            codes.remove_alias(market, alias)
        for row in CodeAlias.objects.filter(market=market).order_by("alias"):
            self.stdout.write(str(row))

    def _changes(
        self, *, market: str, file: Path | None, on: date | None, remove: str | None, **__: Any
    ) -> None:
        if remove:
            code_changes.remove_change(market, codes.read_code(market, remove))
        if file:
            pairs = stock_files.change_schema(market, on).rows(file)
            text = _("Changes of codes stored: %(count)d.")
            self.stdout.write(text % {"count": code_changes.store_changes(market, pairs)})
            return
        for row in CodeChange.objects.filter(market=market).order_by("changed_on", "old_code"):
            self.stdout.write(f"{row}  {row.changed_on}")

    def _print_counts(self, synced: SyncResult) -> None:
        names = ("size", "added", "renamed", "delisted")
        text = _("Stocks listed: %(size)s; new: %(added)s, renamed: %(renamed)s, delisted: %(delisted)s.")
        self.stdout.write(text % {name: f"{getattr(synced, name):,}" for name in names})
