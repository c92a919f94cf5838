"""Kinds of files that hold several stocks: told apart by their codes, or left aside with the reason."""

import pytest

from tasks_app.sources.base import Bar, Permanent, Request, UnknownStock
from tasks_app.sources.csv_folder import shared_files
from tasks_app.sources.csv_folder.bars import ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.source import CsvSource
from tests.sources.csv_files import day, quotes, write_file

HEAD = "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount"
PRICES = "20.0,20.8,19.6,20.4"


def day_file(number, *codes):
    """Returns a day of a whole market as Tushare sends it."""
    date = f"{day(number):%Y%m%d}"
    return quotes(HEAD, *(f"{code},{date},{PRICES},20.0,0.4,2.0,1000.0,2020.0" for code in codes))


def fetch(source, code, market="CN", adjust=""):
    return source.fetch(Request(market, code, day(0), day(30), adjust))


def codes(source, market="CN"):
    return [symbol.code for symbol in source.symbols(market)]


@pytest.fixture
def source(tmp_path):
    return CsvSource(tmp_path)


def test_kind_of_whole_days_of_a_market(tmp_path, source):
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH", "000001.SZ", "920002.BJ"))
    write_file(tmp_path, "20240103.csv", day_file(1, "600000.SH", "000001.SZ"))
    assert codes(source) == ["000001", "600000", "920002"]
    bars = fetch(source, "000001")
    assert [bar.day for bar in bars] == [day(0), day(1)]
    assert (bars[0].volume, bars[0].amount) == (100_000, 2_020_000.0)
    assert [bar.day for bar in fetch(source, "920002")] == [day(0)]
    with pytest.raises(UnknownStock):
        fetch(source, "600004")


def test_kind_of_many_stocks_in_one_file_by_a_code_column(tmp_path, source):
    rows = [f"{name},2024-01-0{n},{PRICES},500" for name in ("AAPL", "BRK.B", "MSFT") for n in (2, 3)]
    write_file(tmp_path, "stocks.csv", quotes("symbol,date,open,high,low,close,volume", *rows))
    assert codes(source, "US") == ["AAPL", "BRK.B", "MSFT"]
    assert [bar.day for bar in fetch(source, "BRK.B", "US")] == [day(0), day(1)]


def test_kind_of_many_stocks_without_a_code_column_is_left_aside(tmp_path, source):
    rows = [f"2024-01-0{n},{PRICES},500,{name}" for name in ("AAA", "BBB") for n in (2, 3)]
    file = quotes("date,open,high,low,close,volume,Name", *rows)
    write_file(tmp_path, "energy_5yr.csv", file)
    with pytest.raises(Permanent, match=r"Left aside \(1\): energy_5yr.csv: the name contains no stock code"):
        source.symbols("US")
    write_file(tmp_path, "ENRGY.csv", file)
    with pytest.raises(Permanent, match="line 4: 2024-01-02 is also in line 2"):
        fetch(source, "ENRGY", "US")


def test_name_of_one_stock_is_not_a_file_of_several(tmp_path, source):
    write_file(tmp_path, "600000.csv", day_file(0, "600000.SH", "000001.SZ"))
    with pytest.raises(Permanent, match=r"line 3: the code is “000001\.SZ”, but the file's name says 600000"):
        fetch(source, "600000")


def test_codes_that_are_no_stocks_are_left_out_and_told(tmp_path, source):
    write_file(tmp_path, "day.csv", day_file(0, "600000.SH", "110059.SH", "019547.SH"))
    assert codes(source) == ["600000"]
    assert [(entry.name, entry.reason) for entry in source.left_aside("CN")] == [
        ("day.csv", "lines left out because their code is not a stock's: 2 (110059.SH, 019547.SH)")
    ]


def test_lost_leading_zeros_are_asked_about(tmp_path, source):
    write_file(tmp_path, "day.csv", day_file(0, "600000", "2"))
    with pytest.raises(Permanent, match="“2” in the column ts_code has lost its leading zeros"):
        source.symbols("CN")


def test_codes_of_several_markets_are_refused(tmp_path, source):
    write_file(tmp_path, "day.csv", day_file(0, "600000.SH", "00700.HK"))
    with pytest.raises(Permanent, match="the codes belong to several markets: CN, HK"):
        source.symbols("CN")


def test_broken_file_of_a_day_fails_its_stocks(tmp_path, source):
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH"))
    write_file(tmp_path, "20240103.csv", day_file(1, "600000.SH").replace("20.8", "high"))
    assert codes(source) == ["600000"]
    with pytest.raises(
        Permanent, match=r"20240103\.csv, which may hold days of this stock, can't be read: “high”"
    ):
        fetch(source, "600000")


def test_files_of_a_stock_and_of_a_day_must_agree(tmp_path, source):
    write_file(tmp_path, "600000.csv", day_file(0, "600000.SH"))
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH"))
    write_file(tmp_path, "20240103.csv", day_file(1, "600000.SH"))
    assert len(fetch(source, "600000")) == 2
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH").replace("20.4", "20.5"))
    source.symbols("CN")
    with pytest.raises(
        Permanent, match=r"600000.csv and 20240102.csv have different values of 600000 on 2024"
    ):
        fetch(source, "600000")


def test_shared_file_is_read_once_while_it_does_not_change(tmp_path, source, monkeypatch):
    path = write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH", "000001.SZ"))
    reads = []
    parse = shared_files.SharedFiles._parse
    monkeypatch.setattr(
        shared_files.SharedFiles, "_parse", lambda self, file: reads.append(file) or parse(self, file)
    )
    source.symbols("CN")
    source.symbols("CN")
    fetch(source, "000001")
    assert len(reads) == 1
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH"))
    assert codes(source) == ["600000"]
    path.unlink()
    with pytest.raises(Permanent, match="no file of the market CN"):
        source.symbols("CN")


def test_files_that_come_later_are_seen_by_orders_of_codes(tmp_path, source):
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH"))
    assert len(fetch(source, "600000")) == 1
    write_file(tmp_path, "20240103.csv", day_file(1, "600000.SH"))
    assert len(fetch(source, "600000")) == 2
    write_file(tmp_path, "20240103.csv", day_file(1, "600000.SH") + day_file(2, "600000.SH"))
    assert len(fetch(source, "600000")) == 3, "a file that grows"


def test_packed_bars_come_back_as_they_were():
    missing = Bar(day(0), 1.5, float("nan"), 1.0, 1.25, 12.5)
    whole = Bar(day(1), 1.5, 2.0, 1.0, 1.25, 2**40, 1.0, 2.0, None, None, 5.0, None)
    stocks = {("US", "A"): ParsedStock([missing, whole], [day(2)]), ("US", "B"): ParsedStock([whole])}
    packed = shared_files.PackedFile.pack(ParsedFile("", "", [], stocks=stocks))
    assert repr({key: packed.unpack(key) for key in stocks}) == repr(stocks)


def test_shared_files_are_bounded(tmp_path, source, monkeypatch):
    monkeypatch.setattr(shared_files, "MAX_TOTAL_BYTES", 300)
    write_file(tmp_path, "20240102.csv", day_file(0, "600000.SH"))
    write_file(tmp_path, "20240103.csv", day_file(1, "600000.SH", "000001.SZ", "000002.SZ"))
    assert codes(source) == ["600000"]
    assert "are larger than" in source.left_aside("CN")[0].reason
    with pytest.raises(Permanent, match=r"20240103\.csv, which may hold days of this stock"):
        fetch(source, "600000")


@pytest.mark.parametrize(
    ("name", "adjust"),
    [
        ("600000_qfq.csv", "qfq"),
        ("600000.前复权.csv", "qfq"),
        ("600000(前复权).csv", "qfq"),
        ("hfq/600000_hfq.csv", "hfq"),
        ("后复权/600000.csv", "hfq"),
        ("600000_不复权.csv", ""),
    ],
)
def test_kind_of_adjustment_in_a_name(tmp_path, source, name, adjust):
    write_file(tmp_path, name)
    assert [symbol.code for symbol in source.symbols_adjusted("CN", adjust)] == ["600000"]
    assert len(fetch(source, "600000", adjust=adjust)) == 6
    for other in {"", "qfq", "hfq"} - {adjust}:
        with pytest.raises(UnknownStock):
            fetch(source, "600000", adjust=other)


def test_name_that_contradicts_its_folder_is_left_aside(tmp_path, source):
    write_file(tmp_path, "hfq/600000_qfq.csv")
    with pytest.raises(Permanent, match="the adjustment is “qfq”, but the folder's is “hfq”"):
        source.symbols("CN")


@pytest.mark.parametrize(
    ("name", "market", "code"),
    [
        ("SH#600000.txt", "CN", "600000"),
        ("600000.XSHG.csv", "CN", "600000"),
        ("HK.00700.csv", "HK", "00700"),
        ("HK/700.csv", "HK", "00700"),
        ("31#00700.txt", "HK", "00700"),
        ("105.MSFT.csv", "US", "MSFT"),
        ("BAC-PL.csv", "US", "BAC.PL"),
        ("US/brk-b.csv", "US", "BRK.B"),
    ],
)
def test_kind_of_spelling_in_a_name(tmp_path, source, name, market, code):
    head = "Date,Open,High,Low,Close,Volume,Amount"
    write_file(tmp_path, name, quotes(head, f"2024-01-02,{PRICES},500,10100"))
    assert codes(source, market) == [code]
    assert len(fetch(source, code, market)) == 1


def test_indices_of_a_shared_file_are_not_its_stocks(tmp_path, source):
    write_file(tmp_path, "day.csv", day_file(0, "000001.SZ", "000001.SH", "399001.SZ", "510300.SH"))
    assert codes(source) == ["000001", "000001.SH", "399001.SZ", "510300"]
    found = {kind: [one.code for one in source.symbols_of_kind("CN", kind)] for kind in ("etf", "index")}
    assert found == {"etf": ["510300"], "index": ["000001.SH", "399001.SZ"]}
