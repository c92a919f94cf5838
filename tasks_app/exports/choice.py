"""What a user chose to export, as commands and the API name it."""

from collections.abc import Sequence
from datetime import date

from tasks_app.errors import ReversedDates
from tasks_app.exports.errors import CodesWithoutMarket
from tasks_app.exports.layouts import require_exportable
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.history.versions import moment_of
from tasks_app.market import codes


def choose(
    *,
    layout: str = PARQUET,
    market: str = "",
    adjust: str | None = None,
    stock_codes: Sequence[str] | None = None,
    start_date: date | None = None,
    end_date: date | None = None,
    as_of: str = "",
) -> Selection:
    """Returns the selection: codes in any spelling of the market, both days included, `as_of` a moment.

    Raises `ReversedDates`, `CodesWithoutMarket`, `NoSuchStocks`, the errors of codes and of moments, and
    `ExportError` for what the layout can't hold.
    """
    if start_date and end_date and end_date < start_date:
        raise ReversedDates(start=start_date, end=end_date)
    if stock_codes and not market:
        raise CodesWithoutMarket
    selection = Selection(
        layout=layout,
        market=market,
        adjust=adjust,
        codes=codes.require_stored(market, stock_codes) if stock_codes else (),
        first=start_date,
        last=end_date,
        as_of=moment_of(as_of).number if as_of else None,
    )
    require_exportable(selection)
    return selection
