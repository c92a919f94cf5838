"""Factors and corporate actions are requested as part of a stock's item, and only where they are needed."""

from datetime import date
from decimal import Decimal

import pytest
from django.db.models.functions import Now

from tasks_app.engine import adjustment_requests
from tasks_app.engine.source_router import SourceState
from tasks_app.models import (
    AdjustmentFactor,
    AdjustmentTable,
    CollectionTask,
    CorporateAction,
    DailyBar,
    SourceGate,
    StockList,
)
from tasks_app.sources.base import (
    Bar,
    CorporateAction as Action,
    CorporateActions,
    Factor,
    SourceRefusal,
    Transient,
)
from tests.engine.helpers import cancel_if_running, make_first_task, run_one_slice
from tests.fakes.scripted_sources import Teller, make_bar
from tools.in_process import work

pytestmark = pytest.mark.django_db
CODE = "000001"
DAYS = [date(2024, 3, day) for day in (4, 5, 6, 7)]
EX_DAY = DAYS[2]
HALVED = Factor(EX_DAY, Decimal("2"))


def make_bars(count, first=0):
    """Returns bars of consecutive days that close at 10, with their previous close: 5 on the ex day."""
    prices = [10.0 if day < EX_DAY else 5.0 for day in DAYS]
    before = [10.0, 10.0, 5.0, 5.0]
    bars = [
        Bar(day, price, price, price, price, 1000, prev_close=close)
        for day, price, close in zip(DAYS, prices, before, strict=True)
    ]
    return bars[first : first + count]


@pytest.fixture
def tell(configure, monkeypatch):
    """Returns a function that sets what the source answers: bars, and factors or an error."""

    def set_answers(bars, factors=(), actions=(), **values):
        def answer(told):
            if isinstance(told, Exception):
                raise told
            return told

        monkeypatch.setattr(Teller, "factors", staticmethod(lambda code: answer(factors)))
        monkeypatch.setattr(Teller, "actions", staticmethod(lambda code, since: answer(actions)))
        within = lambda request: [bar for bar in bars if request.start <= bar.day <= request.end]  # noqa: E731
        configure(teller=within, **values)

    return set_answers


def raise_error(error):
    raise error


def collect(last=DAYS[1], **fields):
    """Collects one stock from the first day to the last. Returns its item, and what was requested."""
    Teller.calls.clear()
    codes = fields.pop("stock_codes", (CODE,))
    fields = {"source": "teller", "start_date": DAYS[0], "end_date": last, **fields}
    task = make_first_task(stock_codes=codes, **fields)
    work()
    return task.items.get(code=CODE), list(Teller.calls)


def told_until(day):
    """Has the stored factors count as complete up to this day only."""
    AdjustmentTable.objects.update(until=day)


def test_first_item_requests_factors_and_actions_before_the_bars(tell):
    tell(make_bars(2), [HALVED], [Action("split", EX_DAY, ratio=Decimal(1))], rates=(("teller", 1000.0),))
    item, calls = collect()
    assert calls == [f"factors {CODE}", f"actions {CODE}", CODE]
    assert (item.state, item.attempts, item.rows_collected, item.note) == ("succeeded", 1, 2, "")
    assert AdjustmentFactor.objects.get().hfq == "2"
    assert CorporateAction.objects.get().ratio == "1"
    assert SourceGate.objects.get(source="teller").requests_today == 3


def test_known_factors_are_not_requested_again(tell):
    tell(make_bars(2))
    collect()
    tell(make_bars(3))
    assert collect(DAYS[2])[1] == [CODE], "that day is not after the table's end"


def test_ex_day_that_bars_show_is_requested_before_they_are_stored(tell):
    tell(make_bars(2))
    collect()
    told_until(DAYS[1])
    tell(make_bars(4), [HALVED])
    item, calls = collect(DAYS[3])
    assert calls == [CODE, f"factors {CODE}", f"actions {CODE}"]
    assert (item.state, item.rows_collected, item.attempts) == ("succeeded", 2, 1)
    assert AdjustmentFactor.objects.get().ex_day == EX_DAY


def test_ex_day_that_the_source_does_not_tell_yet_is_marked_until_it_does(tell, monkeypatch):
    monkeypatch.setattr(adjustment_requests, "market_today", lambda market: EX_DAY)
    tell(make_bars(2))
    collect()
    tell(make_bars(3))
    item, calls = collect(EX_DAY)
    assert (item.state, item.rows_collected) == ("succeeded", 1)
    assert calls == [CODE, f"factors {CODE}", f"actions {CODE}"]
    assert AdjustmentTable.objects.get(content="factors").lacks == EX_DAY
    tell(make_bars(4), [HALVED])
    assert collect(DAYS[3])[1] == [f"factors {CODE}", f"actions {CODE}", CODE]
    assert AdjustmentTable.objects.get(content="factors").lacks is None


def test_ex_day_that_another_sources_bars_show_is_marked(tell, configure, monkeypatch):
    monkeypatch.setattr(adjustment_requests, "market_today", lambda market: EX_DAY)
    tell(make_bars(2))
    collect()
    configure(first=lambda request: [bar for bar in make_bars(4) if bar.day >= request.start])
    item, calls = collect(DAYS[3], source="first")
    assert (item.state, calls) == ("succeeded", [])
    assert AdjustmentTable.objects.get(content="factors").lacks == EX_DAY


@pytest.mark.parametrize("refusal", [Transient("Not now."), ValueError("oops")])
def test_failed_factors_cost_neither_the_bars_nor_an_attempt(tell, refusal):
    tell(make_bars(2), refusal)
    item, calls = collect()
    assert (item.state, item.rows_collected, item.attempts) == ("succeeded", 2, 1)
    assert item.note.startswith("factors: ")
    assert calls == [f"factors {CODE}", f"actions {CODE}", CODE]
    assert list(AdjustmentTable.objects.values_list("content", flat=True)) == ["actions"]


def test_refused_factors_do_not_count_as_refused_bars(tell, settings):
    tell([], rates=(("teller", 1000.0),))
    source = SourceState(make_first_task(source="teller"), "teller", 0, settings.COLLECTOR)
    for permit in source.limiter.reserve(3):
        assert not source.record_outcome(permit, SourceRefusal("Factors cost extra."), of_bars=False)
    assert SourceGate.objects.values_list("refusals", "refuses_all").get() == (0, False)


def test_factors_do_not_hide_that_all_bars_are_refused(tell, configure):
    tell([])
    refused = SourceRefusal("No more bars.")
    configure(teller=lambda request: raise_error(refused), rates=(("teller", 1000.0),))
    _, calls = collect(stock_codes=tuple(f"{n:06d}" for n in range(1, 31)))
    assert CollectionTask.objects.values_list("status", "error_code").get() == ("failed", "all_refused")
    assert len([call for call in calls if " " not in call]) < 10


def test_factors_are_requested_by_the_sources_own_spelling(tell):
    StockList.objects.create(
        market="CN", source="teller", size=1, synced_at=Now(), codes=[CODE], spellings={CODE: "SZ000001"}
    )
    tell(make_bars(2))
    assert collect()[1][0] == "factors SZ000001"


def test_malformed_factors_replace_nothing(tell):
    tell(make_bars(2), [HALVED])
    collect()
    for factors in ([HALVED, HALVED], [Factor(EX_DAY, 2.5)], [Factor(EX_DAY, Decimal(0))], [HALVED[:2]], "x"):
        tell(make_bars(2), factors)
        item, _ = collect(force_update=True)
        assert (item.state, "malformed" in item.note) == ("succeeded", True)
    assert AdjustmentFactor.objects.get().hfq == "2"


def test_forced_order_replaces_the_factors_as_a_whole(tell):
    tell(make_bars(2), [HALVED, Factor(DAYS[3], Decimal("2.5"))])
    collect()
    tell(make_bars(2), [Factor(EX_DAY, Decimal("2.000001"))])
    assert collect(force_update=True)[1][0] == f"factors {CODE}"
    assert AdjustmentFactor.objects.get().hfq == "2.000001"


def test_adjusted_order_and_setting_request_no_factors(tell):
    tell(make_bars(2))
    assert collect(adjust="qfq")[1] == [CODE]
    tell(make_bars(2), adjustment_data=False)
    assert collect()[1] == [CODE]


def test_cancelled_task_stores_no_factors(tell, monkeypatch):
    tell(make_bars(2), [HALVED])
    task = make_first_task(source="teller", stock_codes=(CODE,), start_date=DAYS[0], end_date=DAYS[1])
    # Just before the transaction that stores them.
    monkeypatch.setattr(
        adjustment_requests.sqlite_priority,
        "yield_to_interactive",
        lambda: cancel_if_running(task) if Teller.calls else None,
    )
    run_one_slice()
    assert Teller.calls == [f"factors {CODE}"]
    assert not (AdjustmentTable.objects.exists() or AdjustmentFactor.objects.exists())
    assert not DailyBar.objects.exists()


def test_whole_day_requests_factors_of_stocks_with_an_ex_day_only(tell, monkeypatch):
    other = "000002"
    tell(make_bars(2))
    collect(stock_codes=(CODE, other))
    told_until(DAYS[1])
    plain = make_bar(10.0, EX_DAY)._replace(open=10.0, prev_close=10.0)
    bars = {CODE: make_bars(3), other: [*make_bars(2), plain]}
    monkeypatch.setattr(
        Teller,
        "days",
        staticmethod(lambda day: {code: bar for code in bars for bar in bars[code] if bar.day == day}),
    )
    tell([], [HALVED], by_day_from=1)
    item, calls = collect(EX_DAY, stock_codes=(CODE, other))
    days = [day.isoformat() for day in (*DAYS[:2], EX_DAY)]  # the stored ones to compare them
    assert (sorted(calls[:3]), calls[3:]) == (days, [f"factors {CODE}", f"actions {CODE}"])
    assert (item.state, item.rows_collected) == ("succeeded", 1)
    assert list(AdjustmentFactor.objects.values_list("symbol", flat=True)) == [CODE]


def test_actions_are_asked_since_the_last_stored_ex_day(tell, monkeypatch):
    tell(make_bars(2), [], CorporateActions([Action("dividend", DAYS[0], cash=Decimal("0.1"))], DAYS[0]))
    collect()
    asked = []
    tell(make_bars(2))
    monkeypatch.setattr(Teller, "actions", staticmethod(lambda code, since: asked.append(since) or []))
    collect(force_update=True)
    assert asked == [DAYS[0]]
    assert not CorporateAction.objects.exists(), "a plain list is all of them"
