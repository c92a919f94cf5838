"""Reads of what is stored."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from tasks_app.api import examples, queries
from tasks_app.api.bulk_query import BulkBody, BulkParameters
from tasks_app.api.openapi.components import (
    IF_NONE_MATCH,
    INVALID,
    JSON,
    NEXT_PAGE,
    NOT_JSON,
    NOT_MODIFIED,
    STOCK_CODE,
    TOO_LARGE,
    Responses,
    header,
    operation,
    problem,
)
from tasks_app.api.renderers import ArrowRenderer, ParquetRenderer
from tasks_app.api.responses import data as responses
from tasks_app.conf import ALL_MARKETS
from tasks_app.quotes.csv_export import MAX_ROWS

NO_STOCK = problem(404, "Unknown stock", "There is no such stock.", "not_found")
NO_MARKET = problem(404, "Unknown market, or no session", "There is no such market.", "not_found")
GONE = problem(
    410,
    "Changes no longer kept",
    "The changes after number 5 are no longer kept completely, or were never numbered: they are kept after "
    "12. Copy everything anew as of the last number, then ask for the changes since it.",
    "changes_forgotten",
)
TOO_MANY = problem(
    429,
    "Too many bulk reads at once",
    "Too many bulk reads at once. Try again in a few seconds.",
    "too_many_bulk_reads",
)
TOO_MANY_WAITING = problem(
    429,
    "Too many requests wait",
    "Too many requests wait for a day. Try again in a few seconds, or ask without “wait”.",
    "too_many_waiting",
)
CSV: Responses = {(200, "text/csv"): OpenApiTypes.STR}

BULK_FORMATS: Responses = CSV | {
    (200, kind.media_type): OpenApiTypes.BINARY for kind in (ArrowRenderer, ParquetRenderer)
}
MARKET = OpenApiParameter("market", str, OpenApiParameter.PATH, enum=ALL_MARKETS)
FORMAT = OpenApiParameter(
    "format",
    enum=["json", "csv"],
    description=f"csv: streams up to {MAX_ROWS:,} rows, or one page where limit or cursor is given.",
)
BULK_FORMAT = OpenApiParameter(
    "format",
    enum=["json", "csv", "arrow", "parquet"],
    description="Default: by the Accept header, else json.",
)
BULK_ETAG = header("ETag", "Version of the stored content.", response=[200, 304])
STOCKS = operation(
    "stock_list", "Known stocks", [queries.StockQuery], responses.StockListAnswer, INVALID, tag="quotes"
)
COVERAGE = operation(
    "coverage",
    "What is stored and what is missing",
    [queries.CoverageQuery],
    responses.CoverageAnswer(many=True),
    INVALID,
    description="By market, adjustment and source; at most a minute old.",
    tag="quotes",
)
QUOTES = operation(
    "quotes",
    "The stored bars of one stock",
    [MARKET, STOCK_CODE, queries.QuoteQuery, FORMAT, NEXT_PAGE],
    responses.BarAnswer(many=True),
    CSV | INVALID | NO_STOCK,
    description="Prices in the market's currency, volume in shares. In pages: follow the Link header. "
    "Adjusted prices are computed with the factors of one source where they are stored, and end before an "
    "ex day that it has not told yet. `as_of` reads what was known at an earlier moment.",
    tag="quotes",
)
CHANGES = operation(
    "changes",
    "What was stored, corrected or removed since a number",
    [queries.ChangeQuery],
    responses.ChangesAnswer,
    INVALID | GONE,
    description="Every stored change has a number, in the order of the commits and without gaps, so that a "
    "copy that has all changes up to a number has missed nothing. Ask again with `since` = `last`.",
    tag="quotes",
)
DAYS = operation(
    "days",
    "The days of a market, newest first, and which are sealed",
    [MARKET, queries.DaysQuery, NEXT_PAGE],
    responses.DayAnswer(many=True),
    INVALID | NO_MARKET,
    description="Days of which a bar was stored since changes are numbered.",
    tag="quotes",
)
DAY = operation(
    "day",
    "One day of a market: its checksum if it is sealed, else what it lacks",
    [MARKET, OpenApiParameter("day", OpenApiTypes.DATE, OpenApiParameter.PATH), queries.DayQuery],
    responses.DayDetailAnswer,
    INVALID | NO_MARKET | TOO_MANY_WAITING,
    description="A day is sealed while every security listed on it has a bar or a recorded reason. Its "
    "revision grows with each sealing after a change. With `wait` the answer comes once it is sealed; or "
    "follow the changes, of which one has the kind `sealed`.",
    tag="quotes",
)
_BULK_DESCRIPTION = (
    "A stream in the order of code and day, of any length; also as Arrow, Parquet and CSV. A broken stream "
    "is cut off visibly, and continued by `cursor`. Prices are float64 in the market's currency, volume is "
    "in shares, codes are text. The limits and the ST flag are only those that the source told. With "
    "`layout=wide` a panel: a row for each day, ascending, with `day` and the values of the one column by "
    "code, null where a stock has no bar."
)
_BULK_ROWS = OpenApiResponse(
    responses.BulkBarAnswer(many=True),
    examples=[
        OpenApiExample("Two columns", value={"code": "000001", "day": "2024-06-28", "close": 10.15}),
        OpenApiExample("A panel", value={"day": "2024-06-28", "000001": 10.15, "600519": None}),
    ],
)
BULK = operation(
    "bulk_bars",
    "The bars of many stocks",
    [BulkParameters, BULK_FORMAT, IF_NONE_MATCH, BULK_ETAG],
    _BULK_ROWS,
    BULK_FORMATS | NOT_MODIFIED | INVALID | TOO_MANY,
    description=_BULK_DESCRIPTION,
    tag="quotes",
)
BULK_POST = operation(
    "bulk_bars_query",
    "The bars of many stocks, with the parameters as a body: for lists of codes too long for a URL",
    [BULK_FORMAT],
    _BULK_ROWS,
    BULK_FORMATS | INVALID | TOO_MANY | TOO_LARGE | NOT_JSON,
    description=_BULK_DESCRIPTION,
    tag="quotes",
    request={JSON: BulkBody},
    examples=[examples.CLOSES_OF_TWO],
)
FACTORS = operation(
    "factors",
    "The adjustment factors of one stock, by source",
    [MARKET, STOCK_CODE, queries.AsOfQuery],
    responses.FactorTableAnswer(many=True),
    INVALID | NO_STOCK,
    description="Factors and amounts are decimal texts with all digits of the source.",
    tag="quotes",
)
ACTIONS = operation(
    "corporate_actions",
    "The dividends, splits and rights issues of one stock, by source",
    [MARKET, STOCK_CODE, queries.AsOfQuery],
    responses.ActionTableAnswer(many=True),
    INVALID | NO_STOCK,
    tag="quotes",
)
GAPS = operation(
    "gaps",
    "A stock's days without a bar, and the reason of each",
    [MARKET, STOCK_CODE, queries.GapQuery],
    responses.GapAnswer(many=True),
    INVALID | NO_STOCK,
    description="Sessions and closed weekdays, newest first, from what the sources were asked and answered.",
    tag="quotes",
)
FINDINGS = operation(
    "findings",
    "Bars that a check refused or doubts, or on which two sources differ, newest finding first",
    [queries.FindingQuery, NEXT_PAGE],
    responses.FindingAnswer(many=True),
    INVALID,
    description="By day where days are named without a code. In pages: follow the Link header.",
    tag="records",
)
CORRECTIONS = operation(
    "corrections",
    "Stored bars that a source changed later, newest correction first",
    [queries.BarRecordQuery, NEXT_PAGE],
    responses.CorrectionAnswer(many=True),
    INVALID,
    description="By day where days are named without a code. In pages: follow the Link header.",
    tag="records",
)
AGREEMENT = operation(
    "agreement",
    "How often two sources agreed, by field and month",
    [queries.AgreementQuery, NEXT_PAGE],
    responses.AgreementAnswer(many=True),
    INVALID,
    description="What orders with verify_with have compared. In pages, the newest month first: follow the "
    "Link header.",
    tag="records",
)
CALENDAR = operation(
    "calendar",
    "The days of a market's trading calendar, with corrections and days without quotes",
    [queries.CalendarQuery, NEXT_PAGE],
    responses.CalendarDayAnswer(many=True),
    INVALID,
    description="Sessions and closed weekdays by day. In pages: follow the Link header.",
    tag="records",
)
