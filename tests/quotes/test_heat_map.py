"""The heat map: what is expected, what is stored, and why something is missing, by month."""

from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app.market import boards, calendars
from tasks_app.models import CodeChange, Series, Stock
from tasks_app.quotes import heat_map, month_counts
from tasks_app.quotes.heat_map import Listed, Months, SessionSum
from tasks_app.quotes.trading_days import SessionDays

pytestmark = pytest.mark.django_db
MARCH = month_counts.month_of(date(2024, 3, 1))
SESSIONS = {-2: 22, -1: 15, 0: 21, 1: 20}  # of the Chinese market: January to April 2024


@pytest.fixture
def months():
    return Months("CN", MARCH - 1, MARCH + 1)


def store(code, covered=(), absences=(), months="", first=None, **stock):
    """Stores a stock, and its series if anything is said of it."""
    row = Stock.objects.create(market="CN", code=code, **stock)
    if covered or months:
        Series.objects.create(
            market="CN",
            symbol=code,
            bars=sum(month_counts.parse(months).values()),
            first_day=first,
            last_day=first,
            covered=[list(each) for each in covered],
            absences=[list(each) for each in absences],
            months=months,
        )
    return Listed(*(getattr(row, name) for name in heat_map.STOCK_COLUMNS))


def cells(stock, months):
    (row,) = heat_map.by_stock("CN", "", [stock], months)
    return [(cell.expected, cell.bars, dict(cell.missing), cell.outside) for cell in row.cells]


def test_stock_without_data_was_never_collected(months):
    stock = store("600000", listed_on=date(2024, 3, 15))
    assert cells(stock, months) == [
        (0, 0, {}, "before"),
        (11, 0, {"not_asked": 11}, ""),
        (20, 0, {"not_asked": 20}, ""),
    ]


def test_missing_days_have_their_reasons(months):
    absences = [
        ("2024-03-04", "2024-03-06", "suspended", "akshare", "2024-05-01", None),
        ("2024-03-28", "2024-04-01", "empty", "akshare", "2024-05-01", None),
    ]
    stock = store(
        *("600000", [("2024-02-01", "2024-04-10")], absences, "2024-02:fg5", date(2024, 2, 1)),
        listed_on=date(2000, 1, 4),
    )
    assert cells(stock, months) == [
        (15, 15, {}, ""),
        (21, 16, {"suspended": 3, "empty": 2}, ""),
        (20, 5, {"empty": 1, "not_asked": 14}, ""),
    ]


def test_unknown_listing_counts_from_what_is_known(months):
    stock = store("600000", [("2024-03-04", "2024-06-30")], (), "2024-03:kk", date(2024, 3, 4))
    assert [(cell[0], cell[3]) for cell in cells(stock, months)] == [(0, "unknown"), (20, ""), (20, "")]


def test_delisted_stock_and_the_future_expect_nothing():
    stock = store("600000", listed_on=date(2000, 1, 4), delisted_on=date(2024, 2, 20))
    later = cells(stock, Months("CN", MARCH, month_counts.month_of(date(2100, 1, 1))))
    assert (later[0][3], later[-1][3]) == ("after", "future")


def test_code_that_became_another_expects_nothing_since(months):
    store("600000", listed_on=date(2000, 1, 4))
    CodeChange.objects.create(market="CN", old_code="600000", new_code="600999", changed_on="2024-03-04")
    (stock,) = heat_map.stocks_of("CN")
    assert [(cell[0], cell[3]) for cell in cells(stock, months)] == [(15, ""), (1, ""), (0, "after")]
    (missing,) = heat_map.missing_days("CN", "", [stock], months)
    assert (missing.sessions, missing.last) == (16, date(2024, 3, 1))


def test_boards_add_their_stocks_up(months):
    store("600000", [("2024-02-01", "2024-04-30")], (), "2024-02:flk", date(2024, 2, 1))
    store("600001", [("2024-02-01", "2024-03-29")], (), "2024-02:fk", date(2024, 2, 1))
    store("300001", listed_on=date(2024, 4, 1))
    sse, chinext = heat_map.by_board("CN", "", months)
    assert (sse.key, sse.stocks, chinext.key) == ("60", 2, "30")
    assert [(cell.expected, cell.bars, dict(cell.missing)) for cell in sse.cells] == [
        (30, 30, {}),
        (42, 41, {"empty": 1}),
        (40, 20, {"not_asked": 20}),
    ]
    assert [cell.percent for cell in sse.cells] == [100, 97, 50]
    assert [cell.percent for cell in chinext.cells] == [None, None, 0]


def test_missing_days_are_those_that_the_planner_requests(months):
    """The planner asks a series for one range: from the first missing session to the last one."""
    days = SessionDays(calendars.load_calendar("CN"))
    window = (months.begin, months.end)
    for number, covered in enumerate(
        [
            [],
            [("2024-02-01", "2024-03-29")],
            [("2024-02-05", "2024-02-20"), ("2024-03-01", "2024-04-12")],
            [("2024-01-01", "2024-12-31")],
        ]
    ):
        stock = store(f"60000{number}", covered, (), "2024-02:1" if covered else "")
        ranges = [tuple(map(date.fromisoformat, each)) for each in covered]
        found = heat_map.missing_days("CN", "", [stock], months)
        assert [(one.first, one.last) for one in found] == [
            each for each in [days.missing_range(window, ranges)] if each
        ]
        if not covered:
            assert found[0].sessions == 15 + 21 + 20


def test_series_without_counts_are_counted_from_bars(months):
    store("600000", [("2024-02-01", "2024-04-30")], first=date(2024, 2, 1), listed_on=date(2000, 1, 4))
    Series.objects.update(bars=1)
    assert [cell.bars for cell in heat_map.by_board("CN", "", months)[0].cells] == [0, 0, 0]


def test_session_sum_adds_spans(months):
    total = SessionSum(months)
    for first, last in ((date(2024, 2, 1), date(2024, 4, 30)), (date(2024, 2, 28), date(2024, 4, 2))):
        total.add(*months.place(first, last))
    total.add(5, 5)
    assert total.totals() == [17, 42, 22]


def test_queries_do_not_grow_with_stocks():
    def queries():
        months = Months("CN", MARCH - 1, MARCH + 1)
        with CaptureQueriesContext(connection) as caught:
            heat_map.by_board("CN", "", months)
            heat_map.by_stock("CN", "", heat_map.stocks_of("CN")[:25], months)
        return len(caught)

    store("600000", [("2024-02-01", "2024-03-29")], (), "2024-02:fk", date(2024, 2, 1))
    few = queries()
    for n in range(1, 20):
        store(f"6000{n:02d}", [("2024-02-01", "2024-03-29")], (), "2024-02:fk", date(2024, 2, 1))
    assert queries() == few


@pytest.mark.parametrize(
    ("market", "code", "kind", "exchange", "board"),
    [
        ("CN", "688001", "stock", "SSE", "68"),
        ("CN", "920001", "stock", "BSE", "BSE"),
        ("CN", "900901", "stock", "SSE", "B"),
        ("CN", "510300", "etf", "SSE", "etf"),
        ("US", "AAPL", "stock", "NASDAQ", "NASDAQ"),
        ("HK", "00700", "stock", "", "stock"),
    ],
)
def test_board_of_a_code(market, code, kind, exchange, board):
    assert boards.board_of(market, code, kind, exchange) == board
    assert boards.label_of(board)
