"""Deleting what a source stored: what goes, what stays, and that no task runs beside it."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from tasks_app import errors, lifecycle, models
from tasks_app.lifecycle.events import Actor
from tasks_app.models import (
    CollectionTask,
    Correction,
    DailyBar,
    DataDeletion,
    Finding,
    Series,
    Stock,
    StockList,
)
from tasks_app.models.events import Channel
from tasks_app.quotes import adjustment_data, date_ranges, deletion
from tasks_app.quotes.deletion import Selection
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.factories import ACTOR, make_task, make_user
from tests.fakes.scripted_sources import with_scripted_sources
from tools.in_process import work

pytestmark = pytest.mark.django_db
any_database = pytest.mark.any_database  # what these tests query, the others of this file query on PostgreSQL
FIRST, LAST = date(2024, 1, 1), date(2024, 3, 29)
PRICES = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100}
KEY = {"market": "CN", "symbol": "600000", "adjust": ""}
SIMULATED = Selection("simulated")


def collect(**fields):
    """Collects two made-up stocks, or what the fields say; returns the ended task."""
    codes = ("000001", "000002")
    task = make_task(**{"start_date": FIRST, "end_date": LAST, "stock_codes": codes, **fields})
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    return task


def delete(selection=SIMULATED, actor=ACTOR):
    """Deletes to the end; returns the record."""
    *_, record = lifecycle.delete_source_data(selection, actor)
    assert record == DataDeletion.objects.latest("pk")
    return record


def make_mixed(*sources):
    """Stores a series of one bar a day, whose sources take turns; all days are answered."""
    days = [FIRST + timedelta(days=n) for n in range(2 * len(sources) * 5)]
    DailyBar.objects.bulk_create(
        DailyBar(**KEY, day=day, source=sources[n // 5 % len(sources)], **PRICES)
        for n, day in enumerate(days)
    )
    Series.objects.create(
        **KEY, bars=len(days), first_day=days[0], last_day=days[-1], covered=[[str(FIRST), str(LAST)]]
    )
    Stock.objects.create(
        market="CN", code="600000", full_collection_completed=True, full_collection_date="2024-01-01T00:00Z"
    )
    return days


def test_contents_are_counted_and_nothing_is_deleted():
    task = collect()
    found = deletion.count_contents(SIMULATED)
    assert [(each.market, each.bars, each.series) for each in found.markets] == [
        ("SIM", task.collected_count, 2)
    ]
    assert (found.markets[0].first, found.markets[0].last) == (FIRST, LAST)
    assert DailyBar.objects.count() == found.bars == task.collected_count
    assert deletion.count_contents(Selection("simulated", "CN")).is_empty
    assert deletion.count_contents(Selection("csv")).is_empty


def test_everything_of_the_source_is_deleted_and_recorded(settings):
    simulated = replace(settings.COLLECTOR.simulated, stocks=12)
    settings.COLLECTOR = replace(settings.COLLECTOR, simulated=simulated)
    task = collect(stock_codes=None, test_mode=True)
    record = delete()
    assert (record.bars, record.series, record.stocks) == (task.collected_count, 5, 12)
    assert record.ended_at
    for model in (DailyBar, Series, Stock, StockList):
        assert not model.objects.exists()
    assert CollectionTask.objects.get() == task


@any_database
def test_deleted_days_are_collected_again():
    task = collect()
    delete()
    again = collect()
    assert (again.collected_count, again.skipped_count) == (task.collected_count, 0)


def test_only_the_days_asked_for_are_deleted():
    task = collect()
    first, last = date(2024, 2, 1), date(2024, 2, 29)
    record = delete(Selection("simulated", "SIM", first, last))
    within = DailyBar.objects.filter(day__range=(first, last))
    assert not within.exists()
    assert DailyBar.objects.count() == task.collected_count - record.bars > 0
    for series in Series.objects.all():
        stored = DailyBar.objects.filter(symbol=series.symbol)
        assert (series.bars, series.first_day, series.last_day) == (stored.count(), FIRST, LAST)
        answered = date_ranges.parse(series.covered)
        assert [last < end or first > start for start, end in answered] == [True, True]
    assert StockList.objects.count() == 0, "no list was read"
    assert collect().collected_count == record.bars


@any_database
def test_bars_of_other_sources_stay():
    days = make_mixed("csv", "first")
    record = delete(Selection("csv", "CN"))
    assert (record.bars, record.series) == (10, 1)
    assert list(DailyBar.objects.order_by("day").values_list("day", flat=True)) == days[5:10] + days[15:]
    series = Series.objects.get()
    assert (series.bars, series.first_day, series.last_day) == (10, days[5], days[-1])
    assert date_ranges.parse(series.covered) == [(days[5], days[9]), (days[15], LAST)]
    stock = Stock.objects.get()
    assert (stock.full_collection_completed, stock.full_collection_date) == (False, None)


def test_findings_and_corrections_of_deleted_bars_go_with_them():
    days = make_mixed("csv", "first")
    DailyBar.objects.filter(source="csv").update(item_id=7)
    finding = {**KEY, "code": "jump", "message": "…"}
    mine = [
        Finding.objects.create(**finding, day=days[0], kind="flagged", source="csv"),
        Finding.objects.create(**finding, day=days[1], kind="flagged", source="", item_id=7),
        Finding.objects.create(**finding, day=None, kind="refused", source="csv"),
        Correction.objects.create(**KEY, day=days[0], source="csv"),
        Correction.objects.create(market="CN", symbol="600001", day=days[0], source="csv"),
    ]
    others = [
        Finding.objects.create(**finding, day=days[6], kind="flagged", source="first"),
        Finding.objects.create(**finding, day=days[6], kind="flagged", source="", item_id=8),
        Finding.objects.create(**finding, day=days[2], kind="refused", source="", item_id=8),
        Correction.objects.create(**KEY, day=days[6], source="first"),
    ]
    record = delete(Selection("csv"))
    assert (record.findings, record.corrections) == (3, 2)
    left = [*Finding.objects.order_by("pk"), *Correction.objects.order_by("pk")]
    assert left == others
    assert not {type(row).objects.filter(pk=row.pk).exists() for row in mine} - {False}


@any_database
def test_nothing_is_deleted_while_a_task_runs():
    collect()
    running = make_task()
    before = DailyBar.objects.count()
    with pytest.raises(errors.TaskAlreadyRunning, match=str(running.pk)):
        delete()
    assert DailyBar.objects.count() == before
    assert not DataDeletion.objects.exists()


def test_task_started_between_two_batches_ends_the_deletion(monkeypatch):
    collect()
    monkeypatch.setattr(deletion, "BATCH", 10)
    batches = lifecycle.delete_source_data(SIMULATED, ACTOR)
    first = next(batches)
    assert first.series == 1
    make_task()
    with pytest.raises(errors.TaskAlreadyRunning):
        next(batches)
    record = DataDeletion.objects.get()
    assert (record.bars, record.ended_at) == (first.bars, None)
    assert Series.objects.get().bars == DailyBar.objects.count()


@any_database
def test_deletion_goes_on_where_it_was_stopped(monkeypatch):
    task = collect()
    monkeypatch.setattr(deletion, "BATCH", 10)
    first = next(lifecycle.delete_source_data(SIMULATED, ACTOR))
    assert delete().bars == task.collected_count - first.bars
    assert not DailyBar.objects.exists()


def test_batch_is_small(monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(deletion, "BATCH", 100)
    collect()
    batches = lifecycle.delete_source_data(SIMULATED, ACTOR)
    with django_assert_max_num_queries(40):
        assert next(batches).bars <= 100 + 65  # one series more than a batch


@any_database
def test_deletion_is_recorded_with_its_user():
    collect()
    user = make_user("ann")
    record = delete(Selection("simulated", "SIM", FIRST, LAST), Actor(Channel.ADMIN, user))
    assert (record.source, record.market, record.first_day, record.last_day) == (
        "simulated",
        "SIM",
        FIRST,
        LAST,
    )
    assert (record.user, record.user_name, record.channel) == (user, "ann", "admin")
    user.delete()
    record.refresh_from_db()
    assert (record.user, record.user_name) == (None, "ann")


@any_database
def test_real_stocks_stay_without_their_bars(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    collect(source="first", stock_codes=("600000",))
    Stock.objects.update(name="浦发银行")
    delete(Selection("first"))
    assert Stock.objects.get().name == "浦发银行"
    assert not DailyBar.objects.exists()


@any_database
def test_factors_and_actions_go_with_all_days_of_their_source():
    day = date(2024, 3, 5)
    for source in ("csv", "first"):
        factors = [Factor(day, Decimal("2"))]
        adjustment_data.replace_factors("CN", "600000", source, factors, day)
        actions = CorporateActions([CorporateAction("split", day, ratio=Decimal(1))])
        adjustment_data.replace_actions("CN", "600000", source, actions, day)
    assert deletion.count_contents(Selection("csv", first=day)).is_empty
    assert delete(Selection("csv", first=day)).adjustments == 0
    assert deletion.count_contents(Selection("csv")).adjustments == 2
    assert delete(Selection("csv")).adjustments == 2
    for model in (models.AdjustmentTable, models.AdjustmentFactor, models.CorporateAction):
        assert set(model.objects.values_list("source", flat=True)) == {"first"}
