"""Adjusted prices that are computed on read: exactly, and from the factors of one source."""

from datetime import date
from decimal import Decimal

import pytest

from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction, DailyBar, Series
from tasks_app.quotes import adjustment_data, csv_export
from tasks_app.quotes.adjusted_prices import find_basis
from tasks_app.sources.base import CorporateAction as Action, CorporateActions, Factor, Request
from tests.fakes.recording_source import make_bar

pytestmark = pytest.mark.django_db
DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
UNTIL = date(2024, 6, 7)
REQUEST = Request("CN", "600000", DAYS[0], DAYS[4])
# BaoStock's documented example: 600000 from 2015 to 2017.
DOCUMENTED = [
    Factor(date(2015, 6, 23), Decimal("6.295967"), Decimal("0.663792")),
    Factor(date(2016, 6, 23), Decimal("7.128788"), Decimal("0.751598")),
    Factor(date(2017, 5, 25), Decimal("9.385732"), Decimal("0.989551")),
]
SPLIT = Action("split", DAYS[2], ratio=Decimal(1))


def store(closes, adjust="", source="vendor", days=DAYS):
    """Stores bars with these closes, and the row of their series."""
    DailyBar.objects.bulk_create(
        DailyBar(market="CN", symbol="600000", adjust=adjust, source=source, **make_bar(day, close)._asdict())
        for day, close in zip(days, closes, strict=False)
    )
    Series.objects.create(
        market="CN",
        symbol="600000",
        adjust=adjust,
        bars=len(closes),
        first_day=days[0],
        last_day=days[len(closes) - 1],
    )


def tell(*factors, source="vendor"):
    """Stores a source's factors: (ex day, backward factor, forward factor or None)."""
    rows = [Factor(day, Decimal(hfq), qfq and Decimal(qfq)) for day, hfq, qfq in factors]
    adjustment_data.replace_factors("CN", "600000", source, rows, UNTIL)


def read(adjust, wanted=""):
    """Returns the basis of a series and its rows."""
    basis = find_basis("CN", "600000", adjust, wanted)
    rows = csv_export.bar_rows("CN", "600000", basis).order_by("day")
    return basis, list(csv_export.on_basis(rows, basis))


def closes(adjust, wanted=""):
    return [row["close"] for row in read(adjust, wanted)[1]]


def test_prices_take_the_factor_of_their_day():
    store([10.0, 11.0, 5.6, 5.5, 6.0])
    tell((DAYS[2], "2.000001", None))
    assert closes("hfq") == [10.0, 11.0, 11.200006, 11.000006, 12.000006]
    assert closes("qfq") == [4.999998, 5.499997, 5.6, 5.5, 6.0]  # divided by the newest factor
    assert closes("") == [10.0, 11.0, 5.6, 5.5, 6.0]


def test_documented_factors_of_the_vendor_are_taken_as_they_are():
    days = [date(2015, 6, 22), date(2015, 6, 23), date(2016, 6, 22), date(2016, 6, 23), date(2024, 6, 3)]
    store([16.96, 17.01, 18.0, 15.5, 8.25], days=days)
    adjustment_data.replace_factors("CN", "600000", "vendor", DOCUMENTED, UNTIL)
    hfq = [Decimal("1"), Decimal("6.295967"), Decimal("6.295967"), Decimal("7.128788"), Decimal("9.385732")]
    prices = [Decimal("16.96"), Decimal("17.01"), Decimal("18.0"), Decimal("15.5"), Decimal("8.25")]
    assert closes("hfq") == [float(round(p * f, 6)) for p, f in zip(prices, hfq, strict=True)]
    first = prices[0] * Decimal("0.663792") / Decimal("6.295967")
    told = [Decimal(f) for f in ("0.663792", "0.663792", "0.751598", "0.989551")]
    assert closes("qfq")[1:] == [float(round(p * f, 6)) for p, f in zip(prices[1:], told, strict=True)]
    assert closes("qfq")[0] == float(round(first, 6))


def test_previous_close_and_change_are_on_the_basis_of_their_day():
    store([10.0, 5.5])
    DailyBar.objects.filter(day=DAYS[1]).update(prev_close=5.0, change=0.5, change_pct=10.0, amount=5500.0)
    tell((DAYS[1], "2", None))
    row = read("hfq")[1][1]
    assert (row["close"], row["prev_close"], row["change"]) == (11.0, 10.0, 1.0)
    assert (row["change_pct"], row["amount"], row["volume"]) == (10.0, 5500.0, 1000)


def test_new_factor_changes_the_prices_without_the_bars():
    store([10.0, 10.0, 5.0])
    tell()
    assert closes("qfq") == [10.0, 10.0, 5.0]
    tell((DAYS[2], "2", None))
    assert closes("qfq") == [5.0, 5.0, 5.0]


def test_row_tells_its_basis():
    store([10.0])
    tell((date(2020, 1, 2), "1.5", None))
    basis, rows = read("hfq")
    table = AdjustmentTable.objects.get()
    assert (rows[0]["adjust"], rows[0]["basis"], rows[0]["factor_source"]) == ("hfq", "computed", "vendor")
    assert rows[0]["factors_at"] == table.fetched_at == basis.fetched_at
    store([14.0], "hfq")
    rows = read("hfq", "stored")[1]
    assert (rows[0]["close"], rows[0]["basis"], rows[0]["factor_source"]) == (14.0, "stored", None)


def test_factors_of_two_sources_are_never_mixed():
    store([10.0, 10.0], source="second")
    tell((DAYS[1], "3", None), source="first")
    tell((DAYS[0], "2", None), source="second")
    assert closes("hfq") == [20.0, 20.0]  # of the source of the bars, and of no other
    tell((DAYS[0], "4", None), (DAYS[1], "5", None), source="first")
    assert closes("hfq") == [20.0, 20.0]
    AdjustmentTable.objects.filter(source="second").delete()
    assert closes("hfq") == [40.0, 50.0]


def test_replaced_table_keeps_no_old_factor():
    tell((DAYS[0], "2", None), (DAYS[1], "3", "0.5"))
    adjustment_data.mark_lacking(REQUEST, "vendor", DAYS[4])
    tell((DAYS[2], "4.50000000000000000001", None))
    row = AdjustmentFactor.objects.get()
    assert (row.ex_day, row.hfq, row.qfq) == (DAYS[2], "4.50000000000000000001", "")
    assert AdjustmentTable.objects.get().lacks is None


def test_series_ends_before_an_ex_day_without_a_factor():
    store([10.0, 10.0, 5.0])
    tell()
    adjustment_data.mark_lacking(REQUEST, "vendor", DAYS[2])
    basis, rows = read("qfq")
    assert ([row["close"] for row in rows], basis.ends_before) == ([10.0, 10.0], DAYS[2])
    tell(source="other")  # knows everything
    assert closes("qfq") == [10.0, 10.0, 5.0]


def test_stored_series_is_read_without_factors_and_where_it_is_longer():
    store([10.0, 11.0, 12.0], "qfq")
    assert closes("qfq") == [10.0, 11.0, 12.0]
    store([20.0, 22.0])
    tell((DAYS[0], "1", None))
    assert closes("qfq") == [10.0, 11.0, 12.0]
    assert closes("qfq", "computed") == [20.0, 22.0]
    assert find_basis("CN", "600000", "split", "computed") is None


def test_future_ex_day_changes_nothing_yet():
    store([10.0])
    tell((date(2090, 1, 2), "2", None))
    assert (closes("qfq"), closes("hfq")) == ([10.0], [10.0])


def test_split_adjusted_prices_take_no_dividend():
    store([10.0, 10.0, 5.0])
    tell((DAYS[1], "1.1", None), (DAYS[2], "2.2", None))
    actions = CorporateActions([SPLIT, Action("dividend", DAYS[1], cash=Decimal("1"))])
    adjustment_data.replace_actions("CN", "600000", "vendor", actions, UNTIL)
    rows = read("split")[1]
    assert [(row["close"], row["volume"]) for row in rows] == [(5.0, 2000), (5.0, 2000), (5.0, 1000)]


def test_splits_known_for_some_years_only_adjust_nothing():
    store([10.0, 10.0, 5.0])
    adjustment_data.replace_actions("CN", "600000", "vendor", CorporateActions([SPLIT], DAYS[1]), UNTIL)
    assert find_basis("CN", "600000", "split", "computed") is None


def test_actions_of_later_years_are_added():
    def replace(day, *actions):
        adjustment_data.replace_actions("CN", "600000", "vendor", CorporateActions(actions, day), day)

    announced = Action("dividend", None, cash=Decimal("0.1"))
    replace(date(2024, 1, 1), SPLIT, announced)
    replace(date(2024, 12, 1), Action("dividend", date(2024, 12, 20), cash=Decimal("0.10")))
    rows = CorporateAction.objects.order_by("ex_day").values_list("number", "kind", "ex_day", "cash", "ratio")
    assert list(rows) == [(0, "split", DAYS[2], "", "1"), (1, "dividend", date(2024, 12, 20), "0.10", "")]
    assert AdjustmentTable.objects.get().complete_from == date(2024, 12, 1), "with a gap from January on"
