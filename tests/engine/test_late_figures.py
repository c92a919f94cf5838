"""Vendors revise their newest bars: the last five stored ones are compared by the next ordinary request."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tasks_app import lifecycle
from tasks_app.engine import day_fetches
from tasks_app.market import calendars
from tasks_app.models import CalendarDay, Correction, DailyBar, Finding, Series
from tasks_app.sources import registry
from tests.engine.helpers import store
from tests.factories import ACTOR, make_order
from tests.fakes import recording_source, scripted_sources
from tests.fakes.recording_source import RecordingSource, make_bar, set_bars
from tests.fakes.scripted_sources import STOCKS, ByDay
from tools.in_process import work

pytestmark = pytest.mark.django_db
CODE = "600000"
DAYS = [day for n in range(29) if (day := date(2024, 3, 1) + timedelta(n)).weekday() < 5]  # all sessions


@pytest.fixture(autouse=True)
def recorded(settings, monkeypatch):
    settings.COLLECTOR = recording_source.with_recording_source(settings.COLLECTOR)
    set_bars(CODE, DAYS)
    close_after(monkeypatch, DAYS[-1])


def close_after(monkeypatch, day):
    monkeypatch.setattr(calendars, "last_closed_day", lambda market, now=None: day)


def collect(first, last, **fields):
    """Runs a task for the stock to its end. Returns the task."""
    RecordingSource.requests.clear()
    order = make_order(
        **{"source": "recording", "stock_codes": (CODE,), "start_date": first, "end_date": last, **fields}
    )
    task = lifecycle.start(order, ACTOR, today=date(2026, 1, 2))
    work()
    task.refresh_from_db()
    return task


def store_bars(days):
    """Stores the stock's bars of these days as the source sends them now."""
    store("recording", {CODE: [bar for bar in RecordingSource.bars[CODE, ""] if bar.day in days]})


def revise(day, **fields):
    """Has the source send other values of a day from now on."""
    bars = RecordingSource.bars[CODE, ""]
    RecordingSource.bars[CODE, ""] = [bar._replace(**fields) if bar.day == day else bar for bar in bars]


def spans():
    return [(request.start, request.end) for request in RecordingSource.requests]


@pytest.mark.parametrize("place", [0, 4, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 2, 3))])
def test_revised_newest_bar_is_corrected_by_the_next_ordinary_order(place):
    store_bars(DAYS[:10])
    late = DAYS[9 - place]
    revise(late, volume=38_355)
    task = collect(DAYS[0], DAYS[10])
    assert spans() == [(DAYS[5], DAYS[10])], "one request, which begins five bars earlier"
    assert DailyBar.objects.get(day=late).volume == 38_355
    assert (task.collected_count, task.corrected_count, task.skipped_count) == (1, 1, 9)
    correction = Correction.objects.get()
    assert (correction.day, correction.before, correction.after) == (
        late,
        {"volume": 1000},
        {"volume": 38_355},
    )


def rescale(days, ratio):
    """Has the source send the prices of these days times the ratio from now on, rounded to cents."""
    bars = {bar.day: bar for bar in RecordingSource.bars[CODE, ""]}
    for day in days:
        prices = {
            name: round(getattr(bars[day], name) * ratio, 2) for name in ("open", "high", "low", "close")
        }
        revise(day, **prices)


@pytest.mark.parametrize("known", [10, 11], ids=["before the split", "a session after it"])
@pytest.mark.parametrize("ratio", [0.97, *(pytest.param(n, marks=pytest.mark.soak) for n in (0.1, 0.5, 3.0))])
def test_kind_of_past_that_its_vendor_adjusted_is_kept(known, ratio):
    """A split's ratio on all prices is no late figure: the series stays unadjusted, and a finding says so."""
    RecordingSource.bars[CODE, ""] = [make_bar(day, 20 + n / 8) for n, day in enumerate(DAYS)]
    store_bars(DAYS[:known])
    before = list(DailyBar.objects.values_list("day", "close", "volume"))
    rescale(DAYS[:10], ratio)
    task = collect(DAYS[0], DAYS[known])
    assert (task.collected_count, task.corrected_count) == (1, 0)
    assert list(DailyBar.objects.filter(day__lt=DAYS[known]).values_list("day", "close", "volume")) == before
    finding = Finding.objects.get(code="past_rescaled")
    assert (finding.day, finding.kind) == (DAYS[9], "flagged")
    assert float(finding.params["ratio"]) == pytest.approx(ratio, rel=0.001)


def test_two_late_figures_are_no_adjusted_past():
    store_bars(DAYS[:10])
    revise(DAYS[8], close=10.9, high=11.5)
    revise(DAYS[9], close=10.9, high=11.5)
    assert collect(DAYS[0], DAYS[10]).corrected_count == 2
    assert not Finding.objects.filter(code="past_rescaled").exists()


def test_forced_update_takes_the_adjusted_past():
    store_bars(DAYS[:10])
    rescale(DAYS[:10], 0.5)
    assert collect(DAYS[0], DAYS[9], force_update=True).corrected_count == 10


def test_older_bars_are_not_compared():
    store_bars(DAYS[:10])
    revise(DAYS[4], volume=38_355)
    assert collect(DAYS[0], DAYS[10]).corrected_count == 0


def test_order_that_lacks_nothing_makes_no_request_to_compare():
    store_bars(DAYS[:10])
    revise(DAYS[9], volume=38_355)
    task = collect(DAYS[0], DAYS[9])
    assert (spans(), task.corrected_count, task.skipped_count) == ([], 0, 10)


def test_order_of_one_day_counts_only_its_own_bars():
    store_bars(DAYS[:10])
    revise(DAYS[9], volume=38_355)
    task = collect(DAYS[10], DAYS[10])
    assert spans() == [(DAYS[5], DAYS[10])]
    assert (task.collected_count, task.corrected_count, task.skipped_count) == (1, 1, 0)


def test_suspended_stock_compares_its_own_last_five_bars():
    traded = [*DAYS[:6], *DAYS[12:]]
    set_bars(CODE, traded)
    store_bars(DAYS[:13])
    collect(DAYS[0], DAYS[13])
    assert spans() == [(DAYS[2], DAYS[13])]


def test_days_that_nobody_asked_for_are_not_requested_by_a_comparison():
    collect(DAYS[0], DAYS[4])
    collect(DAYS[8], DAYS[9])
    task = collect(DAYS[10], DAYS[10])
    assert spans() == [(DAYS[8], DAYS[10])]
    assert task.collected_count == 1
    assert collect(DAYS[14], DAYS[14]).skipped_count == 0
    assert spans() == [(DAYS[14], DAYS[14])], "the days between were never asked for"


def test_gap_before_stored_bars_is_requested_alone():
    collect(DAYS[0], DAYS[4])
    collect(DAYS[8], DAYS[12])
    collect(DAYS[0], DAYS[12])
    assert spans() == [(DAYS[5], DAYS[7])]


def test_comparison_does_not_flag_the_same_bar_again():
    CalendarDay.objects.create(market="CN", day=DAYS[9], is_session=False)
    collect(DAYS[0], DAYS[9])
    assert Finding.objects.count() == 1
    task = collect(DAYS[0], DAYS[10])
    assert spans() == [(DAYS[5], DAYS[10])]
    assert (task.flagged_count, Finding.objects.count()) == (0, 1)


def test_revision_that_makes_no_sense_keeps_the_stored_bar():
    store_bars(DAYS[:10])
    revise(DAYS[9], high=1.0)
    task = collect(DAYS[0], DAYS[10])
    assert (task.status, task.refused_count, task.collected_count) == ("completed", 1, 1)
    assert DailyBar.objects.get(day=DAYS[9]).high == make_bar(DAYS[9]).high


@pytest.mark.parametrize(("place", "status"), [(10, "failed"), (9, "completed")], ids=["new", "compared"])
def test_stock_fails_if_its_only_new_bar_is_refused(place, status):
    set_bars(CODE, DAYS[: place + 1])
    store_bars(DAYS[:10])
    revise(DAYS[place], high=1.0)
    task = collect(DAYS[0], DAYS[10])
    assert (task.status, task.refused_count) == (status, 1)
    series = Series.objects.get()
    assert (series.bars, series.last_day) == (10, DAYS[9])


def test_bar_that_comes_late_is_collected():
    """A day that counts as answered, since other stocks had bars, gets its bar after all."""
    set_bars(CODE, [*DAYS[:9], DAYS[10]])
    collect(DAYS[0], DAYS[10])
    set_bars(CODE, DAYS)
    task = collect(DAYS[11], DAYS[11])
    assert (task.collected_count, task.skipped_count) == (2, 0)
    assert Series.objects.get().bars == 12


def test_stock_suspended_on_the_new_day_proves_it_by_its_old_bars():
    set_bars(CODE, DAYS[:10])
    set_bars("600001", DAYS)
    both = {"stock_codes": ("600001", CODE)}
    collect(DAYS[0], DAYS[9], **both)
    collect(DAYS[0], DAYS[10], **both)
    collect(DAYS[0], DAYS[10], **both)
    assert spans() == []
    assert Series.objects.get(symbol=CODE).last_day == DAYS[9]


@pytest.fixture
def by_day(settings, monkeypatch):
    """A source of whole days, and a function that sets the volume that it sends from a day on."""
    day_fetches._caches.clear()
    volumes = {}

    def script(day):
        bars = scripted_sources.whole_market(day)
        return {code: bar._replace(volume=volumes.get(day, 1000)) for code, bar in bars.items()}

    monkeypatch.setattr(ByDay, "days", staticmethod(script))
    monkeypatch.setattr(ByDay, "calendar", True)
    settings.COLLECTOR = replace(
        scripted_sources.with_scripted_sources(settings.COLLECTOR, monkeypatch), by_day_from=STOCKS
    )
    return volumes


def store_market(days):
    bars = [scripted_sources.make_bar(day=day) for day in days]
    store("by_day", {f"{n:06d}": bars for n in range(1, STOCKS + 1)})


def collect_market(first, last):
    ByDay.calls.clear()
    task = collect(first, last, source="by_day", stock_codes=None)
    return task, [call for call in ByDay.calls if call != "list"]


def test_market_updated_by_days_corrects_its_newest_bars(by_day):
    store_market(DAYS[:4])
    by_day[DAYS[3]] = 38_355
    task, calls = collect_market(DAYS[0], DAYS[4])
    assert sorted(calls) == [day.isoformat() for day in DAYS[:5]], "five requests for all stocks"
    assert (task.collected_count, task.corrected_count) == (STOCKS, STOCKS)
    assert task.skipped_count == 3 * STOCKS


def test_day_that_cannot_be_compared_is_left_out(by_day, monkeypatch):
    store_market(DAYS[:4])
    monkeypatch.setattr(ByDay, "offers_day", lambda self, market, day: day == DAYS[4], raising=False)
    registry.traits.cache_clear()
    task, calls = collect_market(DAYS[0], DAYS[4])
    assert calls == [DAYS[4].isoformat()]
    assert (task.status, task.collected_count) == ("completed", STOCKS)


def test_failing_day_to_compare_does_not_cost_a_request_per_stock(by_day, monkeypatch):
    store_market(DAYS[:4])
    script = ByDay.days

    def days(day):
        return {} if day == DAYS[2] else script(day)

    monkeypatch.setattr(ByDay, "days", staticmethod(days))
    task, calls = collect_market(DAYS[0], DAYS[4])
    assert sorted(calls) == [day.isoformat() for day in DAYS[:5]]
    assert (task.status, task.collected_count) == ("completed", STOCKS)
    assert not task.events.filter(kind="warned").exists()
