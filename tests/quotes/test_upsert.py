"""Collecting again stores what the source has corrected, and nothing else."""

from datetime import date

import pytest

from tasks_app.models import Correction, DailyBar, Series
from tests.fakes.recording_source import sessions, set_bars
from tests.quotes.helpers import DAY, FIRST, LAST, change_bar, collect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("recording_source")]


def test_correction_is_stored_counted_and_listed():
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    change_bar(close=10.05, volume=2_000)
    item = collect(force_update=True)
    bar = DailyBar.objects.get(day=DAY)
    assert (bar.close, bar.volume, bar.item_id) == (10.05, 2_000, item.pk)
    row = Correction.objects.get()
    assert (row.before, row.after) == ({"close": 10.0, "volume": 1000}, {"close": 10.05, "volume": 2000})
    assert (row.symbol, row.day, row.bars, row.source, row.item_id) == (
        "600000",
        DAY,
        1,
        "recording",
        item.pk,
    )
    assert (item.rows_collected, item.rows_corrected, item.rows_skipped) == (0, 1, 20)
    item.task.refresh_from_db()
    assert item.task.corrected_count == 1


def test_representation_is_no_correction():
    set_bars("600000", sessions(FIRST, LAST))
    change_bar(amount=0.3)
    collect()
    change_bar(amount=0.1 + 0.2)
    assert collect(force_update=True).rows_corrected == 0
    assert not Correction.objects.exists()


@pytest.mark.any_database  # the same statement with other values
def test_missing_value_keeps_the_stored_one():
    set_bars("600000", sessions(FIRST, LAST))
    change_bar(amount=10_050.0, turnover=1.5)
    collect()
    change_bar(amount=None, turnover=None)
    assert collect(force_update=True).rows_corrected == 0
    assert DailyBar.objects.get(day=DAY).turnover == 1.5


@pytest.mark.any_database  # the same statement with other values
def test_new_value_is_filled_in_and_counted():
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    change_bar(turnover=1.5)
    assert collect(force_update=True).rows_corrected == 1
    assert Correction.objects.get().before == {"turnover": None}


@pytest.mark.any_database  # the same statement with other values
def test_corrected_prices_clear_values_not_sent():
    set_bars("600000", sessions(FIRST, LAST))
    change_bar(change_pct=1.5)
    collect()
    change_bar(close=10.05, change_pct=None)
    collect(force_update=True)
    assert DailyBar.objects.get(day=DAY).change_pct is None


@pytest.mark.any_database  # the same statement with other values
def test_agreeing_source_changes_nothing():
    set_bars("600000", sessions(FIRST, LAST))
    change_bar(volume=155_421_643, amount=1_554_216_430.0, turnover=0.8009)
    collect()
    change_bar(volume=155_421_600, turnover=0.8, close=10.0)
    item = collect(source="growing", force_update=True)
    assert (item.rows_corrected, item.rows_skipped) == (0, 21)
    bar = DailyBar.objects.get(day=DAY)
    assert (bar.source, bar.volume, bar.turnover) == ("recording", 155_421_643, 0.8009)


@pytest.mark.any_database  # the same statement with other values
def test_conflicting_source_corrects():
    set_bars("600000", sessions(FIRST, LAST))
    collect()
    change_bar(close=10.08)
    assert collect(source="growing", force_update=True).rows_corrected == 1
    assert DailyBar.objects.get(day=DAY).source == "growing"


def test_bars_and_items_record_their_source():
    set_bars("600000", sessions(FIRST, LAST))
    item = collect()
    assert item.source == "recording"
    assert set(DailyBar.objects.values_list("source", "item_id")) == {("recording", item.pk)}


def test_bars_without_a_series_row_are_recognised():
    set_bars("600000", sessions(FIRST, LAST))
    whole = collect().rows_collected
    Series.objects.all().delete()
    DailyBar.objects.filter(day=DAY).delete()
    change_bar(day=date(2024, 3, 14), close=10.05)
    item = collect()
    assert (item.rows_collected, item.rows_corrected, item.rows_skipped) == (1, 1, whole - 2)
    assert Series.objects.get().bars == whole == DailyBar.objects.count()
