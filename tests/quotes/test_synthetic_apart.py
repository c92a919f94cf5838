"""Made-up and real quotes can't be mixed: the database refuses it, whatever program asks."""

from dataclasses import replace
from datetime import date

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from tasks_app import errors
from tasks_app.models import (
    CollectionTask,
    Correction,
    DailyBar,
    Finding,
    Series,
    Stock,
    StockList,
    SyntheticSource,
)
from tasks_app.quotes import upsert
from tasks_app.sources.base import Bar, Request
from tests.factories import make_task
from tests.fakes.scripted_sources import First, with_scripted_sources
from tools.in_process import work

pytestmark = pytest.mark.django_db
DAY = date(2024, 1, 2)
PRICES = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100}
REFUSED = "made-up quotes belong in the market SIM"


@pytest.fixture(autouse=True)
def known():
    SyntheticSource.objects.get_or_create(name="simulated")


def refused():
    """Expects the refusal, and keeps the test's transaction usable."""
    return transaction.atomic()


def make_bar(market, source, **fields):
    return DailyBar.objects.create(market=market, symbol="000001", day=DAY, source=source, **PRICES, **fields)


@pytest.mark.parametrize(("market", "source"), [("CN", "simulated"), ("SIM", "csv")])
def test_misplaced_bar_is_refused(market, source):
    with pytest.raises(IntegrityError, match=REFUSED), refused():
        make_bar(market, source)


@pytest.mark.parametrize("expect_new", [True, False])
@pytest.mark.parametrize(("market", "source"), [("CN", "simulated"), ("SIM", "csv")])
def test_misplaced_bars_are_refused_however_they_are_written(market, source, expect_new):
    request = Request(market, "000001", DAY, DAY)
    with pytest.raises(IntegrityError, match=REFUSED), refused():
        upsert.upsert_bars(
            request, upsert.Provenance(source, 1), [Bar(DAY, *PRICES.values())], expect_new=expect_new
        )
    assert not DailyBar.objects.exists()


@pytest.mark.parametrize("changes", [{"market": "SIM"}, {"source": "simulated"}])
def test_real_bar_can_not_become_a_made_up_one(changes):
    make_bar("CN", "csv")
    with pytest.raises(IntegrityError, match=REFUSED), refused():
        DailyBar.objects.update(**changes)
    assert DailyBar.objects.update(close=11.5) == 1


def test_same_code_and_day_are_stored_in_both_places():
    make_bar("CN", "csv")
    make_bar("SIM", "simulated")
    assert set(DailyBar.objects.values_list("market", "source")) == {("CN", "csv"), ("SIM", "simulated")}


def test_misplaced_row_about_quotes_is_refused():
    key = {"market": "CN", "symbol": "000001", "day": DAY, "source": "simulated"}
    rows = [
        lambda: Correction.objects.create(**key),
        lambda: Finding.objects.create(**key, kind="flagged", code="x", message="x"),
        lambda: StockList.objects.create(market="CN", source="simulated", size=1, synced_at=Now()),
        lambda: CollectionTask.objects.create(
            market="CN", source="simulated", start_date=DAY, end_date=DAY, status="running"
        ),
    ]
    for create in rows:
        with pytest.raises(IntegrityError, match=REFUSED), refused():
            create()
    Finding.objects.create(**{**key, "source": ""}, kind="flagged", code="x", message="x")


def test_made_up_source_never_reaches_a_real_series(settings, monkeypatch):
    """The kind: made-up and real quotes of one code, collected for the same days."""
    bars = [Bar(DAY, *PRICES.values())]
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch, first=lambda request: bars)
    days = {"start_date": DAY, "end_date": date(2024, 1, 31), "stock_codes": ("600000",)}
    made_up = make_task(source="simulated", market="CN", **days)  # as clients from before SIM ask
    work()
    assert made_up.market == "SIM"
    assert not DailyBar.objects.exclude(market="SIM").exists()
    assert not Series.objects.exclude(market="SIM").exists()
    assert not Stock.objects.exclude(market="SIM").exists()
    made = DailyBar.objects.count()
    real = make_task(source="first", market="CN", **days)
    work()
    real.refresh_from_db()
    assert (real.status, real.skipped_count) == ("completed", 0)
    assert real.collected_count == DailyBar.objects.filter(market="CN").count() == 1
    assert set(DailyBar.objects.filter(market="CN").values_list("source", flat=True)) == {"first"}
    assert DailyBar.objects.filter(market="SIM").count() == made


def test_name_of_a_made_up_source_is_taken_for_good(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    SyntheticSource.objects.create(name=First.name)
    with pytest.raises(errors.SourceWasSynthetic, match="“first” belongs to a synthetic source"):
        make_task(source="first", market="CN")
    assert not CollectionTask.objects.exists()


def test_default_source_of_made_up_quotes_gets_orders_of_any_market(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, default_source="simulated")
    for market in ("", "CN", "HK"):
        task = make_task(source="", market=market)
        assert (task.market, task.source) == ("SIM", "simulated")
        CollectionTask.objects.all().delete()
