"""What is stored and what is missing, per market, adjustment and source."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks_app.market import calendars
from tasks_app.models import CodeChange, DailyBar, Series, Stock
from tasks_app.quotes import coverage, summary
from tasks_app.quotes.coverage import Coverage

pytestmark = pytest.mark.django_db
FIRST = date(2024, 1, 2)
WRITTEN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def days() -> Sequence[date]:
    """Returns the last sessions of the Chinese market, the latest one last."""
    calendar = calendars.load_calendar("CN")
    latest = calendar.latest_session()
    return calendar.sessions(latest - timedelta(days=90), latest).days


def store(
    code: str,
    last: date,
    *,
    market: str = "CN",
    adjust: str = "",
    source: str = "akshare",
    covered: Sequence[Sequence[str]] = (),
    **stock: date,
) -> Stock:
    """Stores a stock, its series, and the newest bar of it."""
    key = {"market": market, "symbol": code, "adjust": adjust}
    prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    DailyBar.objects.create(**key, **prices, day=last, volume=1, source=source)
    Series.objects.create(
        **key, bars=100, first_day=FIRST, last_day=last, covered=list(covered), updated_at=WRITTEN
    )
    return Stock.objects.get_or_create(market=market, code=code, defaults=stock)[0]


def test_stocks_are_counted_by_market_adjustment_and_source(days: Sequence[date]) -> None:
    store("000001", days[-1])
    store("000002", days[-2])
    store("000003", days[-1], source="baostock")
    store("000003", days[-1], source="baostock", adjust="qfq")
    Stock.objects.create(market="CN", code="000004")
    Stock.objects.create(market="HK", code="00700")
    session = calendars.load_calendar("HK").latest_session()
    akshare, baostock, empty, qfq, empty_qfq, hong_kong = coverage.compute_coverage()
    assert akshare == Coverage(
        *("CN", "", "akshare", days[-1]),
        stocks=2,
        bars=200,
        first_day=FIRST,
        last_day=days[-1],
        updated_at=WRITTEN,
        complete=1,
        behind=1,
        behind_by={"1": 1},
        most_behind=1,
    )
    assert baostock == replace(
        akshare, source="baostock", stocks=1, bars=100, behind=0, behind_by={}, most_behind=0
    )
    assert empty == Coverage("CN", "", None, days[-1], stocks=1, empty=1)
    assert qfq == replace(baostock, adjust="qfq")
    assert empty_qfq == Coverage("CN", "qfq", None, days[-1], stocks=3, empty=3)
    assert hong_kong == Coverage("HK", "", None, session, stocks=1, empty=1)


def test_source_is_that_of_the_newest_bar(days: Sequence[date]) -> None:
    store("000001", days[-1], source="baostock")
    prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    DailyBar.objects.create(market="CN", symbol="000001", day=days[-2], volume=1, source="akshare", **prices)
    assert [row.source for row in coverage.compute_coverage()] == ["baostock"]


@pytest.mark.parametrize(
    ("behind", "name"),
    [(1, "1"), (2, "2-5"), (5, "2-5"), (6, "6-20"), (20, "6-20"), (21, "21+"), (40, "21+")],
)
def test_stocks_behind_are_counted_by_their_number_of_sessions(
    days: Sequence[date], behind: int, name: str
) -> None:
    stock = store("000001", days[-1 - behind])
    (row,) = coverage.compute_coverage()
    assert (row.behind, row.behind_by, row.most_behind) == (1, {name: 1}, behind)
    assert summary.summarize([stock])[stock.pk].behind == behind
    assert list(Stock.objects.filter(summary.is_behind())) == [stock]


def test_days_without_a_bar_that_a_source_answered_are_not_behind(days: Sequence[date]) -> None:
    """A suspended stock has no bar to collect."""
    covered = [[FIRST.isoformat(), days[-9].isoformat()], [days[-8].isoformat(), days[-3].isoformat()]]
    late = store("000001", days[-9], covered=covered)
    covered[-1][1] = days[-1].isoformat()
    suspended = store("000002", days[-9], covered=covered)
    (row,) = coverage.compute_coverage()
    assert (row.complete, row.behind, row.behind_by) == (1, 1, {"2-5": 1})
    assert [one.behind for one in summary.summarize([late, suspended]).values()] == [2, 0]
    assert list(Stock.objects.filter(summary.is_behind())) == [late]


def test_delisted_stock_is_neither_behind_nor_empty(days: Sequence[date]) -> None:
    gone = store("000001", days[-30], delisted_on=days[-29])
    Stock.objects.create(market="CN", code="000002", delisted_on=days[-29])
    (row,) = coverage.compute_coverage()
    assert (row.stocks, row.complete, row.behind, row.empty) == (1, 1, 0, 0)
    assert summary.summarize([gone])[gone.pk].behind == 0


def test_code_that_became_another_is_neither_behind_nor_empty(days: Sequence[date]) -> None:
    old = store("000001", days[-30])
    bare = Stock.objects.create(market="CN", code="000002")
    for code in ("000001", "000002"):
        CodeChange.objects.create(market="CN", old_code=code, new_code=f"9{code}", changed_on=days[-9])
    (row,) = coverage.compute_coverage()
    assert (row.stocks, row.complete, row.behind, row.empty) == (1, 1, 0, 0)
    found = summary.summarize([old, bare])
    assert [(one.behind, one.new_code) for one in found.values()] == [(0, "9000001"), (None, "9000002")]
    assert not Stock.objects.filter(summary.is_behind()).exists()


def test_stock_is_as_far_behind_as_its_best_adjustment(days: Sequence[date]) -> None:
    stock = store("000001", days[-5])
    store("000001", days[-3], adjust="qfq")
    assert summary.summarize([stock])[stock.pk].behind == 2
    assert [row.most_behind for row in coverage.compute_coverage()] == [4, 2]


def test_number_of_queries_does_not_grow_with_what_is_stored(days: Sequence[date]) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            coverage.compute_coverage()
        return len(caught)

    store("000001", days[-1])
    few = queries()
    for n in range(2, 30):
        store(f"{n:06d}", days[-n], source=f"source{n % 3}")
        store(f"{n:06d}", days[-n], adjust="qfq")
    assert queries() == few == 4


@pytest.mark.parametrize("adjust", ["", "qfq"])
def test_counts_are_those_of_the_list_of_stocks(days: Sequence[date], adjust: str) -> None:
    """The overview links its numbers to that list."""
    store("000001", days[-1])
    store("000002", days[-2])
    store("000003", days[-4], adjust="qfq")
    Stock.objects.create(market="CN", code="000004")
    listed = Stock.objects.filter(delisted_on__isnull=True)
    rows = [row for row in coverage.compute_coverage() if row.adjust == adjust]
    assert sum(row.behind for row in rows) == listed.filter(summary.is_behind(adjust)).count() == 1
    assert sum(row.empty for row in rows) == listed.filter(summary.is_empty(adjust)).count() > 0


def test_nothing_stored_is_no_row() -> None:
    assert coverage.compute_coverage() == []
