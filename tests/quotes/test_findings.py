"""Findings and corrections are stored beside the bars and counted; their lists are bounded."""

from datetime import date
from decimal import Decimal

import pytest
from django.utils.translation import override

from tasks_app import reasons
from tasks_app.models import Correction, DailyBar, Finding, Stock
from tasks_app.quotes import adjustment_data, findings
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.fakes.recording_source import RecordingSource, make_bar, sessions, set_bars
from tests.quotes.helpers import DAY, FIRST, LAST, collect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("recording_source")]


def collect_bars(bars, code="600000", market="CN", **fields):
    """Collects March 2024 from a source that has these bars; returns the item."""
    RecordingSource.bars[code, ""] = bars
    return collect(code, market=market, **fields)


def make_month(**fields):
    """Returns a month of sound bars, with these fields changed in the bar of `DAY`."""
    set_bars("x", sessions(FIRST, LAST))
    return [bar._replace(**fields) if bar.day == DAY else bar for bar in RecordingSource.bars["x", ""]]


def collect_months(changes):
    """Collects a month of a stock for each of these changed fields; returns the items in this order."""
    codes = [f"60{n:04d}" for n in range(len(changes))]
    for code, fields in zip(codes, changes, strict=True):
        RecordingSource.bars[code, ""] = make_month(**fields)
    return list(collect(*codes).task.items.order_by("position"))


def listed(kind):
    """Returns code and day of each stored finding of this kind."""
    return list(Finding.objects.filter(kind=kind).values_list("code", "day"))


@pytest.mark.any_database  # judged in Python; others store and list
def test_sound_bars_have_no_findings():
    item = collect_bars(make_month())
    assert (item.rows_refused, item.rows_flagged) == (0, 0)
    assert not Finding.objects.exists()


@pytest.mark.any_database  # judged in Python; others store and list
def test_impossible_bar_is_refused_and_listed():
    changes = {
        "prices_out_of_order": {"high": 9.0},
        "price_not_positive": {"low": 0.0},
        "bad_volume": {"volume": -1},
        "negative_value": {"amount": -5.0},
        "not_a_number": {"turnover": float("nan")},
    }
    for item, code in zip(collect_months(changes.values()), changes, strict=True):
        assert (item.state, item.rows_refused, item.rows_collected) == ("succeeded", 1, 20), code
        finding = Finding.objects.get(item=item)
        assert (finding.kind, finding.code, finding.day) == ("refused", code, DAY)
    assert not DailyBar.objects.filter(day=DAY).exists()


@pytest.mark.any_database  # judged in Python; others store and list
def test_doubtful_bar_is_stored_flagged_and_listed():
    changes = [
        ({"amount": 2_000_000.0}, "amount_outside_range"),
        ({"amount": 100.0}, "amount_outside_range"),
        ({"high": 11.5}, "jump_beyond_limit"),
        ({"prev_close": 8.0}, "jump_beyond_limit"),
    ]
    items = collect_months([{"volume": 100_000, **fields} for fields, _ in changes])
    for item, (fields, code) in zip(items, changes, strict=True):
        assert (item.state, item.rows_flagged, item.rows_collected) == ("succeeded", 1, 21), fields
        finding = Finding.objects.get(item=item)
        assert (finding.kind, finding.code, finding.day) == ("flagged", code, DAY)
        bar = DailyBar.objects.get(symbol=item.code, day=DAY)
        assert {name: getattr(bar, name) for name in fields} == fields
    items[0].task.refresh_from_db()
    assert items[0].task.flagged_count == len(changes)


@pytest.mark.any_database  # judged in Python; others store and list
def test_bar_on_a_closed_day_is_flagged():
    item = collect_bars([*make_month(), make_bar(date(2024, 3, 10))])
    assert item.rows_flagged == 1
    assert listed("flagged") == [("not_a_session", date(2024, 3, 10))]


@pytest.mark.any_database  # judged in Python; others store and list
def test_market_without_limits_flags_no_jump():
    bars = [make_bar(day, 10.0 if day < DAY else 6.0) for day in sessions(FIRST, LAST, "US")]
    assert collect_bars(bars, "AAPL", "US").rows_flagged == 0


@pytest.mark.any_database  # judged in Python; others store and list
@pytest.mark.parametrize("after", [1.0, 5.0, 20.0])
def test_jump_as_after_a_split_is_flagged(after):
    bars = [make_bar(day, 10.0 if day < DAY else after) for day in sessions(FIRST, LAST, "US")]
    assert collect_bars(bars, "AAPL", "US").rows_flagged == 1
    assert listed("flagged") == [("jump_without_factor", DAY)]


@pytest.mark.any_database  # judged in Python; others store and list
@pytest.mark.parametrize("told_by", ["factor", "action", "previous close"])
def test_jump_that_is_told_is_not_flagged(told_by):
    if told_by == "factor":
        adjustment_data.replace_factors("US", "AAPL", "any", [Factor(DAY, Decimal(2))], LAST)
    elif told_by == "action":
        split = CorporateAction("split", DAY, ratio=Decimal(1))
        adjustment_data.replace_actions("US", "AAPL", "any", CorporateActions([split]), LAST)
    sent = {"prev_close": 5.0} if told_by == "previous close" else {}
    bars = [
        make_bar(day, 10.0 if day < DAY else 5.0, **(sent if day == DAY else {}))
        for day in sessions(FIRST, LAST, "US")
    ]
    assert collect_bars(bars, "AAPL", "US").rows_flagged == 0


@pytest.mark.any_database  # judged in Python; others store and list
@pytest.mark.parametrize(("after", "flagged"), [(4.0, 0), (1.0, 1)])
def test_fall_of_a_stock_whose_splits_are_told_is_believed_up_to_four_fifths(after, flagged):
    adjustment_data.replace_actions("US", "AAPL", "any", CorporateActions(), LAST)
    bars = [make_bar(day, 10.0 if day < DAY else after) for day in sessions(FIRST, LAST, "US")]
    assert collect_bars(bars, "AAPL", "US").rows_flagged == flagged


@pytest.mark.any_database  # judged in Python; others store and list
def test_past_that_its_source_adjusts_for_a_split_is_flagged():
    days = sessions(FIRST, LAST, "US")
    collect_bars([make_bar(day, 1000.0) for day in days[:10]], "AAPL", "US", last=days[9])
    collect_bars([make_bar(day, 100.0) for day in days], "AAPL", "US")
    # The last five stored bars are compared, and come adjusted, too: they are corrections.
    assert listed("flagged") == [("jump_without_factor", days[5])]
    assert Correction.objects.count() == 5


@pytest.mark.any_database  # judged in Python; others store and list
def test_split_adjusted_past_is_replaced_as_a_whole():
    days = sessions(FIRST, LAST, "US")
    for close, last in ((1000.0, days[9]), (100.0, days[-1])):
        set_bars("AAPL", days, "split", close=close)
        item = collect("AAPL", market="US", adjust="split", last=last)
    assert set(DailyBar.objects.values_list("adjust", "close")) == {("split", 100.0)}
    assert (item.rows_corrected, item.rows_flagged) == (10, 0)


@pytest.mark.any_database  # judged in Python; others store and list
def test_increment_is_measured_by_the_stored_close():
    collect_bars(make_month()[:10])
    item = collect_bars(
        [
            *make_month()[:10],
            *(bar._replace(open=5.0, high=5.1, low=4.9, close=5.0) for bar in make_month()[10:]),
        ]
    )
    assert item.rows_flagged == 0, "the days are answered already"
    item = collect_bars(
        RecordingSource.bars["600000", ""][:10] + RecordingSource.bars["600000", ""][10:], force_update=True
    )
    assert listed("flagged") == [("jump_beyond_limit", sessions(FIRST, LAST)[10])]


@pytest.mark.any_database  # judged in Python; others store and list
def test_first_sessions_after_listing_have_no_limit():
    bars = [make_bar(day, 10.0 if day == DAY else 16.0) for day in sessions(DAY, LAST)]
    for _ in range(2):
        assert collect_bars(bars, force_update=True).rows_flagged == 0, "a first bar this late is a listing"
    Stock.objects.update(listed_on=DAY)
    assert collect_bars(bars, force_update=True).rows_flagged == 0


@pytest.mark.any_database  # judged in Python; others store and list
def test_listed_findings_are_bounded_but_counted():
    bars = [bar._replace(amount=1.0) for bar in make_month()]
    item = collect_bars([*bars, *bars[:1] * 30])
    assert (item.rows_flagged, item.rows_refused) == (21, 30)
    assert (len(listed("flagged")), len(listed("refused"))) == (20, 20)


def test_finding_names_the_source_of_its_bar():
    collect_bars(make_month(amount=1.0))
    assert Finding.objects.get().source == "recording"


@pytest.mark.any_database  # judged in Python; others store and list
def test_correction_names_the_source_before():
    collect_bars(make_month())
    DailyBar.objects.update(source="other")
    collect_bars(make_month(close=10.5, high=11.5), force_update=True)
    correction = Correction.objects.get()
    assert (correction.previous_source, correction.source) == ("other", "recording")


def test_listed_corrections_are_bounded_but_counted(monkeypatch):
    monkeypatch.setattr(findings, "MAX_CORRECTIONS", 15)
    days = sessions(FIRST, LAST)
    set_bars("600000", days)
    collect()
    set_bars("600000", days, close=10.05)
    item = collect(force_update=True)
    assert item.rows_corrected == len(days)
    assert Correction.objects.count() == 16
    assert Correction.objects.get(before__isnull=True).bars == len(days) - 15


NUMBERS = [
    ({"high": 9.0}, "open 10, high 9, low 9.9, close 10", "开盘价 10，最高价 9，最低价 9.9，收盘价 10"),
    ({"low": 0.0}, "zero or negative (low 0)", "最低 0"),
    ({"volume": -1}, "the volume -1 is not a valid number of shares", "成交量 -1"),
    ({"amount": -5.0}, "amount is negative (-5)", "amount 为负数（-5）"),
    ({"close": float("nan")}, "close is missing or not a number (nan)", "close 缺失或不是数值（nan）"),
    (
        {"amount": 2e6, "volume": 100_000},
        "is 20.0000, outside low 9.9 to high 10.1",
        "为 20.0000，不在最低 9.9 至最高 10.1",
    ),
    ({"high": 11.5}, "9.9 to 11.5 is more than 10%", "9.9 至 11.5 超过前收盘"),
]


@pytest.mark.any_database  # judged in Python; others store and list
def test_finding_has_the_same_numbers_in_both_languages():
    items = collect_months([fields for fields, _, _ in NUMBERS])
    for item, (_, english, chinese) in zip(items, NUMBERS, strict=True):
        finding = Finding.objects.get(item=item)
        told = finding.code, finding.message, finding.day, finding.params
        assert english in finding.message
        assert reasons.describe_finding(*told) == finding.message
        with override("zh-hans"):
            sentence = reasons.describe_finding(*told)
        assert chinese in sentence
        assert sentence.startswith("2024-03-13：")


def test_refused_bar_keeps_its_values():
    collect_bars(make_month(low=0.0, amount=float("inf"), volume=10**30))
    assert Finding.objects.get().values == {
        "open": 10.0,
        "high": 10.1,
        "low": 0.0,
        "close": 10.0,
        "volume": "1000000000000000000000000000000",
        **dict.fromkeys(("prev_close", "amplitude", "change", "change_pct", "turnover")),
        "amount": "inf",
    }


@pytest.mark.any_database  # judged in Python; others store and list
def test_older_finding_keeps_its_english_sentence():
    with override("zh-hans"):
        text = reasons.describe_finding("bad_volume", "2024-01-02: the volume -1 is bad.", "2024-01-02", None)
    assert text == "成交量不是有效的股数。2024-01-02: the volume -1 is bad."
    assert reasons.describe_finding("of_another_version", "Odd.", "", {"n": "1"}) == "Odd."


@pytest.mark.any_database  # judged in Python; others store and list
def test_every_sentence_of_a_finding_has_its_code_explained():
    assert set(reasons.FINDINGS) <= set(reasons.REASONS)
