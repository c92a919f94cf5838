"""The migration that merges what was stored under several spellings of one code: no bar is lost."""

from datetime import date, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db.models.functions import Now

from tasks_app.models import (
    CodeChange,
    CollectionItem,
    CollectionTask,
    Correction,
    DailyBar,
    Finding,
    Series,
    Stock,
)

pytestmark = pytest.mark.django_db
migration = import_module("tasks_app.migrations.0013_merge_spellings_of_codes")
FIRST = date(2024, 1, 1)


def merge():
    migration.merge(apps, None)


def day(n):
    return FIRST + timedelta(days=n)


def make_series(code, days, *, market="US", adjust="", close=11.0, source="akshare", covered=None, **stock):
    key = {"market": market, "symbol": code, "adjust": adjust}
    prices = {"open": 10.0, "high": 90.0, "low": 9.0, "close": close, "volume": 100}
    DailyBar.objects.bulk_create(DailyBar(**key, day=day(n), source=source, **prices) for n in days)
    answered = [[day(days[0]).isoformat(), day(days[-1]).isoformat()]] if days else []
    Series.objects.create(
        **key,
        bars=len(days),
        first_day=day(days[0]) if days else None,
        last_day=day(days[-1]) if days else None,
        covered=answered if covered is None else covered,
    )
    Stock.objects.update_or_create(market=market, code=code, defaults=stock)


def stored():
    """Returns the days by code, as numbers from the first one."""
    found: dict[str, list[int]] = {}
    for code, on in DailyBar.objects.order_by("symbol", "day").values_list("symbol", "day"):
        found.setdefault(code, []).append((on - FIRST).days)
    return found


def series_of(code):
    return Series.objects.values_list("bars", "first_day", "last_day", "covered").get(symbol=code)


def test_bars_under_all_spellings_become_one_series():
    make_series("BRK_B", [0, 1, 2])
    make_series("106.BRK_B", [2, 3])
    make_series("BRK-B", [6, 7], source="csv")
    before = set(DailyBar.objects.values_list("day", "close", "source"))
    merge()
    assert stored() == {"BRK.B": [0, 1, 2, 3, 6, 7]}
    assert set(DailyBar.objects.values_list("day", "close", "source")) == before
    covered = [[day(0).isoformat(), day(3).isoformat()], [day(6).isoformat(), day(7).isoformat()]]
    assert series_of("BRK.B") == (6, day(0), day(7), covered)
    assert list(Stock.objects.values_list("code", flat=True)) == ["BRK.B"]
    assert not Finding.objects.exists()


@pytest.mark.parametrize(
    ("market", "spelling", "code"),
    [
        ("CN", "SH600519", "600519"),
        ("CN", "000002.SZ", "000002"),
        ("HK", "700", "00700"),
        ("HK", "0700.HK", "00700"),
        ("US", "105.AAPL", "AAPL"),
        ("US", "aapl", "AAPL"),
    ],
)
def test_kind_of_spelling_is_renamed(market, spelling, code):
    make_series(spelling, [0, 1], market=market, name="name", full_collection_completed=False)
    merge()
    assert stored() == {code: [0, 1]}
    assert Stock.objects.values_list("code", "name").get() == (code, "name")
    assert series_of(code)[0] == 2


@pytest.mark.parametrize(("market", "code"), [("CN", "2"), ("CN", "SZ.600519"), ("US", "ENERGY_5YR")])
def test_unclear_code_stays(market, code):
    make_series(code, [0], market=market)
    merge()
    assert stored() == {code: [0]}
    assert Stock.objects.get().code == code


def test_conflicting_bars_both_stay_and_are_reported():
    make_series("600519", [0, 1], market="CN", name="贵州茅台")
    make_series("600519.SH", [1, 2], market="CN", close=12.5, source="csv", name="Maotai")
    merge()
    assert stored() == {"600519": [0, 1, 2], "600519.SH": [1]}
    closes = dict(DailyBar.objects.filter(day=day(1)).values_list("symbol", "close"))
    assert closes == {"600519": 11.0, "600519.SH": 12.5}
    assert (series_of("600519")[0], series_of("600519.SH")[0]) == (3, 1)
    finding = Finding.objects.get()
    assert (finding.symbol, finding.kind, finding.code) == ("600519", "flagged", "other_spelling")
    assert "1 bars with other values, from 2024-01-02 to 2024-01-02, stay stored as 600519.SH" in (
        finding.message
    )
    assert set(Stock.objects.values_list("code", "name")) == {("600519", "贵州茅台"), ("600519.SH", "Maotai")}


@pytest.mark.parametrize(
    ("canonical", "other", "kept"),
    [(5.0, None, False), (5.0, 5.0 + 1e-12, False), (None, 5.0, True), (5.0, 5.1, True)],
)
def test_bar_that_says_nothing_more_is_a_copy(canonical, other, kept):
    make_series("600519", [0], market="CN")
    DailyBar.objects.update(amount=canonical)
    make_series("600519.SH", [0], market="CN")
    DailyBar.objects.filter(symbol="600519.SH").update(amount=other)
    merge()
    assert DailyBar.objects.filter(symbol="600519.SH").exists() == kept
    assert DailyBar.objects.get(symbol="600519").amount == canonical


def test_adjusted_series_are_merged_only_if_they_agree():
    make_series("BRK.B", [0, 1], adjust="qfq")
    make_series("BRK-B", [1, 2], adjust="qfq")
    make_series("00700", [0, 1], market="HK", adjust="qfq")
    make_series("700", [2, 3], market="HK", adjust="qfq", close=12.0)
    merge()
    assert stored() == {"BRK.B": [0, 1, 2], "00700": [0, 1], "700": [2, 3]}
    assert Finding.objects.get().symbol == "00700"


def test_answers_without_a_bar_are_not_believed():
    make_series("600519", [0], market="CN")
    make_series("SH600519", [], market="CN", covered=[["2020-01-01", "2023-12-31"]])
    merge()
    assert series_of("600519") == (1, day(0), day(0), [["2024-01-01", "2024-01-01"]])
    assert not Series.objects.filter(symbol="SH600519").exists()


def test_findings_and_corrections_follow_their_bars():
    make_series("AAPL", [0])
    make_series("105.AAPL", [0, 1], close=12.0)
    key = {"market": "US", "symbol": "105.AAPL"}
    for n in (0, 1):
        Correction.objects.create(**key, day=day(n), source="akshare")
        Finding.objects.create(**key, day=day(n), kind="flagged", code="jump_beyond_limit", message="…")
    merge()
    assert dict(Correction.objects.values_list("day", "symbol")) == {day(0): "105.AAPL", day(1): "AAPL"}
    found = Finding.objects.filter(code="jump_beyond_limit").values_list("day", "symbol")
    assert dict(found) == {day(0): "105.AAPL", day(1): "AAPL"}


def test_running_task_goes_on_with_the_canonical_code():
    days = {"start_date": FIRST, "end_date": FIRST}
    task = CollectionTask.objects.create(market="CN", source="akshare", total_stocks=2, **days)
    ended = CollectionTask.objects.create(
        market="CN", source="akshare", status="completed", end_time=Now(), **days
    )
    make_series("SH600519", [0], market="CN")
    CollectionItem.objects.create(task=task, position=0, code="SH600519")
    CollectionItem.objects.create(
        task=ended, position=0, code="SH600519", state="succeeded", finished_at=Now()
    )
    merge()
    codes = dict(CollectionItem.objects.values_list("task_id", "code"))
    assert codes == {task.pk: "600519", ended.pk: "SH600519"}


def test_made_up_codes_stay():
    Stock.objects.create(market="SIM", code="600000.SH")
    merge()
    assert Stock.objects.get().code == "600000.SH"


def test_change_of_facebook_is_known():
    merge()
    change = CodeChange.objects.get()
    assert (change.old_code, change.new_code, change.changed_on) == ("FB", "META", date(2022, 6, 9))
    merge()
    assert CodeChange.objects.count() == 1
