"""The migration that moves what `simulated` stored under real markets: no bar is lost, nothing is guessed."""

from datetime import date, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.functions import Now

from tasks_app.db import triggers
from tasks_app.models import (
    CollectionItem,
    CollectionTask,
    Correction,
    DailyBar,
    Finding,
    Series,
    Stock,
    StockList,
)
from tests.factories import make_plan

pytestmark = pytest.mark.django_db
migration = import_module("tasks_app.migrations.0010_move_synthetic_quotes")
FIRST = date(2024, 1, 1)
PRICES = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100}
COVERED = [["2024-01-01", "2024-06-28"]]


@pytest.fixture(autouse=True)
def no_triggers():
    """Takes the triggers away, as they were missing when the rows of before were written."""
    with connection.cursor() as cursor:
        for table in triggers.OF_A_SOURCE:
            for name in (f"{table}_apart", f"{table}_apart_moved"):
                on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")


def move():
    migration.move(apps, None)


def make_series(code, *sources, market="CN", adjust="", item_id=None, **fields):
    """Stores ten days of each of the sources, one after the other, as one series and its stock."""
    days = [FIRST + timedelta(days=n) for n in range(10 * len(sources))]
    key = {"market": market, "symbol": code, "adjust": adjust}
    DailyBar.objects.bulk_create(
        DailyBar(**key, day=day, source=sources[n // 10], item_id=item_id, **PRICES)
        for n, day in enumerate(days)
    )
    Series.objects.create(
        **key, bars=len(days), first_day=days[0], last_day=days[-1], covered=COVERED if sources else []
    )
    Stock.objects.get_or_create(market=market, code=code, defaults=fields)


def make_past_task(*codes, market="CN", source="simulated", **fields):
    """Creates a completed task; returns its items."""
    days = {"start_date": FIRST, "end_date": FIRST, "end_time": Now()}
    task = CollectionTask.objects.create(market=market, source=source, status="completed", **days, **fields)
    return [
        CollectionItem.objects.create(
            task=task, position=n, code=code, state="succeeded", source=source, finished_at=Now()
        )
        for n, code in enumerate(codes)
    ]


def all_bars():
    return list(DailyBar.objects.order_by("day", "pk").values_list("pk", "symbol", "day", "close", "source"))


def series_of(market, code):
    return Series.objects.values_list("bars", "first_day", "last_day", "covered").get(
        market=market, symbol=code
    )


def names(market):
    return dict(Stock.objects.filter(market=market).values_list("code", "name"))


def test_every_bar_is_kept_in_its_place():
    make_series("600000", "simulated", name="Simulated 600000")
    make_series("600519", "baostock", name="贵州茅台")
    make_series("000001", "simulated", "csv", name="平安银行")
    before = all_bars()
    move()
    assert all_bars() == before
    assert {*DailyBar.objects.values_list("market", "source")} == {
        ("SIM", "simulated"),
        ("CN", "csv"),
        ("CN", "baostock"),
    }


def test_mixed_series_is_split_and_its_answers_are_unknown():
    make_series("000001", "simulated", "csv", full_collection_completed=True, full_collection_date=Now())
    move()
    assert series_of("CN", "000001") == (10, FIRST + timedelta(days=10), FIRST + timedelta(days=19), [])
    assert series_of("SIM", "000001") == (10, FIRST, FIRST + timedelta(days=9), [])
    assert not Stock.objects.filter(full_collection_completed=True).exists()


def test_series_of_one_kind_keeps_its_answers():
    make_series("600000", "simulated")
    make_series("600519", "baostock", full_collection_completed=True, full_collection_date=Now())
    move()
    assert series_of("SIM", "600000")[3] == COVERED
    assert series_of("CN", "600519")[3] == COVERED
    assert not Series.objects.filter(market="CN", symbol="600000").exists()
    assert Stock.objects.get(code="600519").full_collection_completed


def test_real_series_for_which_it_answered_loses_its_answers():
    make_past_task("600519")
    make_series("600519", "baostock")
    move()
    assert series_of("CN", "600519") == (10, FIRST, FIRST + timedelta(days=9), [])
    assert not Series.objects.filter(market="SIM").exists()


def test_stocks_get_their_real_names_back():
    former = [{"name": "浦发银行", "until": "2025-01-01"}]
    make_series("600000", "simulated", name="Simulated 600000", former_names=former)
    make_series("600519", "simulated", name="贵州茅台")
    make_series("000001", "simulated", "csv", name="Simulated 000001")
    make_series("300001", "simulated", name="Simulated 300001")
    Stock.objects.create(market="CN", code="300002", name="Simulated 300002")
    StockList.objects.create(market="CN", source="simulated", size=5400, synced_at=Now())
    StockList.objects.create(market="HK", source="simulated", size=9, synced_at="2020-01-01T00:00Z")
    move()
    assert names("CN") == {"600000": "浦发银行", "600519": "贵州茅台", "000001": ""}
    assert Stock.objects.get(market="CN", code="600000").former_names == []
    made_up = ("600000", "000001", "300001", "300002")
    assert names("SIM") == {**{code: f"Simulated {code}" for code in made_up}, "600519": ""}
    assert [*StockList.objects.values_list("market", "size")] == [("SIM", 5400)]


def test_findings_have_the_source_that_is_proven():
    alive, real = make_past_task("600000")[0], make_past_task("600519", source="baostock")[0]
    make_series("600000", "simulated", item_id=777)
    key = {"symbol": "600000", "kind": "flagged", "code": "not_a_session", "message": "…", "day": FIRST}
    findings = {
        "its item is there": Finding.objects.create(market="CN", item=alive, **key),
        "bars carry its item": Finding.objects.create(market="CN", item_id=777, **key),
        "nothing tells": Finding.objects.create(market="CN", item_id=778, **key),
        "no item": Finding.objects.create(market="CN", **key),
        "of a real source": Finding.objects.create(market="CN", item=real, **{**key, "symbol": "600519"}),
    }
    move()
    found = {}
    for name, row in findings.items():
        row.refresh_from_db()
        found[name] = (row.market, row.source)
    assert found == {
        "its item is there": ("SIM", "simulated"),
        "bars carry its item": ("SIM", "simulated"),
        "nothing tells": ("CN", ""),
        "no item": ("CN", ""),
        "of a real source": ("CN", "baostock"),
    }


def test_corrections_follow_their_source():
    key = {"market": "CN", "symbol": "600000", "day": FIRST}
    Correction.objects.create(**key, source="simulated")
    Correction.objects.create(**key, source="csv", before={"close": 1}, after={"close": 2})
    move()
    assert set(Correction.objects.values_list("market", "source", "previous_source")) == {
        ("SIM", "simulated", ""),
        ("CN", "csv", ""),
    }


def test_tasks_and_plans_of_made_up_quotes_move():
    make_past_task()
    make_past_task(fallbacks=["baostock"])
    make_past_task(source="baostock", fallbacks=["simulated"])
    make_plan(), make_plan(name="real", source="baostock")
    move()
    assert set(CollectionTask.objects.values_list("market", "source")) == {
        ("SIM", "simulated"),
        ("CN", "simulated"),
        ("CN", "baostock"),
    }
    plans = dict(apps.get_model("tasks_app", "CollectionPlan").objects.values_list("source", "market"))
    assert plans == {"simulated": "SIM", "baostock": "CN"}


def test_codes_that_would_meet_stay_apart():
    make_series("300001", "simulated", market="CN", name="Simulated 300001")
    make_series("300001", "simulated", market="HK", name="Simulated 300001")
    move()
    assert dict(Series.objects.values_list("symbol", "bars")) == {"300001": 10, "300001.HK": 10}
    assert set(DailyBar.objects.values_list("market", "symbol")) == {("SIM", "300001"), ("SIM", "300001.HK")}
    assert set(Stock.objects.values_list("market", "code")) == {("SIM", "300001"), ("SIM", "300001.HK")}
