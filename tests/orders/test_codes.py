"""One security has one series, in whichever spelling its code is ordered, listed or read."""

from dataclasses import replace
from datetime import date

import pytest
from django.conf import settings

from tasks_app import errors, lifecycle
from tasks_app.market import codes, stock_list
from tasks_app.models import CodeAlias, CodeChange, CollectionPlan, DailyBar, Series, Stock
from tasks_app.orders import order as orders, plans
from tasks_app.sources.base import Symbol
from tests.factories import ACTOR, TODAY, make_order, make_plan, make_task
from tests.fakes.recording_source import RecordingSource, set_bars, with_recording_source
from tools.in_process import work

pytestmark = pytest.mark.django_db
DAY = date(2024, 3, 1)


@pytest.fixture(autouse=True)
def recording_source(settings):
    settings.COLLECTOR = with_recording_source(settings.COLLECTOR)


def order(market, *texts, **fields):
    days = {"start_date": DAY, "end_date": DAY}
    return make_order(source="recording", market=market, stock_codes=texts or None, **days, **fields)


def collect(market, *texts):
    task = lifecycle.start(order(market, *texts), ACTOR, today=TODAY)
    work()
    task.refresh_from_db()
    return task


def sync(market, *listed, source="recording"):
    return stock_list.sync(market, source, [Symbol(code) for code in listed], today=DAY)


@pytest.mark.parametrize(
    ("market", "texts", "code"),
    [
        ("US", ("BRK.B", "BRK-B", "BRK_B", "106.BRK_B"), "BRK.B"),
        ("CN", ("600519.SH", "sh600519", "sh.600519", "600519.XSHG"), "600519"),
        ("HK", ("700", "0700.HK", "00700"), "00700"),
    ],
)
def test_kind_of_order_in_several_spellings_is_one_series(market, texts, code):
    set_bars(code, [DAY])
    for text in texts:
        assert collect(market, text).failed_count == 0
    assert list(Series.objects.values_list("symbol", "bars")) == [(code, 1)]
    assert list(Stock.objects.values_list("code", flat=True)) == [code]
    assert len(RecordingSource.requests) == 1, "the later orders found it stored"


def test_spellings_in_one_order_are_one_stock():
    task = collect("CN", "600519.SH", "sh600519", "000001.SZ")
    assert (task.stock_codes, task.total_stocks) == (["600519", "000001"], 2)


@pytest.mark.parametrize(
    ("market", "text", "error", "part"),
    [
        ("CN", "bj000001", errors.IndexCodes, "000001 is a stock of SZSE: for that, write 000001"),
        ("CN", "00700", errors.ShortCodes, "write 000700. A stock of Hong Kong needs the market HK"),
        ("CN", "2", errors.ShortCodes, "write 000002"),
        ("CN", "AAPL.US", errors.CodesOfOtherMarket, "the stocks of each market by themselves (US)"),
        ("HK", "60 0519", errors.MalformedCodes, "60 0519"),
    ],
)
def test_kind_of_unclear_order_says_what_to_write(market, text, error, part):
    with pytest.raises(error) as refused:
        orders.resolve(order(market, text), TODAY, settings.COLLECTOR)
    assert part in str(refused.value)
    assert refused.value.field == "stock_codes"


def test_source_is_asked_in_its_own_spelling():
    RecordingSource.stock_list = [Symbol("106.BRK_B", "Berkshire"), Symbol("aapl"), Symbol("MSFT")]
    for code in ("106.BRK_B", "aapl", "MSFT"):
        set_bars(code, [DAY])
    assert collect("US").collected_count == 3
    assert {request.code for request in RecordingSource.requests} == {"106.BRK_B", "aapl", "MSFT"}
    assert set(DailyBar.objects.values_list("symbol", flat=True)) == {"BRK.B", "AAPL", "MSFT"}
    assert Stock.objects.get(code="BRK.B").name == "Berkshire"
    assert collect("US", "brk-b").unknown_codes == []


def test_list_with_a_code_twice_has_it_once():
    assert sync("US", "BRK_B", "BRK.B").codes == ["BRK.B"]
    assert stock_list.source_spellings("US", "recording") == {"BRK.B": "BRK_B"}


def test_known_codes_are_those_of_the_orders_own_source():
    sync("CN", "600000", "600001")
    sync("CN", "600519", source="growing")
    resolved = orders.resolve(order("CN", "600519", "600000"), TODAY, settings.COLLECTOR)
    assert orders.split_known(replace(resolved, fallbacks=()), settings.COLLECTOR) == (
        ("600000",),
        ("600519",),
    )


def test_unlisted_code_is_asked_for_where_no_list_is_stored():
    sync("CN", "600519", source="growing")
    Stock.objects.create(market="CN", code="600000")
    resolved = orders.resolve(order("CN", "600001"), TODAY, settings.COLLECTOR)
    assert orders.split_known(resolved, settings.COLLECTOR) == (("600001",), ())


def test_unknown_code_that_changed_is_told_with_the_new_one():
    CodeChange.objects.create(market="CN", old_code="838163", new_code="920163", changed_on="2025-10-09")
    sync("CN", "920163")
    with pytest.raises(errors.UnknownCodes, match=r"838163 → 920163 \(2025-10-09\)"):
        collect("CN", "838163.BJ")


def test_imported_list_does_not_decide_what_is_known():
    sync("CN", "000002", source="file")
    set_bars("600000", [DAY])
    assert collect("CN", "600000").collected_count == 1


def test_alias_stands_for_its_code():
    codes.add_alias("US", "brkb", "BRK-B")
    set_bars("BRK.B", [DAY])
    assert collect("US", "BRKB").stock_codes == ["BRK.B"]
    assert codes.find_stored("US", "BRKB") == "BRK.B"
    codes.add_alias("US", "BRKB", "BRK.A")
    assert list(CodeAlias.objects.values_list("alias", "code")) == [("BRKB", "BRK.A")]


def test_unknown_marks_are_refused_unless_they_are_an_alias():
    with pytest.raises(errors.UnreadCodes) as refused:
        codes.read_codes("CN", ["600519.XX", "000001"])
    assert "Write 600519." in str(refused.value)
    codes.add_alias("CN", "600519.XX", "600519")
    assert codes.read_codes("CN", ["600519.xx", "000001"]) == ("600519", "000001")


def test_stock_listed_later_is_no_alias_any_more():
    codes.add_alias("US", "BRKB", "BRK.B")
    Stock.objects.create(market="US", code="BRKB")
    assert codes.read_codes("US", ["BRKB"]) == ("BRKB",)


@pytest.mark.parametrize(("alias", "code"), [("FB", "META"), ("BRK_B", "BRK.B")])
def test_code_of_a_stock_is_no_alias(alias, code):
    Stock.objects.create(market="US", code="FB")
    with pytest.raises(errors.AliasConflict):
        codes.add_alias("US", alias, code)


def test_plan_orders_in_any_spelling():
    plan = make_plan(source="recording", market="CN", stock_codes=["sh600519", "600519.SH", "000001.SZ"])
    ordered = plans.build_order(CollectionPlan.objects.get(pk=plan.pk), plan.next_at)
    assert orders.resolve(ordered, ordered.end_date, settings.COLLECTOR).stock_codes == ("600519", "000001")


def test_retry_of_an_earlier_spelling_asks_for_the_code():
    task = make_task(source="recording", market="CN", stock_codes=("600519",))
    task.items.update(code="SH600519")
    lifecycle.cancel(task.pk, ACTOR)
    assert lifecycle.retry(task.pk, ACTOR).stock_codes == ["600519"]
