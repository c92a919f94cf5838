"""The source `csv` reads every promised format, and names what is wrong with any other file."""

import math
import os
import sys
from dataclasses import replace
from datetime import date

import pytest
from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext

from tasks_app import errors
from tasks_app.conf import Conf
from tasks_app.models import Correction, DailyBar, Series, Stock, StockList
from tasks_app.orders import order
from tasks_app.orders.order import Order
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Permanent, Request, SourceError, UnknownStock
from tasks_app.sources.csv_folder import problems, tables
from tasks_app.sources.csv_folder.codes import parse_code
from tasks_app.sources.csv_folder.layout import scan_folder
from tasks_app.sources.csv_folder.problems import UnreadableFile
from tasks_app.sources.csv_folder.source import CsvSource, read_file
from tests.factories import make_task
from tests.sources.csv_files import (
    AKSHARE,
    FIRST_DAY,
    akshare_csv,
    baostock_csv,
    day,
    english_csv,
    write_file,
)
from tools.in_process import work

NOT_QUOTES = problems.TEMPLATES["not_quotes"]
WORD = "“{0}” is a word rather than a stock's code; if it is one, name the file {0}.US"


def fetch(folder, code="600000", market="CN", *, adjust="", start=date.min, end=date.max):
    return CsvSource(folder).fetch(Request(market, code, start, end, adjust))


def fetch_error(folder, code="600000", **options):
    with pytest.raises(SourceError) as caught:
        fetch(folder, code, **options)
    return caught.value


# Formats.


def test_akshare_lots_become_shares(tmp_path):
    write_file(tmp_path, "600000.csv")
    bars = fetch(tmp_path)
    assert bars[0] == Bar(FIRST_DAY, 10.0, 11.0, 9.5, 10.5, 100_000, None, 1_020_000.0, 15.0, 0.5, 5.0, 0.8)
    assert [bar.volume for bar in bars] == [100_000 + 100 * n for n in range(6)]
    assert all(type(bar.volume) is int for bar in bars)


def test_baostock_shares_stay_shares(tmp_path):
    write_file(tmp_path, "sh.600000.csv", baostock_csv())
    bars = fetch(tmp_path)
    assert bars[0] == Bar(FIRST_DAY, 10.0, 11.0, 9.5, 10.5, 100_000, 10.0, 1_020_000.0, None, None, 5.0, 0.8)
    assert [bar.day for bar in bars] == [day(n) for n in (0, 1, 3, 4, 5)]


def test_english_columns_in_any_case(tmp_path):
    write_file(tmp_path, "AAPL.csv", english_csv())
    bars = fetch(tmp_path, "AAPL", "US")
    assert bars[0] == Bar(FIRST_DAY, 10.0, 11.0, 9.5, 10.5, 100_000)
    assert read_file(scan_folder(tmp_path).files["US", "", "AAPL"]).unused_columns == ["Adj Close"]


def test_our_own_export_can_be_read_back(tmp_path):
    head = "market,code,adjust,day,open,high,low,close,prev_close,volume,amount,amplitude,change,change_pct,"
    head += "turnover,source,collected_at"
    row = "CN,600000.SH,,2024-01-02,10.0,11.0,9.5,10.5,10.0,100000,1020000.0,15.0,0.5,5.0,0.8,akshare,"
    write_file(tmp_path, "CN-600000.csv", f"{head}\n{row}\n")
    assert fetch(tmp_path) == [
        Bar(FIRST_DAY, 10.0, 11.0, 9.5, 10.5, 100_000, 10.0, 1_020_000.0, 15.0, 0.5, 5.0, 0.8)
    ]


def test_akshare_hong_kong_volumes_are_shares(tmp_path):
    write_file(tmp_path, "00700.csv", akshare_csv("00700", unit=1))
    assert fetch(tmp_path, "00700", "HK")[0].volume == 100_000
    assert read_file(scan_folder(tmp_path).files["HK", "", "00700"]).unit_known_by == "amount"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
def test_chinese_headings_in_utf8_utf16_and_gbk(tmp_path, encoding):
    write_file(tmp_path, "600000.csv", encoding=encoding)
    assert len(fetch(tmp_path)) == 6
    detected = read_file(scan_folder(tmp_path).files["CN", "", "600000"]).encoding
    assert detected == {"utf-16": "UTF-16", "gbk": "GBK", "gb18030": "GBK"}.get(encoding, "UTF-8")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_line_ends(tmp_path, delimiter):
    write_file(tmp_path, "600000.csv", akshare_csv().replace(",", delimiter).replace("\n", "\r\n"))
    assert len(fetch(tmp_path)) == 6


def test_parquet_is_read_like_csv(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow, which is not installed")
    import pyarrow

    write_file(tmp_path, "csv/600000.csv")
    columns = {
        "日期": [day(n) for n in range(6)],
        "股票代码": ["600000"] * 6,
        "开盘": [10.0] * 6,
        "收盘": [10.5] * 6,
        "最高": [11.0] * 6,
        "最低": [9.5] * 6,
        "成交量": [1000 + n for n in range(6)],
        "成交额": [round((1000 + n) * 100 * 10.2, 2) for n in range(6)],
        "振幅": [15.0] * 6,
        "涨跌幅": [5.0] * 6,
        "涨跌额": [0.5] * 6,
        "换手率": [0.8] * 6,
    }
    (tmp_path / "parquet").mkdir()
    parquet.write_table(pyarrow.table(columns), tmp_path / "parquet" / "600000.parquet")
    assert fetch(tmp_path / "parquet") == fetch(tmp_path / "csv")
    (tmp_path / "parquet" / "600001.parquet").write_bytes(b"PAR1 nonsense")
    assert "600001.parquet: it can't be read" in str(fetch_error(tmp_path / "parquet", "600001"))


def test_parquet_without_pyarrow_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write_file(tmp_path, "600000.parquet", "PAR1")
    assert "600000.parquet: reading Parquet needs the package pyarrow" in str(fetch_error(tmp_path))


def test_days_are_sorted_and_limited_to_the_request(tmp_path):
    head, *rows = akshare_csv().splitlines()
    write_file(tmp_path, "600000.csv", "\n".join([head, *reversed(rows), ""]))
    days = [bar.day for bar in fetch(tmp_path, start=day(1), end=day(3))]
    assert days == [day(1), day(2), day(3)]


@pytest.mark.parametrize(
    "text", ["2024-01-02", "20240102", "2024/1/2", "2024-01-02 00:00:00", "2024/01/02 0:00"]
)
def test_day_formats(tmp_path, text):
    write_file(tmp_path, "AAPL.csv", f"Date,Open,High,Low,Close,Volume\n{text},10,11,9,10,100\n")
    assert fetch(tmp_path, "AAPL", "US")[0].day == FIRST_DAY


def test_sina_turnover_is_left_out(tmp_path):
    head = "date,open,high,low,close,volume,amount,outstanding_share,turnover"
    write_file(tmp_path, "600000.csv", f"{head}\n2024-01-02,10,11,9,10,100,1000,1e6,0.0001\n")
    assert fetch(tmp_path)[0].turnover is None


def test_missing_values_stay_missing(tmp_path):
    write_file(tmp_path, "AAPL.csv", "Date,Open,High,Low,Close,Volume,Amount\n2024-01-02,10,-,9,10,nan,\n")
    bar = fetch(tmp_path, "AAPL", "US")[0]
    assert math.isnan(bar.high)
    assert math.isnan(bar.volume)
    assert bar.amount is None


# The unit of volume.


def test_amount_overrides_the_columns_unit(tmp_path):
    write_file(tmp_path, "600000.csv", akshare_csv(unit=1))
    reading = read_file(scan_folder(tmp_path).files["CN", "", "600000"])
    assert (reading.shares_per_volume, reading.unit_known_by) == (1, "against")
    assert reading.bars[0].volume == 100_000


def test_amount_reveals_lots_in_english_columns(tmp_path):
    rows = "".join(f"{day(n)},10,11,9,10,{50 + n},{(50 + n) * 1000}\n" for n in range(6))
    write_file(tmp_path, "600000.csv", "date,open,high,low,close,volume,amount\n" + rows)
    assert fetch(tmp_path)[0].volume == 5000


def test_amount_that_fits_no_unit_fails_the_file(tmp_path):
    rows = "".join(f"{day(n)},10,11,9,10,{50 + n},{(50 + n) * 3}\n" for n in range(6))
    write_file(tmp_path, "600000.csv", "date,open,high,low,close,vol,amount\n" + rows)
    assert "600000.csv, line 2: the amount fits neither" in str(fetch_error(tmp_path))


def test_file_in_two_units_fails(tmp_path):
    lots, shares = akshare_csv(rows=6).splitlines(), akshare_csv(rows=9, unit=1).splitlines()
    write_file(tmp_path, "600000.csv", "\n".join([*lots, *shares[7:], ""]))
    assert "600000.csv, line 8: the amount fits neither" in str(fetch_error(tmp_path))


def test_columns_decide_without_an_amount(tmp_path):
    head = "日期,开盘,收盘,最高,最低,成交量,振幅,换手率"
    write_file(tmp_path, "600000.csv", f"{head}\n2024-01-02,10,10,11,9,7,20,0.1\n")
    reading = read_file(scan_folder(tmp_path).files["CN", "", "600000"])
    assert (reading.shares_per_volume, reading.unit_known_by, reading.bars[0].volume) == (100, "columns", 700)


def test_fractional_lots_and_shares_are_kept(tmp_path):
    write_file(
        tmp_path,
        "600000.csv",
        "日期,开盘,收盘,最高,最低,成交量(手)\n2024-01-02,10,10,11,9,7.25\n2024-01-03,10,10,11,9,7.255\n",
    )
    assert [bar.volume for bar in fetch(tmp_path)] == [725, 725.5]


# Names and folders.


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("600000.csv", ("CN", "", "600000")),
        ("000001.csv", ("CN", "", "000001")),
        ("sh.600000.csv", ("CN", "", "600000")),
        ("SZ000001.CSV", ("CN", "", "000001")),
        ("600000_SH.csv", ("CN", "", "600000")),
        ("600000.SS.csv", ("CN", "", "600000")),
        ("bj920002.csv", ("CN", "", "920002")),
        ("CN-600000.csv", ("CN", "", "600000")),
        ("00700.csv", ("HK", "", "00700")),
        ("0700.HK.csv", ("HK", "", "00700")),
        ("AAPL.csv", ("US", "", "AAPL")),
        ("aapl.us.csv", ("US", "", "AAPL")),
        ("BRK.B.csv", ("US", "", "BRK.B")),
        ("SH.csv", ("US", "", "SH")),
        ("CN/600000.csv", ("CN", "", "600000")),
        ("hk/00700.csv", ("HK", "", "00700")),
        ("US/qfq/AAPL.csv", ("US", "qfq", "AAPL")),
        ("hfq/600000.csv", ("CN", "hfq", "600000")),
        ("600519_贵州茅台.csv", ("CN", "", "600519")),
        ("贵州茅台(600519).csv", ("CN", "", "600519")),
        ("贵州茅台-SH600519.csv", ("CN", "", "600519")),
        ("*ST美丽 000010.SZ.csv", ("CN", "", "000010")),
        ("600519_贵州茅台_前复权.csv", ("CN", "qfq", "600519")),
        ("AAPL (1).csv", ("US", "", "AAPL")),
        ("600519 - 副本.csv", ("CN", "", "600519")),
        ("DATA.US.csv", ("US", "", "DATA")),
    ],
)
def test_folder_and_name_identify_the_stock(tmp_path, name, key):
    write_file(tmp_path, name)
    assert list(scan_folder(tmp_path).files) == [key]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("1.csv", NOT_QUOTES),
        ("999999.csv", NOT_QUOTES),
        ("HK/600000.csv", NOT_QUOTES),
        ("CN/AAPL.csv", NOT_QUOTES),
        ("股票.csv", NOT_QUOTES),
        ("aapl.csv", NOT_QUOTES),
        ("sp500_5yr.csv", NOT_QUOTES),
        ("VOD.L.csv", NOT_QUOTES),
        ("202401.csv", NOT_QUOTES),
        ("7203.T.csv", NOT_QUOTES),
        ("BTC-USD.csv", NOT_QUOTES),
        ("AAPL_daily.csv", NOT_QUOTES),
        ("600000_2020.csv", NOT_QUOTES),
        (
            "bj.000001.csv",
            "the name says BSE, but the code belongs to SZSE",
        ),
        ("DATA.csv", WORD.format("DATA")),
        ("QUOTE (2).csv", WORD.format("QUOTE")),
        ("US/dl.csv", WORD.format("dl")),
        ("上证指数(000001).csv", NOT_QUOTES),
        ("行情_200401.csv", NOT_QUOTES),
        ("贵州茅台600519周线.csv", NOT_QUOTES),
        ("贵州茅台600519_2020.csv", NOT_QUOTES),
        ("notes.doc", "the file is neither CSV, text, Excel, Parquet, .day nor .zip"),
    ],
)
def test_unknown_names_are_left_aside_and_never_us_stocks(tmp_path, name, reason):
    write_file(tmp_path, name, english_csv())
    assert not scan_folder(tmp_path).files
    source = CsvSource(tmp_path)
    for market in source.markets:
        with pytest.raises(Permanent, match="no file of the market"):
            source.symbols(market)
    market = name.partition("/")[0] if "/" in name else "US"
    assert [entry.reason for entry in source.left_aside(market)] == [reason]


def test_unknown_folders_and_links_are_ignored(tmp_path):
    outside = write_file(tmp_path, "outside/600000.csv")
    inside = tmp_path / "inside"
    write_file(inside, "backup/600001.csv")
    (inside / "600000.csv").symlink_to(outside)
    (inside / "CN").symlink_to(outside.parent)
    layout = scan_folder(inside)
    assert not layout.files
    assert {path.name: problem.code for path, problem in layout.ignored} == {
        "600000.csv": "not_a_file",
        "CN": "not_a_file",
        "backup": "not_a_folder",
    }


def test_file_replaced_by_a_link_is_not_followed(tmp_path):
    path = write_file(tmp_path, "600000.csv")
    source = CsvSource(tmp_path)
    source.symbols("CN")
    secret = write_file(tmp_path / "elsewhere", "secret.csv")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(SourceError):
        source.fetch(Request("CN", "600000", date.min, date.max))


@pytest.mark.parametrize("code", ["../600000", "/etc/passwd", "CN/600000", "600000.csv", "..", "", "6*"])
def test_code_is_never_used_as_a_path(tmp_path, code):
    write_file(tmp_path, "inside/CN/600000.csv")
    write_file(tmp_path, "600000.csv")
    assert isinstance(fetch_error(tmp_path / "inside", code), UnknownStock)


def test_two_files_of_one_stock_must_agree(tmp_path):
    write_file(tmp_path, "600000.csv")
    write_file(tmp_path, "sh.600000.csv", akshare_csv(rows=8))
    assert len(fetch(tmp_path)) == 8
    write_file(tmp_path, "SH#600000.txt", akshare_csv().replace("10.5", "10.4"))
    error = fetch_error(tmp_path)
    assert (type(error), error.code) == (Permanent, "bad_file")
    assert str(error) == "600000.csv and SH#600000.txt have different values of 600000 on 2024-01-02."
    assert [symbol.code for symbol in CsvSource(tmp_path).symbols("CN")] == ["600000"]


def test_list_has_the_files_and_their_exchanges(tmp_path):
    for name in ("600000.csv", "000001.csv", "qfq/000001.csv", "00700.csv"):
        write_file(tmp_path, name)
    source = CsvSource(tmp_path)
    assert [(s.code, s.exchange) for s in source.symbols("CN")] == [("000001", "SZSE"), ("600000", "SSE")]
    assert [(s.code, s.exchange) for s in source.symbols("HK")] == [("00700", "HKEX")]
    with pytest.raises(Permanent, match="no file of the market US"):
        source.symbols("US")


def test_adjustment_needs_its_folder(tmp_path):
    write_file(tmp_path, "600000.csv")
    write_file(tmp_path, "qfq/600000.csv", akshare_csv(rows=3))
    assert len(fetch(tmp_path, adjust="qfq")) == 3
    assert "as hfq" in str(fetch_error(tmp_path, adjust="hfq"))


def test_files_may_come_and_go(tmp_path):
    path = write_file(tmp_path, "600000.csv")
    source = CsvSource(tmp_path)
    request = Request("CN", "600000", date.min, date.max)
    assert source.fetch(request)
    write_file(tmp_path, "600001.csv", akshare_csv("600001"))
    assert source.fetch(replace(request, code="600001"))
    path.unlink()
    with pytest.raises(UnknownStock):
        source.fetch(request)


# Errors by file and line.


def replace_line(line, text):
    """Returns AKShare's file with one line replaced; line 1 is the header."""
    lines = akshare_csv().splitlines()
    lines[line - 1] = text
    return "\n".join([*lines, ""])


ROW = "2024-01-03,600000,10.0,10.5,11.0,9.5,1000,1020000,15.0,5.0,0.5,0.8"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "600000.csv: the file is empty."),
        ("\n\n", "600000.csv: the file is empty."),
        (
            "日期,开盘,收盘\n",
            "600000.csv, line 1: no column for high, low, volume; there are: 日期, 开盘, 收盘.",
        ),
        (AKSHARE + ",收盘价\n", "600000.csv, line 1: two columns for close: 收盘, 收盘价."),
        (replace_line(3, "2024-01-03,600000,10.0"), "600000.csv, line 3: 3 fields, but the header has 12."),
        (
            replace_line(4, ROW.replace("10.5", "abc")),
            "600000.csv, line 4: “abc” in the column 收盘 is not a number.",
        ),
        (
            replace_line(4, ROW.replace("10.5", "1_0")),
            "600000.csv, line 4: “1_0” in the column 收盘 is not a number.",
        ),
        (
            replace_line(2, ROW.replace("2024-01-03", "2024-13-03")),
            "600000.csv, line 2: “2024-13-03” in the column 日期 is not a date; dates are",
        ),
        (
            replace_line(2, ROW.replace("2024-01-03", "2024-01-03 09:35")),
            "600000.csv, line 2: “2024-01-03 09:35” in the column 日期 has a time of day: only",
        ),
        (
            replace_line(5, ROW.replace("600000", "600001")),
            "600000.csv, line 5: the code is “600001”, but the file's name says 600000.",
        ),
        (baostock_csv(flag="2"), "600000.csv, line 2: the adjustment is “qfq”, but the folder's is “”"),
        (replace_line(3, ROW + '"x'), "600000.csv, line 3"),
    ],
)
def test_error_names_file_line_and_cause(tmp_path, content, message):
    write_file(tmp_path, "600000.csv", content)
    error = fetch_error(tmp_path)
    assert (type(error), error.code) == (Permanent, "bad_file")
    assert str(error).startswith(message)


def test_bad_lines_are_counted_and_the_first_named(tmp_path):
    lines = [AKSHARE, *(f"{day(n)},600000,x" for n in range(100))]
    write_file(tmp_path, "600000.csv", "\n".join(lines))
    assert str(fetch_error(tmp_path)).endswith("line 4: 3 fields, but the header has 12; and 97 more.")


@pytest.mark.parametrize("content", [b"\xff\xfe\xe5\x65\x1f", b"\x81\x20 broken", b"date\0,open\n"])
def test_other_encodings_are_an_error(tmp_path, content):
    (tmp_path / "600000.csv").write_bytes(content)
    assert "neither UTF-8 nor GBK" in str(fetch_error(tmp_path))


def test_huge_file_is_refused(tmp_path):
    with write_file(tmp_path, "600000.csv").open("ab") as file:
        file.truncate(tables.MAX_BYTES + 1)
    assert "larger than 16 MB" in str(fetch_error(tmp_path))


def test_lost_leading_zeros_do_no_harm(tmp_path):
    write_file(tmp_path, "000001.csv", akshare_csv("1"))
    assert len(fetch(tmp_path, "000001")) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_read_permission_is_an_error(tmp_path):
    write_file(tmp_path, "600000.csv").chmod(0)
    assert "Permission denied" in str(fetch_error(tmp_path))


def test_missing_folder_is_transient(tmp_path):
    error = fetch_error(tmp_path / "gone")
    assert error.code == "source_busy"


@pytest.mark.parametrize("stem", ["", ".", "-", "CN-", "sh.", "x" * 40])
def test_malformed_names_are_unreadable(stem):
    with pytest.raises(UnreadableFile):
        parse_code(stem)


# With the engine.


@pytest.fixture
def folder(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, csv_dir=str(tmp_path))
    return tmp_path


def collect(**fields):
    defaults = {
        "source": "csv",
        "market": "CN",
        "stock_codes": None,
        "start_date": FIRST_DAY,
        "end_date": day(30),
    }
    task = make_task(**{**defaults, **fields})
    work()
    task.refresh_from_db()
    return task


@pytest.mark.django_db
def test_folder_is_collected_once(folder):
    write_file(folder, "600000.csv")
    write_file(folder, "sz.000001.csv", baostock_csv("sz.000001"))
    task = collect()
    assert (task.status, task.success_count, task.collected_count) == ("completed", 2, 11)
    assert DailyBar.objects.filter(source="csv", day=FIRST_DAY).values_list(
        "volume", flat=True
    ).distinct().get() == (100_000)
    again = collect(force_update=True)
    assert (again.collected_count, DailyBar.objects.count()) == (0, 11)


@pytest.mark.django_db
def test_file_added_later_is_collected(folder):
    write_file(folder, "600000.csv")
    collect()
    write_file(folder, "600001.csv", akshare_csv("600001"))
    assert collect().collected_count == 6


@pytest.mark.django_db
def test_kind_of_folder_that_shrinks_is_what_it_holds_now(folder):
    for code in ("600000", "600001", "600004"):
        write_file(folder, f"{code}.csv", akshare_csv(code))
    collect()
    for code in ("600000", "600001", "600004"):
        (folder / f"{code}.csv").unlink()
    write_file(folder, "600006.csv", akshare_csv("600006"))
    task = collect()
    assert (task.status, task.failed_count, task.collected_count) == ("completed", 0, 6)
    assert list(task.items.values_list("code", flat=True)) == ["600006"]
    (folder / "600006.csv").unlink()
    task = collect()
    assert (task.status, task.error_code) == ("failed", "empty_stock_list")


@pytest.mark.django_db
def test_kind_of_new_file_ordered_by_its_code(folder):
    write_file(folder, "600000.csv")
    collect()
    StockList.objects.create(market="CN", source="akshare", size=3, synced_at=timezone.now())
    write_file(folder, "600001.csv", akshare_csv("600001"))
    codes = ("600001",)
    wanted = Order(FIRST_DAY, day(30), codes, market="CN", source="csv", fallbacks=())
    conf = settings.COLLECTOR
    assert order.split_known(order.resolve(wanted, day(30), conf), conf) == (codes, ())
    assert collect(stock_codes=["600001"]).collected_count == 6


@pytest.mark.django_db
def test_kind_of_adjusted_order_takes_adjusted_files_only(folder):
    write_file(folder, "600000.csv")
    write_file(folder, "600001.csv", akshare_csv("600001"))
    write_file(folder, "qfq/600000.csv")
    task = collect(adjust="qfq")
    assert (task.status, task.total_stocks, task.failed_count) == ("completed", 1, 0)
    assert list(task.items.values_list("code", flat=True)) == ["600000"]
    assert collect().total_stocks == 2


@pytest.mark.django_db
def test_kind_of_wrong_bar_goes_when_its_line_is_removed(folder):
    head, *lines = akshare_csv(rows=10).splitlines()
    write_file(folder, "600000.csv", "\n".join([head, *lines, ""]))
    assert collect().collected_count == 10
    write_file(folder, "600000.csv", "\n".join([head, lines[1], lines[3], lines[6], ""]))
    assert collect().corrected_count == 0, "only what is requested again is compared"
    task = collect(force_update=True)
    assert (task.corrected_count, task.collected_count) == (3, 0)
    saturday, sunday = day(4), day(5)
    corrections = {row.day: row for row in Correction.objects.all()}
    assert set(corrections) == {day(2), saturday, sunday}
    assert (corrections[saturday].before["close"], corrections[saturday].after) == (10.5, {})
    kept = set(DailyBar.objects.values_list("day", flat=True))
    assert kept == {day(n) for n in (0, 1, 3, 6, 7, 8, 9)}, (
        "the file may have been replaced by one of other days"
    )
    assert Series.objects.get(symbol="600000").bars == 7


@pytest.mark.django_db
def test_bar_on_a_closed_day_goes_wherever_it_is(folder):
    head, *lines = akshare_csv().splitlines()
    write_file(folder, "600000.csv")
    collect()
    write_file(folder, "600000.csv", "\n".join([head, *lines[:4], ""]))
    assert collect(force_update=True).corrected_count == 2
    assert DailyBar.objects.order_by("-day").first().day == day(3)


@pytest.mark.django_db
def test_bars_of_other_sources_stay_when_a_file_lacks_them(folder):
    write_file(folder, "600000.csv")
    collect()
    DailyBar.objects.filter(day=day(1)).update(source="akshare")
    lines = akshare_csv().splitlines()
    write_file(folder, "600000.csv", "\n".join([lines[0], lines[1], *lines[3:4], *lines[5:], ""]))
    assert collect(force_update=True).corrected_count == 1
    assert set(DailyBar.objects.values_list("day", flat=True)) == {day(0), day(1), day(2), day(4), day(5)}


def test_files_of_other_days_say_which_days_they_hold(tmp_path):
    head, *lines = akshare_csv().splitlines()
    write_file(tmp_path, "600000.csv", "\n".join([head, *reversed(lines), ""]))
    answer = fetch(tmp_path, start=day(30), end=day(60))
    assert answer == []
    assert answer.notes == ("none of the requested days; the files hold 2024-01-02 to 2024-01-07",)
    assert fetch(tmp_path, start=day(5), end=day(60)).notes == ()


@pytest.mark.django_db
def test_answer_without_bars_keeps_its_notes_and_suspended_days(folder):
    write_file(folder, "600000.csv", baostock_csv())
    task = collect(start_date=day(2), end_date=day(2))
    first, last, reason, *_ = Series.objects.get(symbol="600000").absences[0]
    assert (task.outcome, first, last, reason) == ("no_bars", "2024-01-04", "2024-01-04", "suspended")
    assert task.items.get().note == "lines left out because they are days without trading (suspended): 1"
    later = collect(start_date=day(60), end_date=day(70))
    assert later.items.get().note.startswith("none of the requested days; the files hold 2024-01-02 to")


@pytest.mark.django_db
def test_item_says_what_was_left_out_and_the_task_what_was_left_aside(folder):
    write_file(folder, "600000.csv", baostock_csv())
    write_file(folder, "watch_list.csv", "code,name\n600000,Example\n")
    task = collect()
    assert task.items.get().note == ("lines left out because they are days without trading (suspended): 1")
    warning = task.events.get(kind="warned").params
    assert (warning["code"], warning["count"]) == ("left_aside", "1")
    assert warning["message"].startswith("watch_list.csv: no column for day, open")


@pytest.mark.django_db
def test_stock_without_any_trade_is_no_failure(folder):
    write_file(folder, "600000.csv", "日期,开盘,最高,最低,收盘,成交量\n2024-01-02,0,0,0,9.9,0\n")
    task = collect()
    assert (task.status, task.success_count, task.failed_count, task.collected_count) == (
        "completed",
        1,
        0,
        0,
    )


@pytest.mark.django_db
def test_bad_file_fails_only_its_stock(folder):
    write_file(folder, "600000.csv")
    write_file(folder, "600001.csv", akshare_csv("600001").replace("10.5", "ten", 1))
    task = collect()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 1)
    item = task.items.get(state="failed")
    assert (item.code, item.error_code) == ("600001", "bad_file")
    assert item.error_message == "600001.csv, line 2: “ten” in the column 收盘 is not a number."


@pytest.mark.django_db
def test_inconsistent_line_is_refused_and_counted(folder):
    write_file(folder, "600000.csv", akshare_csv().replace("11.0", "1.0", 1))
    task = collect()
    assert (task.collected_count, task.refused_count) == (5, 1)


@pytest.mark.django_db
def test_stock_name_is_not_overwritten(folder):
    Stock.objects.create(market="CN", code="600000", name="浦发银行")
    write_file(folder, "600000.csv")
    collect()
    assert Stock.objects.get(code="600000").name == "浦发银行"


def test_source_without_a_folder_is_hidden(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, csv_dir="")
    assert "csv" not in registry.available(settings.COLLECTOR)
    assert registry.hidden(Conf())["csv"] == "COLLECTOR_CSV_DIR"
    with pytest.raises(errors.SourceNotSet, match="COLLECTOR_CSV_DIR"):
        order.find_source("CN", "csv", settings.COLLECTOR)


# Sentences.


def test_every_problem_has_a_chinese_sentence():
    with translation.override("zh-hans"):
        assert not [code for code, text in problems.TEMPLATES.items() if gettext(text) == text]
