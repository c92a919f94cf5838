"""What a source changes afterwards is stored, counted and listed; adjusted series move as a whole."""

from dataclasses import replace
from datetime import date

import pytest

from tasks_app import lifecycle
from tasks_app.market import calendars
from tasks_app.models import Correction, DailyBar, Series
from tests.factories import ACTOR, TODAY, make_order
from tests.fakes.recording_source import (
    Ledger,
    ledger_conf,
    make_bar,
    sessions,
    write,
)
from tools.in_process import work

pytestmark = pytest.mark.django_db
FIRST, LAST = date(2024, 3, 1), date(2024, 3, 29)
DAY = date(2024, 3, 13)


@pytest.fixture(autouse=True)
def ledger(settings, monkeypatch):
    settings.COLLECTOR = replace(ledger_conf(settings.COLLECTOR), max_attempts=2)
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: date(2024, 6, 28))


def collect(code="600000", first=FIRST, last=LAST, source="ledger", **fields):
    """The item of one stock, collected from the ledger."""
    order = make_order(source=source, stock_codes=(code,), start_date=first, end_date=last, **fields)
    task = lifecycle.start(order, ACTOR, today=TODAY)
    work()
    return task.items.get()


def rewrite(day=DAY, adjust="", **fields):
    """Let the source change a bar."""
    bars = Ledger.bars["600000", adjust]
    place = [bar.day for bar in bars].index(day)
    bars[place] = bars[place]._replace(**fields)


def days_asked():
    spans = [(request.start, request.end) for request in Ledger.asked]
    Ledger.asked.clear()
    return spans


def test_a_correction_is_stored_counted_and_listed_with_what_changed():
    write("600000", sessions(FIRST, LAST))
    collect()
    rewrite(close=10.05, volume=2_000)
    item = collect(force_update=True)
    bar = DailyBar.objects.get(day=DAY)
    assert (bar.close, bar.volume, bar.item_id) == (10.05, 2_000, item.pk)
    row = Correction.objects.get()
    assert (row.before, row.after) == ({"close": 10.0, "volume": 1000}, {"close": 10.05, "volume": 2000})
    assert (row.symbol, row.day, row.bars, row.source, row.item_id) == ("600000", DAY, 1, "ledger", item.pk)
    assert (item.rows_collected, item.rows_corrected, item.rows_skipped) == (0, 1, 20)
    item.task.refresh_from_db()
    assert item.task.corrected_count == 1


def test_a_number_that_differs_by_its_representation_only_is_no_correction():
    write("600000", sessions(FIRST, LAST))
    rewrite(amount=0.3)
    collect()
    rewrite(amount=0.1 + 0.2)
    assert collect(force_update=True).rows_corrected == 0
    assert not Correction.objects.exists()


def test_a_value_that_is_no_longer_sent_does_not_overwrite_the_stored_one():
    write("600000", sessions(FIRST, LAST))
    rewrite(amount=10_050.0, turnover=1.5)
    collect()
    rewrite(amount=None, turnover=None)
    assert collect(force_update=True).rows_corrected == 0
    assert DailyBar.objects.get(day=DAY).turnover == 1.5


def test_a_value_that_is_sent_for_the_first_time_is_filled_in_and_counted():
    write("600000", sessions(FIRST, LAST))
    collect()
    rewrite(turnover=1.5)
    assert collect(force_update=True).rows_corrected == 1
    assert Correction.objects.get().before == {"turnover": None}


def test_values_that_belonged_to_corrected_prices_go_with_them():
    write("600000", sessions(FIRST, LAST))
    rewrite(change_pct=1.5)
    collect()
    rewrite(close=10.05, change_pct=None)
    collect(force_update=True)
    assert DailyBar.objects.get(day=DAY).change_pct is None


def test_another_source_that_agrees_changes_nothing():
    write("600000", sessions(FIRST, LAST))
    rewrite(volume=155_421_643, amount=1_554_216_430.0, turnover=0.8009)
    collect()
    rewrite(volume=155_421_600, turnover=0.8, close=10.0)
    item = collect(source="folder", force_update=True)
    assert (item.rows_corrected, item.rows_skipped) == (0, 21)
    bar = DailyBar.objects.get(day=DAY)
    assert (bar.source, bar.volume, bar.turnover) == ("ledger", 155_421_643, 0.8009)


def test_another_source_that_contradicts_corrects():
    write("600000", sessions(FIRST, LAST))
    collect()
    rewrite(close=10.08)
    assert collect(source="folder", force_update=True).rows_corrected == 1
    assert DailyBar.objects.get(day=DAY).source == "folder"


def test_each_bar_and_item_says_who_answered():
    write("600000", sessions(FIRST, LAST))
    item = collect()
    assert item.source == "ledger"
    assert set(DailyBar.objects.values_list("source", "item_id")) == {("ledger", item.pk)}


def test_the_list_of_an_item_is_bounded_and_its_count_is_not():
    days = sessions(date(2020, 1, 2), date(2023, 12, 29))
    write("600000", days)
    collect(first=days[0], last=days[-1])
    write("600000", days, close=10.05)
    item = collect(first=days[0], last=days[-1], force_update=True)
    assert item.rows_corrected == len(days)
    assert Correction.objects.count() == 501
    assert Correction.objects.get(before__isnull=True).bars == len(days) - 500


def test_a_dividend_reloads_an_adjusted_series_as_a_whole():
    days = sessions(FIRST, date(2024, 4, 30))
    write("600000", days, "qfq")
    collect(adjust="qfq")
    days_asked()
    write("600000", days, "qfq", close=9.5)
    item = collect(adjust="qfq", last=date(2024, 4, 30))
    stored = [day for day in days if day <= LAST]
    assert days_asked() == [(stored[-5], date(2024, 4, 30)), (FIRST, date(2024, 4, 30))]
    assert set(DailyBar.objects.values_list("close", flat=True)) == {9.5}
    assert (item.state, item.error_code, item.attempts) == ("succeeded", "", 1)
    assert (item.rows_corrected, item.rows_collected) == (len(stored), len(days) - len(stored))
    row = Correction.objects.get()
    assert (row.day, row.bars, row.before, row.after) == (FIRST, len(stored), None, None)
    series = Series.objects.get()
    assert (series.bars, series.covered) == (len(days), [["2024-03-01", "2024-04-30"]])


def test_an_adjusted_series_that_has_not_moved_grows_by_its_increment():
    days = sessions(FIRST, date(2024, 4, 30))
    write("600000", days, "hfq", close=1234.5678)
    collect(adjust="hfq")
    days_asked()
    item = collect(adjust="hfq", last=date(2024, 4, 30))
    assert len(days_asked()) == 1
    assert (item.rows_corrected, item.rows_skipped) == (0, 21)
    assert not Correction.objects.exists()


def test_a_whole_series_that_comes_back_cut_off_replaces_nothing():
    days = sessions(FIRST, date(2024, 4, 30))
    write("600000", days, "qfq")
    collect(adjust="qfq", last=days[-2])
    write("600000", days[-3:], "qfq", close=9.5)
    item = collect(adjust="qfq", last=days[-1])
    assert (item.state, item.error_code) == ("failed", "series_cut")
    assert set(DailyBar.objects.values_list("close", flat=True)) == {10.0}
    write("600000", days, "qfq", close=9.5)
    assert collect(adjust="qfq", last=days[-1]).state == "succeeded"
    assert set(DailyBar.objects.values_list("close", flat=True)) == {9.5}


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(slice(20, None), id="its last page only"),
        pytest.param(slice(2, None), id="two days too late"),
        pytest.param(slice(0, -3), id="not up to its end"),
    ],
)
def test_a_part_of_a_moved_series_costs_no_stored_day(left):
    days = sessions(date(2023, 11, 1), LAST)
    write("600000", days, "qfq")
    collect(adjust="qfq", first=days[0])
    write("600000", days[left], "qfq", close=9.5)
    item = collect(adjust="qfq", first=days[0], force_update=True)
    assert (item.state, item.error_code, item.rows_corrected) == ("failed", "series_cut", 0)
    assert list(DailyBar.objects.values_list("close", flat=True)) == [10.0] * len(days)
    assert Series.objects.get().covered == [], "it is still to be asked for as a whole"


def test_a_moved_series_with_a_hole_costs_no_stored_day():
    days = sessions(date(2023, 11, 1), LAST)
    write("600000", days, "qfq")
    collect(adjust="qfq", first=days[0])
    write("600000", [*days[:30], *days[40:]], "qfq", close=9.5)
    assert collect(adjust="qfq", first=days[0], force_update=True).error_code == "series_cut"
    assert DailyBar.objects.count() == len(days)


def test_a_part_of_a_moved_series_leaves_nothing_that_counts_as_answered():
    days = sessions(date(2024, 1, 2), date(2024, 4, 30))
    stored = [day for day in days if day <= LAST]
    write("600000", days, "qfq")
    collect(adjust="qfq", first=days[0])
    write("600000", days[-40:], "qfq", close=9.5)
    item = collect(adjust="qfq", last=days[-1])
    assert (
        item.error_message
        == f"The source's answer lacks {len(days) - 40} of {len(stored)} days of the series that moved."
    )
    assert (Series.objects.get().covered, Series.objects.get().bars) == ([], len(stored))
    assert DailyBar.objects.filter(close=10.0).count() == len(stored)


def test_a_moved_series_may_lack_the_day_of_its_listing():
    days = sessions(FIRST, LAST)
    write("600000", days, "qfq")
    collect(adjust="qfq")
    write("600000", days[1:], "qfq", close=9.5)
    item = collect(adjust="qfq", force_update=True)
    assert (item.state, item.rows_corrected) == ("succeeded", len(days))
    assert list(DailyBar.objects.values_list("close", flat=True)) == [9.5] * (len(days) - 1)


def test_days_that_a_moved_series_no_longer_has_do_not_stay_on_the_old_basis():
    days = sessions(FIRST, date(2024, 4, 30))
    write("600000", days[:-1], "qfq")
    collect(adjust="qfq", last=days[-2])
    write("600000", [*days[:3], *days[5:]], "qfq", close=9.5)
    item = collect(adjust="qfq", last=days[-1])
    assert set(DailyBar.objects.values_list("close", flat=True)) == {9.5}
    assert item.rows_corrected == len(days) - 1
    assert Series.objects.get().bars == DailyBar.objects.count() == len(days) - 2


def test_a_forward_adjusted_price_may_be_negative_and_an_unadjusted_one_may_not():
    bars = [make_bar(day, -178.13) for day in sessions(FIRST, LAST)]
    Ledger.bars["600000", "qfq"] = Ledger.bars["600000", ""] = bars
    assert collect(adjust="qfq").rows_collected == len(bars)
    item = collect()
    assert (item.state, item.error_code, item.rows_refused) == ("failed", "price_not_positive", len(bars))


def test_bars_that_nothing_is_noted_of_are_found_all_the_same():
    write("600000", sessions(FIRST, LAST))
    whole = collect().rows_collected
    Series.objects.all().delete()
    DailyBar.objects.filter(day=DAY).delete()
    rewrite(day=date(2024, 3, 14), close=10.05)
    item = collect()
    assert (item.rows_collected, item.rows_corrected, item.rows_skipped) == (1, 1, whole - 2)
    assert Series.objects.get().bars == whole == DailyBar.objects.count()
