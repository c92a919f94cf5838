"""What a bulk read is asked for: the market, the stocks, the days, the columns, the layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from tasks_app.history.versions import Moment

PRICE_COLUMNS = ("open", "high", "low", "close")
DEFAULT_COLUMNS = ("code", "day", *PRICE_COLUMNS, "volume", "amount")
NULLABLE_FLOATS = (
    *("prev_close", "amount", "amplitude", "change", "change_pct", "turnover"),
    *("limit_up", "limit_down"),
)
FLOATS = (*PRICE_COLUMNS, *NULLABLE_FLOATS)
STORED_COLUMNS = ("day", *FLOATS, "volume", "is_st", "source", "collected_at")
# Of a whole series: the code that bars are stored under, and where its prices come from.
SERIES_COLUMNS = ("code", "stored_code", "adjust", "basis", "factor_source", "factors_at")
COLUMNS = (
    *("code", "day", *PRICE_COLUMNS, "prev_close", "volume", "amount", "amplitude", "change", "change_pct"),
    *("turnover", "is_st", "limit_up", "limit_down", "source", "collected_at"),
    *SERIES_COLUMNS[1:],
)
LONG, WIDE = LAYOUTS = ("long", "wide")
PANEL_COLUMNS = (*FLOATS, "volume", "is_st")  # of which a panel has one
MAX_PANEL_CODES = 10_000  # columns; more take more memory, whatever the number of days
COMPRESSIONS = ("lz4", "zstd", "none")


@dataclass(frozen=True)
class BulkQuery:
    """The bars of a market's stocks in the order of (code, day).

    `codes` None means all stocks with bars in this adjustment; then each bar comes once, under the code that
    its security has now. `start` and `end` are days, both included. `after` is the code and day of the last
    bar that the reader already has: only later ones in the order come. `basis` and `joined` mean what they
    mean for the bars of one stock.

    With the layout `WIDE` it is a panel: a row for each day with bars, in their order, and a column for each
    code, with the values of the single one of `columns`. Of `after` only the day counts then, and `limit`
    counts days.
    """

    market: str
    codes: Sequence[str] | None = None
    start: date = date.min
    end: date = date.max
    adjust: str = ""
    columns: Sequence[str] = DEFAULT_COLUMNS
    basis: str = ""
    joined: bool = True
    after: tuple[str, date] | None = None
    limit: int | None = None
    moment: Moment | None = None  # as it was known then; None: as it is now
    compression: str = ""  # of Arrow and Parquet; "" for the default
    layout: str = LONG
