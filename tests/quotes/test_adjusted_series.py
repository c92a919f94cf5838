"""A dividend or split replaces an adjusted series as a whole, or not at all."""

from datetime import date

import pytest

from tasks_app.models import Correction, DailyBar, Series
from tests.fakes.recording_source import RecordingSource, make_bar, sessions, set_bars
from tests.quotes.helpers import FIRST, LAST, collect, requested_ranges

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("recording_source")]


def test_dividend_reloads_the_whole_series():
    days = sessions(FIRST, date(2024, 4, 30))
    set_bars("600000", days, "qfq")
    collect(adjust="qfq")
    requested_ranges()
    set_bars("600000", days, "qfq", close=9.5)
    item = collect(adjust="qfq", last=date(2024, 4, 30))
    stored = [day for day in days if day <= LAST]
    assert requested_ranges() == [(stored[-5], date(2024, 4, 30)), (FIRST, date(2024, 4, 30))]
    assert set(DailyBar.objects.values_list("close", flat=True)) == {9.5}
    assert (item.state, item.error_code, item.attempts) == ("succeeded", "", 1)
    assert (item.rows_corrected, item.rows_collected) == (len(stored), len(days) - len(stored))
    row = Correction.objects.get()
    assert (row.day, row.bars, row.before, row.after) == (FIRST, len(stored), None, None)
    series = Series.objects.get()
    assert (series.bars, series.covered) == (len(days), [["2024-03-01", "2024-04-30"]])


@pytest.mark.any_database  # judged in Python; others replace and delete
def test_unchanged_series_grows_by_its_increment():
    days = sessions(FIRST, date(2024, 4, 30))
    set_bars("600000", days, "hfq", close=1234.5678)
    collect(adjust="hfq")
    requested_ranges()
    item = collect(adjust="hfq", last=date(2024, 4, 30))
    assert len(requested_ranges()) == 1
    assert (item.rows_corrected, item.rows_skipped) == (0, 21)
    assert not Correction.objects.exists()


@pytest.mark.any_database  # judged in Python; others replace and delete
def test_truncated_series_replaces_nothing():
    days = sessions(FIRST, date(2024, 4, 30))
    set_bars("600000", days, "qfq")
    collect(adjust="qfq", last=days[-2])
    set_bars("600000", days[-3:], "qfq", close=9.5)
    item = collect(adjust="qfq", last=days[-1])
    assert (item.state, item.error_code) == ("failed", "series_cut")
    assert set(DailyBar.objects.values_list("close", flat=True)) == {10.0}
    set_bars("600000", days, "qfq", close=9.5)
    assert collect(adjust="qfq", last=days[-1]).state == "succeeded"
    assert set(DailyBar.objects.values_list("close", flat=True)) == {9.5}


@pytest.mark.any_database  # judged in Python; others replace and delete
@pytest.mark.parametrize(
    "left",
    [
        pytest.param(slice(20, None), id="its last page only"),
        pytest.param(slice(2, None), id="two days too late"),
        pytest.param(slice(0, -3), id="not up to its end"),
    ],
)
def test_partial_response_loses_no_stored_day(left):
    days = sessions(date(2023, 11, 1), LAST)
    set_bars("600000", days, "qfq")
    collect(adjust="qfq", first=days[0])
    set_bars("600000", days[left], "qfq", close=9.5)
    item = collect(adjust="qfq", first=days[0], force_update=True)
    assert (item.state, item.error_code, item.rows_corrected) == ("failed", "series_cut", 0)
    assert list(DailyBar.objects.values_list("close", flat=True)) == [10.0] * len(days)
    assert Series.objects.get().covered == [], "it must still be requested as a whole"


@pytest.mark.any_database  # judged in Python; others replace and delete
def test_response_with_a_hole_loses_no_stored_day():
    days = sessions(date(2023, 11, 1), LAST)
    set_bars("600000", days, "qfq")
    collect(adjust="qfq", first=days[0])
    set_bars("600000", [*days[:30], *days[40:]], "qfq", close=9.5)
    assert collect(adjust="qfq", first=days[0], force_update=True).error_code == "series_cut"
    assert DailyBar.objects.count() == len(days)


@pytest.mark.any_database  # judged in Python; others replace and delete
def test_partial_response_leaves_no_day_answered():
    days = sessions(date(2024, 1, 2), date(2024, 4, 30))
    stored = [day for day in days if day <= LAST]
    set_bars("600000", days, "qfq")
    collect(adjust="qfq", first=days[0])
    set_bars("600000", days[-40:], "qfq", close=9.5)
    item = collect(adjust="qfq", last=days[-1])
    lacking = f"{len(days) - 40} of {len(stored)} days"
    assert item.error_message == f"The source's response lacks {lacking} of the rebased series."
    assert (Series.objects.get().covered, Series.objects.get().bars) == ([], len(stored))
    assert DailyBar.objects.filter(close=10.0).count() == len(stored)


@pytest.mark.any_database  # judged in Python; others replace and delete
def test_rebased_series_may_lack_its_listing_day():
    days = sessions(FIRST, LAST)
    set_bars("600000", days, "qfq")
    collect(adjust="qfq")
    set_bars("600000", days[1:], "qfq", close=9.5)
    item = collect(adjust="qfq", force_update=True)
    assert (item.state, item.rows_corrected) == ("succeeded", len(days))
    assert list(DailyBar.objects.values_list("close", flat=True)) == [9.5] * (len(days) - 1)


def test_days_missing_after_a_rebase_are_deleted():
    days = sessions(FIRST, date(2024, 4, 30))
    set_bars("600000", days[:-1], "qfq")
    collect(adjust="qfq", last=days[-2])
    set_bars("600000", [*days[:3], *days[5:]], "qfq", close=9.5)
    item = collect(adjust="qfq", last=days[-1])
    assert set(DailyBar.objects.values_list("close", flat=True)) == {9.5}
    assert item.rows_corrected == len(days) - 1
    assert Series.objects.get().bars == DailyBar.objects.count() == len(days) - 2


@pytest.mark.any_database  # judged in Python; others replace and delete
def test_only_adjusted_prices_may_be_negative():
    bars = [make_bar(day, -178.13) for day in sessions(FIRST, LAST)]
    RecordingSource.bars["600000", "qfq"] = RecordingSource.bars["600000", ""] = bars
    assert collect(adjust="qfq").rows_collected == len(bars)
    item = collect()
    assert (item.state, item.error_code, item.rows_refused) == ("failed", "price_not_positive", len(bars))
