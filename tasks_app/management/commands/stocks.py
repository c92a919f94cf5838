"""`manage.py stocks`: the list of a market's stocks, from a source or from a file."""

from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.conf import MARKETS
from tasks_app.engine import item_planner
from tasks_app.management import cli_errors, csv_import, output
from tasks_app.management.csv_import import Sheet
from tasks_app.market import calendars, codes, stock_list
from tasks_app.market.stock_list import Synced
from tasks_app.orders import order
from tasks_app.sources.base import SourceError, Symbol

FILE = "file"  # what stands for the source of a list from a file


def _symbol(values: dict[str, str]) -> Symbol:
    if not codes.is_code(values["code"].upper()):
        raise ValueError(_("“%(text)s” is no stock code") % {"text": values["code"]})
    return Symbol(
        values["code"].upper(),
        values.get("name", ""),
        values.get("exchange", ""),
        _day(values.get("listed_on", "")),
        _day(values.get("delisted_on", "")),
    )


def _day(text: str) -> date | None:
    return csv_import.day(text) if text else None


STOCKS = Sheet(
    {
        "code": ("code", "symbol", "ts_code", "代码", "证券代码", "股票代码"),
        "name": ("name", "名称", "证券简称", "证券名称", "股票名称"),
        "exchange": ("exchange", "交易所"),
        "listed_on": ("listed_on", "listing_date", "ipodate", "上市日期"),
        "delisted_on": ("delisted_on", "delisting_date", "outdate", "退市日期"),
    },
    ("code",),
    _symbol,
)


class Command(BaseCommand):
    help = "Synchronise the stocks of a market with a source's list, or import them from a CSV file."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        sync = verbs.add_parser("sync", help="ask a source for its list")
        sync.add_argument("--source", default="", help="default: the one that serves the market")
        load = verbs.add_parser(
            "import", help="read code,name,exchange,listed_on,delisted_on from a CSV file"
        )
        load.add_argument("file", type=Path, metavar="FILE", help="UTF-8 or GBK; only the code is required")
        for sub in (sync, load):
            sub.add_argument("--market", required=True, type=str.upper, choices=MARKETS)
            text = "store the list even if it is over a tenth shorter than the last one"
            sub.add_argument("--accept-shrink", action="store_true", help=text)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        output.speak()
        try:
            with cli_errors.answering():
                synced = self._import(options) if verb == "import" else self._sync(options)
        except errors.CollectorError as error:
            raise CommandError(str(error)) from error
        except SourceError as error:
            raise CommandError(self._told(error)) from error
        counts = {name: f"{count:,}" for name, count in vars(synced).items()}
        text = _("Stocks listed: %(size)s; new: %(added)s, renamed: %(renamed)s, delisted: %(delisted)s.")
        self.stdout.write(text % counts)

    def _sync(self, options: dict[str, Any]) -> Synced:
        conf, market = settings.COLLECTOR, options["market"]
        source = order.source_of(market, options["source"], conf).name
        symbols = item_planner.ask_now(source, market, conf)
        return self._store(source, symbols, options)

    def _import(self, options: dict[str, Any]) -> Synced:
        return self._store(FILE, STOCKS.rows(options["file"]), options)

    def _store(self, source: str, symbols: Any, options: dict[str, Any]) -> Synced:
        market, accept = options["market"], options["accept_shrink"]
        today = calendars.market_today(market)
        return stock_list.store(market, source, symbols, today=today, accept_shrink=accept)

    def _told(self, error: SourceError) -> str:
        hint = _("If that is right, add --accept-shrink.") if error.code == "stock_list_shrank" else ""
        return " ".join(filter(None, (errors.reason(error.code), str(error), hint)))
