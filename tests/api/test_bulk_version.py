"""The ETag of a bulk read changes if what it reads changed, and with nothing else."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from tasks_app.history import retention
from tasks_app.history.versions import Moment
from tasks_app.models import AdjustmentTable, Change, CodeChange, Series
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.bulk_read.query import BulkQuery
from tasks_app.quotes.bulk_read.version import content_version
from tasks_app.quotes.series import bars_of
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.api.factories import client_of, make_bars
from tests.api.test_bulk import URL, make_series
from tests.factories import make_user, settle

pytestmark = pytest.mark.django_db
DAY = date(2024, 1, 2)


class Reader:
    """Reads with the ETag of the read before, and tells whether there was anything new."""

    def __init__(self, query, market="CN"):
        self.client = client_of(make_user(f"reader {query}", "bulk_read"))
        self.url, self.etag = f"{URL}?market={market}&{query}", ""
        assert self.is_changed()

    def is_changed(self):
        settle()
        response = self.client.get(self.url, headers={"If-None-Match": self.etag})
        if response.status_code == 304:
            return False
        assert response.status_code == 200, response.content
        b"".join(response.streaming_content)
        self.etag = response.headers["ETag"]
        return True


@pytest.fixture
def stocks():
    return {code: make_series("CN", code, 3) for code in ("000001", "000002")}


def add_bars(stock, count, first):
    make_bars(stock, count, first)
    last = first + timedelta(days=count - 1)
    series = Series.objects.get(symbol=stock.code, adjust="")
    Series.objects.filter(pk=series.pk).update(last_day=max(last, series.last_day), bars=series.bars + count)


def correct(code, **where):
    bars_of("CN", code, "").filter(**where).update(close=1.9)


def test_what_is_read_changes_the_version(stocks):
    reader = Reader("")
    for change in (
        lambda: add_bars(stocks["000001"], 1, date(2024, 2, 1)),
        lambda: add_bars(stocks["000002"], 4, date(2024, 2, 1)),
        lambda: correct("000001", day=DAY),
        lambda: correct("000002"),
        lambda: bars_of("CN", "000002", "").filter(day=date(2024, 1, 3)).delete(),
        lambda: make_series("CN", "600519", 2),
    ):
        change()
        assert reader.is_changed()
        assert not reader.is_changed()


def test_collection_that_brings_nothing_keeps_the_version(stocks):
    make_series("CN", "600519", 3, adjust="hfq")
    readers = [Reader("adjust="), Reader("codes=000001"), Reader("adjust=hfq"), Reader("layout=wide")]
    Series.objects.update(updated_at=timezone.now(), covered=[["2024-01-01", "2024-03-01"]])
    assert not any(reader.is_changed() for reader in readers)


@pytest.mark.parametrize("query", ["", pytest.param("layout=wide&", marks=pytest.mark.soak)])
def test_other_days_stocks_markets_and_adjustments_keep_the_version(stocks, query):
    days, one = Reader(f"{query}start={DAY}&end={DAY}"), Reader(f"{query}codes=000001")
    make_series("US", "A", 3)
    add_bars(stocks["000002"], 2, date(2024, 2, 1))
    correct("000002", day=date(2024, 1, 3))
    make_series("CN", "000003", 3, adjust="qfq")
    assert not days.is_changed()
    assert not one.is_changed()
    correct("000001", day=DAY)
    assert days.is_changed()
    assert one.is_changed()
    make_series("CN", "600519", 3)
    assert days.is_changed()  # a range that reaches into the day
    assert not one.is_changed()


def test_code_changes_count_where_they_join_stored_bars(stocks):
    everything, other, apart = Reader("adjust="), Reader("codes=000002"), Reader("joined=false")
    CodeChange.objects.create(market="CN", old_code="600001", new_code="000001", changed_on=DAY)
    assert not everything.is_changed()  # nothing is stored under 600001
    make_series("CN", "600001", 1, date(2023, 1, 1))
    assert (everything.is_changed(), apart.is_changed()) == (True, True)
    named = Reader("codes=000001")
    correct("600001")
    assert (named.is_changed(), everything.is_changed(), apart.is_changed()) == (True, True, True)
    CodeChange.objects.update(changed_on="2024-01-03")
    assert (named.is_changed(), everything.is_changed()) == (True, True)
    assert not other.is_changed()
    assert not apart.is_changed()


def factors(code, *pairs):
    rows = [Factor(date(2024, 1, day), Decimal(value)) for day, value in pairs]
    adjustment_data.replace_factors("CN", code, "sample", rows, date(2024, 2, 1))


def test_factors_count_where_they_are_read(stocks):
    for code, adjust in (("600519", "hfq"), ("600000", "qfq")):
        make_series("CN", code, 3, adjust=adjust)
    plain, hfq, early = Reader("adjust="), Reader("adjust=hfq"), Reader("adjust=hfq&end=2024-01-01")
    qfq, other = Reader("adjust=qfq&end=2024-01-01"), Reader("adjust=hfq&codes=600519")
    assert not any(reader.is_changed() for reader in (plain, hfq, early, qfq, other))
    factors("000001", (2, "1.5"))
    assert [reader.is_changed() for reader in (hfq, early, qfq)] == [True, True, True]
    factors("000001", (2, "1.5"), (3, "2"))
    # Before the ex day, backward-adjusted prices stay, and forward-adjusted ones do not.
    assert [reader.is_changed() for reader in (hfq, early, qfq)] == [True, False, True]
    factors("000001", (2, "1.5"), (3, "2"))  # sent again
    AdjustmentTable.objects.update(fetched_at=timezone.now(), until="2024-03-01")
    assert [reader.is_changed() for reader in (hfq, early, qfq)] == [False, False, False]
    assert not plain.is_changed()
    assert not other.is_changed()
    told = Reader("adjust=hfq&columns=code,day,factors_at")
    AdjustmentTable.objects.update(fetched_at=timezone.now())
    assert told.is_changed()


def test_actions_count_where_they_are_read(stocks):
    for code, adjust in (("600519", "hfq"), ("600000", "split")):
        make_series("CN", code, 3, adjust=adjust)
    split, hfq = Reader("adjust=split"), Reader("adjust=hfq")
    actions = CorporateActions([CorporateAction("split", DAY, ratio=Decimal(1))])
    adjustment_data.replace_actions("CN", "000001", "sample", actions, date(2024, 2, 1))
    assert split.is_changed()
    assert not hfq.is_changed()


def test_bars_of_adjusted_reads_count_where_they_are_read(stocks):
    factors("000001", (2, "1.5"))
    make_series("CN", "600519", 3, adjust="hfq")
    hfq, days = Reader("adjust=hfq"), Reader(f"adjust=hfq&end={DAY}")
    add_bars(stocks["000002"], 1, date(2024, 2, 1))  # it has neither factors nor a stored series
    assert not hfq.is_changed()
    correct("000001", day=date(2024, 1, 3))
    bars_of("CN", "600519", "hfq").filter(day=date(2024, 1, 3)).update(close=1.9)
    assert hfq.is_changed()
    assert not days.is_changed()


def test_known_moment_keeps_its_version(stocks):
    number = settle()
    reader = Reader(f"as_of={number}")
    correct("000001")
    factors("000001", (2, "1.5"))
    assert not reader.is_changed()


def test_moment_has_one_version_however_it_is_named():
    at = datetime(2024, 1, 4, 1, tzinfo=UTC)
    named, later, next_day = (
        content_version(BulkQuery("CN", moment=Moment(number, at + timedelta(hours=hours))))
        for number, hours in ((5, 1), (6, 1), (5, 24))
    )
    assert named == content_version(BulkQuery("CN", moment=Moment(5, at)))
    assert len({named, later, next_day}) == 3  # of factors, those up to the market's day count


def test_forgotten_change_does_not_hide_a_later_one(stocks):
    reader = Reader("")
    Change.objects.update(at=timezone.now() - timedelta(days=9))
    retention.prune(5)
    reader.is_changed()
    correct("000001", day=DAY)
    assert reader.is_changed()
