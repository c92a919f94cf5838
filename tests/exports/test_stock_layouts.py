"""The layouts with files per stock: qlib's binary files, and CSV for VeighNa, backtrader and zipline."""

import struct
from datetime import UTC, date, datetime
from math import isnan

import pytest

from tasks_app.exports import errors
from tasks_app.exports.layouts import LAYOUTS, require_exportable
from tasks_app.exports.manifest import read
from tasks_app.exports.selection import Selection
from tasks_app.models import AdjustmentFactor, AdjustmentTable, CorporateAction, DailyBar
from tasks_app.models.transfers import ExportLayout
from tests.exports.helpers import export, store

pytestmark = pytest.mark.django_db
DAYS = [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4), date(2024, 1, 5)]


def tell_factors(symbol="600000", **fields):
    """Stores that from the third day on the prices are to be doubled."""
    key = {"market": "CN", "symbol": symbol, "source": "recording"}
    table = {"content": "factors", "until": DAYS[-1], "fetched_at": datetime(2024, 1, 8, tzinfo=UTC)}
    AdjustmentTable.objects.create(**key, **table, **fields)
    AdjustmentFactor.objects.create(**key, ex_day=DAYS[2], hfq="2")


def read_qlib(folder, symbol, field):
    """Returns a field by day, read as qlib's documentation and dump_bin.py say."""
    calendar = (folder / "calendars/day.txt").read_text().split()
    content = (folder / f"features/{symbol}/{field}.day.bin").read_bytes()
    start, *values = struct.unpack(f"<{len(content) // 4}f", content)
    return dict(zip(calendar[int(start) :], values, strict=False))


def select(layout, adjust="", market="CN", **fields):
    return Selection(layout, market, adjust, **fields)


def test_qlib_has_calendar_instruments_and_features(tmp_path):
    store("CN", "600000", [DAYS[0], DAYS[1], DAYS[3]], amount=125_460.0)
    store("CN", "000001", DAYS[1:3])
    store("CN", "000300.SH", DAYS)
    store("US", "AAPL", DAYS)
    export(tmp_path, select("qlib"))
    assert (tmp_path / "calendars/day.txt").read_text().split() == [str(day) for day in DAYS]
    assert (tmp_path / "instruments/all.txt").read_text().splitlines() == [
        "SH000300\t2024-01-02\t2024-01-05",
        "SH600000\t2024-01-02\t2024-01-05",
        "SZ000001\t2024-01-03\t2024-01-04",
    ]
    close = read_qlib(tmp_path, "sh600000", "close")
    assert close.pop("2024-01-04") != close["2024-01-03"], "no bar: not a number"
    assert close == pytest.approx({"2024-01-02": 10.2, "2024-01-03": 10.2, "2024-01-05": 10.2}, rel=1e-7)
    assert read_qlib(tmp_path, "sh600000", "amount")["2024-01-02"] == 125_460
    assert list(read_qlib(tmp_path, "sz000001", "volume")) == ["2024-01-03", "2024-01-04"]
    assert set(read_qlib(tmp_path, "sz000001", "factor").values()) == {1.0}


def test_qlib_factor_is_the_adjusted_price_by_the_unadjusted_one(tmp_path):
    store("CN", "600000", DAYS)
    tell_factors()
    store("CN", "000001", DAYS)  # of which no factor is known
    export(tmp_path, select("qlib", "hfq"))
    assert list(read_qlib(tmp_path, "sh600000", "factor").values()) == [1, 1, 2, 2]
    assert read_qlib(tmp_path, "sh600000", "close")["2024-01-04"] == pytest.approx(20.4)
    assert read_qlib(tmp_path, "sh600000", "volume")["2024-01-04"] == 6150
    first, *changes = read_qlib(tmp_path, "sh600000", "change").values()
    assert isnan(first)
    assert changes == pytest.approx([0, 1, 0])
    assert "SZ000001" not in (tmp_path / "instruments/all.txt").read_text()


def test_qlib_factor_of_stored_prices_is_told_by_the_unadjusted_bars(tmp_path):
    store("CN", "600000", DAYS[:3])
    store("CN", "600000", DAYS, "hfq", open=20.4, high=20.4, low=20.4, close=20.4)
    export(tmp_path, select("qlib", "hfq"))
    *factors, last = read_qlib(tmp_path, "sh600000", "factor").values()
    assert factors == [2, 2, 2]
    assert isnan(last)


def test_unknown_ex_day_ends_computed_prices(tmp_path):
    store("CN", "600000", DAYS)
    tell_factors(lacks=DAYS[3])
    export(tmp_path, select("qlib", "hfq"))
    assert (tmp_path / "instruments/all.txt").read_text() == "SH600000\t2024-01-02\t2024-01-04\n"


def test_only_changed_stocks_are_written_again(tmp_path):
    store("CN", "600000", DAYS)
    store("CN", "000001", DAYS)
    selection = select("qlib", "hfq")
    tell_factors()
    tell_factors("000001")
    assert export(tmp_path, selection, "1").written == 4
    assert export(tmp_path, selection, "2").written == 0
    AdjustmentTable.objects.filter(symbol="600000").update(fetched_at=datetime(2024, 2, 1, tzinfo=UTC))
    AdjustmentFactor.objects.filter(symbol="600000").update(hfq="4")
    assert export(tmp_path, selection, "3").written == 1
    assert read_qlib(tmp_path, "sh600000", "factor")["2024-01-05"] == 4
    store("CN", "600001", [date(2023, 12, 29)])
    tell_factors("600001")
    assert export(tmp_path, selection, "4").written == 5, "all places in the calendar have moved"
    assert list(read_qlib(tmp_path, "sz000001", "factor").values()) == [1, 1, 2, 2]


def test_name_that_windows_reserves_is_marked(tmp_path):
    store("US", "CON", DAYS)
    export(tmp_path, select("qlib", market="US"))
    assert (tmp_path / "features/_qlib_con/close.day.bin").exists()
    assert "CON\t" in (tmp_path / "instruments/all.txt").read_text()


def test_vnpy_reads_its_own_columns(tmp_path):
    store("CN", "600000", DAYS[:1], amount=125_460.0)
    store("CN", "000001", DAYS[:1])
    export(tmp_path, select("csv-vnpy"))
    head, row = (tmp_path / "600000.SSE.csv").read_text().splitlines()
    assert head == "symbol,exchange,datetime,open,high,low,close,volume,turnover,open_interest"
    assert row == "600000,SSE,2024-01-02 00:00:00,10.1,10.3,9.7,10.2,12300,125460.0,0"
    assert (tmp_path / "000001.SZSE.csv").exists()
    store("HK", "00700", DAYS[:1])
    export(tmp_path / "hk", select("csv-vnpy", market="HK"))
    assert "00700,SEHK," in (tmp_path / "hk/00700.SEHK.csv").read_text()


def test_backtrader_reads_its_default_columns(tmp_path):
    store("CN", "600000", DAYS)
    tell_factors()
    export(tmp_path, select("csv-backtrader", "hfq", first=DAYS[1], last=DAYS[2]))
    assert (tmp_path / "600000.SH.csv").read_text().splitlines() == [
        "datetime,open,high,low,close,volume,openinterest",
        "2024-01-03 00:00:00,10.1,10.3,9.7,10.2,12300,0",
        "2024-01-04 00:00:00,20.2,20.6,19.4,20.4,12300,0",
    ]


def test_zipline_gets_dividends_and_splits_with_unadjusted_prices(tmp_path):
    store("CN", "600000", [DAYS[0], DAYS[2], DAYS[3]])
    key = {"market": "CN", "symbol": "600000", "source": "recording"}
    AdjustmentTable.objects.create(**key, content="actions", until=DAYS[-1])
    actions = [
        {"kind": "dividend", "ex_day": DAYS[1], "cash": "0.5"},  # the next bar is a day later
        {"kind": "split", "ex_day": DAYS[3], "ratio": "1"},
        {"kind": "dividend", "ex_day": date(2023, 6, 1), "cash": "9"},  # before the first bar
        {"kind": "rights", "ex_day": DAYS[3], "ratio": "0.3", "price": "5"},
        {"kind": "dividend", "ex_day": None, "cash": "9"},
    ]
    for number, action in enumerate(actions):
        CorporateAction.objects.create(**key, number=number, **action)
    export(tmp_path / "none", select("csv-zipline"))
    assert (tmp_path / "none/daily/600000_SH.csv").read_text().splitlines() == [
        "date,open,high,low,close,volume,dividend,split",
        "2024-01-02,10.1,10.3,9.7,10.2,12300,0.0,1.0",
        "2024-01-04,10.1,10.3,9.7,10.2,12300,0.5,1.0",
        "2024-01-05,10.1,10.3,9.7,10.2,12300,0.0,2.0",
    ]
    export(tmp_path / "split", select("csv-zipline", "split"))
    text = (tmp_path / "split/daily/600000_SH.csv").read_text()
    assert "2024-01-02,5.05,5.15,4.85,5.1,24600,0.0,1.0" in text


def test_zipline_finds_each_file_by_its_name_before_the_first_dot(tmp_path):
    """As `_pricing_iter` of csvdir.py does, of the symbols that csvdir_equities makes of the names."""
    store("US", "BRK.B", DAYS)
    store("US", "BRKA", DAYS)
    export(tmp_path, select("csv-zipline", market="US"))
    names = [path.name for path in (tmp_path / "daily").iterdir()]
    symbols = sorted(name.split(".csv")[0] for name in names)
    assert symbols == ["BRKA_US", "BRK_B_US"]
    assert {name.split(".")[0] for name in names} == set(symbols)


def test_file_of_a_stock_without_bars_is_removed(tmp_path):
    store("CN", "600000", DAYS)
    store("CN", "000001", DAYS)
    export(tmp_path, select("csv-vnpy"), "1")
    DailyBar.objects.filter(symbol="000001").delete()
    export(tmp_path, select("csv-vnpy"), "2")
    assert list(read(tmp_path).files) == ["600000.SSE.csv"]
    assert not (tmp_path / "000001.SZSE.csv").exists()


@pytest.mark.parametrize("adjust", ["qfq", "hfq", "split"])
def test_export_of_an_adjustment_that_no_stock_has_is_refused(tmp_path, adjust):
    store("CN", "600000", DAYS)
    for layout in ("qlib", "csv-vnpy"):
        with pytest.raises(errors.NoAdjustedPrices, match=adjust):
            export(tmp_path / layout, select(layout, adjust))
    with pytest.raises(errors.OnlyStoredPrices, match=adjust):
        export(tmp_path / "parquet", select("parquet", adjust))
    assert not any(tmp_path.iterdir())
    if adjust != "split":
        tell_factors()
        export(tmp_path / "qlib", select("qlib", adjust))
        with pytest.raises(errors.OnlyStoredPrices):
            export(tmp_path / "parquet", select("parquet", adjust))


def test_layout_of_stocks_needs_a_market_and_an_adjustment():
    assert set(LAYOUTS) == set(ExportLayout.values)
    for selection in (Selection("qlib"), Selection("qlib", "CN"), Selection("csv-vnpy", adjust="")):
        with pytest.raises(errors.OneSeriesNeeded, match="choose both"):
            require_exportable(selection)
    require_exportable(Selection("qlib", "CN", ""))
