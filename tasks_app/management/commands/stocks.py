"""`manage.py stocks`: stores a market's stock list, from a source or from a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.conf import ALL_MARKETS, MARKETS
from tasks_app.engine import item_planner
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.market import codes, csv_import, stock_list
from tasks_app.market.csv_import import CsvSchema
from tasks_app.orders import order
from tasks_app.sources import registry
from tasks_app.sources.base import SourceError, Symbol
from tasks_app.sources.market_time import market_today

IMPORTED = "file"  # the "source" of a list that was imported


def _parse_symbol(values: dict[str, str]) -> Symbol:
    code = values["code"].upper()
    if not codes.is_code(code):
        raise ValueError(_("“%(text)s” is not a stock code") % {"text": values["code"]})
    listed_on, delisted_on = (
        csv_import.parse_day(text) if (text := values.get(column, "")) else None
        for column in ("listed_on", "delisted_on")
    )
    return Symbol(code, values.get("name", ""), values.get("exchange", ""), listed_on, delisted_on)


STOCKS = CsvSchema(
    {
        "code": ("code", "symbol", "ts_code", "代码", "证券代码", "股票代码"),
        "name": ("name", "名称", "证券简称", "证券名称", "股票名称"),
        "exchange": ("exchange", "交易所"),
        "listed_on": ("listed_on", "listing_date", "ipodate", "上市日期"),
        "delisted_on": ("delisted_on", "delisting_date", "outdate", "退市日期"),
    },
    ("code",),
    _parse_symbol,
)


class Command(CollectorCommand):
    help = "Synchronise the stocks of a market with a source's list, or import them from a CSV file."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        sync = verbs.add_parser("sync", help="read the list of a source")
        sync.add_argument("--source", default="", help="default: the one that serves the market")
        load = verbs.add_parser(
            "import", help="read code,name,exchange,listed_on,delisted_on from a CSV file"
        )
        load.add_argument("file", type=Path, metavar="FILE", help="UTF-8 or GBK; only the code is required")
        for sub, markets in ((sync, ALL_MARKETS), (load, MARKETS)):
            sub.add_argument("--market", required=True, type=str.upper, choices=markets)
            text = "store the list even if it is over a tenth shorter than the last one"
            sub.add_argument("--accept-shrink", action="store_true", help=text)

    def run(self, *args: Any, verb: str, market: str, accept_shrink: bool, **options: Any) -> None:
        try:
            if verb == "import":
                source = IMPORTED
                symbols: Sequence[Symbol] = STOCKS.rows(options["file"])
            else:
                conf = settings.COLLECTOR
                source = order.find_source(market, options["source"], conf).name
                symbols = item_planner.fetch_stock_list_now(source, market, conf)
                accept_shrink = accept_shrink or registry.traits(source, conf).list_is_free
            today = market_today(market)
            synced = stock_list.sync(market, source, symbols, today=today, accept_shrink=accept_shrink)
        except SourceError as error:
            hint = _("If that is right, add --accept-shrink.") if error.code == "stock_list_shrank" else ""
            text = " ".join(filter(None, (errors.translated_reason(error.code), str(error), hint)))
            raise CommandError(text) from error
        counts = {name: f"{count:,}" for name, count in vars(synced).items()}
        text = _("Stocks listed: %(size)s; new: %(added)s, renamed: %(renamed)s, delisted: %(delisted)s.")
        self.stdout.write(text % counts)
