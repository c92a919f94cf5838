"""The source `csv`: files in every shape that is promised, and clear words about all others."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation
from django.utils.translation import gettext

from tasks_app import errors
from tasks_app.conf import Conf
from tasks_app.management import csv_preview
from tasks_app.models import DailyBar, Stock
from tasks_app.orders import order
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Permanent, Request, SourceError, UnknownStock
from tasks_app.sources.csv_folder import problems, tables
from tasks_app.sources.csv_folder.layout import parse_stem, scan_folder
from tasks_app.sources.csv_folder.problems import UnreadableFile
from tasks_app.sources.csv_folder.source import CsvSource, read_file
from tests.factories import make_order, make_task
from tools.in_process import work

ROOT = Path(__file__).parents[2]
AKSHARE = "日期,股票代码,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率"
BAOSTOCK = "date,code,open,high,low,close,preclose,volume,amount,adjustflag,turn,tradestatus,pctChg,isST"
FIRST = date(2024, 1, 2)


def day(number):
    return FIRST + timedelta(days=number)


def akshare(code="600000", rows=6, unit=100):
    """Rows as AKShare saves them: volumes in lots unless `unit` says otherwise."""
    lines = [
        f"{day(n)},{code},10.0,10.5,11.0,9.5,{(1000 + n) * 100 // unit},{(1000 + n) * 100 * 10.2:.2f},"
        "15.0,5.0,0.5,0.8"
        for n in range(rows)
    ]
    return "\n".join([AKSHARE, *lines]) + "\n"


def baostock(code="sh.600000", rows=6, flag="3"):
    """Rows as BaoStock sends them; the third day is a suspended one."""
    lines = []
    for n in range(rows):
        shares = (1000 + n) * 100
        rest = "0,0,{flag},,0,0.0,0" if n == 2 else f"{shares},{shares * 10.2:.2f},{{flag}},0.8,1,5.0,0"
        lines.append(f"{day(n)},{code},10.0,11.0,9.5,10.5,10.0," + rest.format(flag=flag))
    return "\n".join([BAOSTOCK, *lines]) + "\n"


def english(rows=6):
    """Rows in plain English, without an amount."""
    lines = [f"{day(n)},10.0,11.0,9.5,10.5,{(1000 + n) * 100},10.4" for n in range(rows)]
    return "\n".join(["Date,Open,High,Low,Close,Volume,Adj Close", *lines]) + "\n"


def put(folder, name, content=None, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((akshare() if content is None else content).encode(encoding))
    return path


def ask(folder, code="600000", market="CN", *, adjust="", start=date.min, end=date.max):
    return CsvSource(folder).fetch(Request(market, code, start, end, adjust))


def failure(folder, code="600000", **request):
    with pytest.raises(SourceError) as caught:
        ask(folder, code, **request)
    return caught.value


# Formats.


def test_akshares_lots_become_shares(tmp_path):
    put(tmp_path, "600000.csv")
    bars = ask(tmp_path)
    assert bars[0] == Bar(FIRST, 10.0, 11.0, 9.5, 10.5, 100_000, None, 1_020_000.0, 15.0, 0.5, 5.0, 0.8)
    assert [bar.volume for bar in bars] == [100_000 + 100 * n for n in range(6)]
    assert all(type(bar.volume) is int for bar in bars)


def test_baostocks_shares_stay_and_suspended_days_are_left_out(tmp_path):
    put(tmp_path, "sh.600000.csv", baostock())
    bars = ask(tmp_path)
    assert bars[0] == Bar(FIRST, 10.0, 11.0, 9.5, 10.5, 100_000, 10.0, 1_020_000.0, None, None, 5.0, 0.8)
    assert [bar.day for bar in bars] == [day(n) for n in (0, 1, 3, 4, 5)]


def test_english_columns_are_found_whatever_their_case(tmp_path):
    put(tmp_path, "AAPL.csv", english())
    bars = ask(tmp_path, "AAPL", "US")
    assert bars[0] == Bar(FIRST, 10.0, 11.0, 9.5, 10.5, 100_000)
    assert read_file(scan_folder(tmp_path).files["US", "", "AAPL"]).unused_columns == ["Adj Close"]


def test_our_own_export_can_be_read_back(tmp_path):
    head = "market,code,adjust,day,open,high,low,close,prev_close,volume,amount,amplitude,change,change_pct,"
    head += "turnover,source,collected_at"
    row = "CN,600000,,2024-01-02,10.0,11.0,9.5,10.5,10.0,100000,1020000.0,15.0,0.5,5.0,0.8,akshare,2024-01-03"
    put(tmp_path, "CN-600000.csv", f"{head}\n{row}\n")
    assert ask(tmp_path) == [
        Bar(FIRST, 10.0, 11.0, 9.5, 10.5, 100_000, 10.0, 1_020_000.0, 15.0, 0.5, 5.0, 0.8)
    ]


def test_akshares_hong_kong_volumes_are_shares_already(tmp_path):
    put(tmp_path, "00700.csv", akshare("00700", unit=1))
    assert ask(tmp_path, "00700", "HK")[0].volume == 100_000
    assert read_file(scan_folder(tmp_path).files["HK", "", "00700"]).unit_known_by == "amount"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_chinese_headings_are_read_in_their_encodings(tmp_path, encoding):
    put(tmp_path, "600000.csv", encoding=encoding)
    assert len(ask(tmp_path)) == 6
    told = read_file(scan_folder(tmp_path).files["CN", "", "600000"]).encoding
    assert told == ("UTF-8" if encoding.startswith("utf") else "GBK")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_line_ends_are_seen(tmp_path, delimiter):
    put(tmp_path, "600000.csv", akshare().replace(",", delimiter).replace("\n", "\r\n"))
    assert len(ask(tmp_path)) == 6


def test_parquet_is_read_as_csv_is(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow, which is not installed")
    import pyarrow

    put(tmp_path, "csv/600000.csv")
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
    assert ask(tmp_path / "parquet") == ask(tmp_path / "csv")
    (tmp_path / "parquet" / "600001.parquet").write_bytes(b"PAR1 nonsense")
    assert "600001.parquet: it can't be read" in str(failure(tmp_path / "parquet", "600001"))


def test_parquet_without_pyarrow_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    put(tmp_path, "600000.parquet", "PAR1")
    assert "600000.parquet: reading Parquet needs the package pyarrow" in str(failure(tmp_path))


def test_any_order_of_days_is_put_right_and_the_window_is_kept(tmp_path):
    head, *rows = akshare().splitlines()
    put(tmp_path, "600000.csv", "\n".join([head, *reversed(rows), ""]))
    days = [bar.day for bar in ask(tmp_path, start=day(1), end=day(3))]
    assert days == [day(1), day(2), day(3)]


@pytest.mark.parametrize(
    "told", ["2024-01-02", "20240102", "2024/1/2", "2024-01-02 00:00:00", "2024/01/02 0:00"]
)
def test_a_day_may_be_written_in_several_ways(tmp_path, told):
    put(tmp_path, "AAPL.csv", f"Date,Open,High,Low,Close,Volume\n{told},10,11,9,10,100\n")
    assert ask(tmp_path, "AAPL", "US")[0].day == FIRST


def test_sinas_turnover_is_a_fraction_and_not_taken_for_a_percentage(tmp_path):
    head = "date,open,high,low,close,volume,amount,outstanding_share,turnover"
    put(tmp_path, "600000.csv", f"{head}\n2024-01-02,10,11,9,10,100,1000,1e6,0.0001\n")
    assert ask(tmp_path)[0].turnover is None


def test_what_is_missing_stays_missing_for_the_engine_to_judge(tmp_path):
    put(tmp_path, "AAPL.csv", "Date,Open,High,Low,Close,Volume,Amount\n2024-01-02,10,-,9,10,nan,\n")
    bar = ask(tmp_path, "AAPL", "US")[0]
    assert math.isnan(bar.high)
    assert math.isnan(bar.volume)
    assert bar.amount is None


# The unit of volume.


def test_the_amount_wins_over_the_columns_and_it_is_told(tmp_path):
    put(tmp_path, "600000.csv", akshare(unit=1))
    reading = read_file(scan_folder(tmp_path).files["CN", "", "600000"])
    assert (reading.shares_per_volume, reading.unit_known_by) == (1, "against")
    assert reading.bars[0].volume == 100_000


def test_english_columns_with_lots_are_found_out_by_the_amount(tmp_path):
    rows = "".join(f"{day(n)},10,11,9,10,{50 + n},{(50 + n) * 1000}\n" for n in range(6))
    put(tmp_path, "600000.csv", "date,open,high,low,close,volume,amount\n" + rows)
    assert ask(tmp_path)[0].volume == 5000


def test_an_amount_that_fits_neither_unit_fails_the_file(tmp_path):
    rows = "".join(f"{day(n)},10,11,9,10,{50 + n},{50 + n}\n" for n in range(6))
    put(tmp_path, "600000.csv", "date,open,high,low,close,vol,amount\n" + rows)
    assert "600000.csv, line 2: the amount fits neither" in str(failure(tmp_path))


def test_a_file_in_two_units_fails(tmp_path):
    lots, shares = akshare(rows=6).splitlines(), akshare(rows=9, unit=1).splitlines()
    put(tmp_path, "600000.csv", "\n".join([*lots, *shares[7:], ""]))
    assert "600000.csv, line 8: the amount fits neither" in str(failure(tmp_path))


def test_without_an_amount_the_columns_decide(tmp_path):
    put(tmp_path, "600000.csv", "日期,开盘,收盘,最高,最低,成交量\n2024-01-02,10,10,11,9,7\n")
    reading = read_file(scan_folder(tmp_path).files["CN", "", "600000"])
    assert (reading.shares_per_volume, reading.unit_known_by, reading.bars[0].volume) == (100, "columns", 700)


def test_odd_lots_of_shares_are_kept_and_a_share_in_pieces_is_left_to_be_refused(tmp_path):
    put(
        tmp_path,
        "600000.csv",
        "日期,开盘,收盘,最高,最低,成交量\n2024-01-02,10,10,11,9,7.25\n2024-01-03,10,10,11,9,7.255\n",
    )
    assert [bar.volume for bar in ask(tmp_path)] == [725, 725.5]


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
    ],
)
def test_the_place_and_name_of_a_file_tell_its_stock(tmp_path, name, key):
    put(tmp_path, name)
    assert list(scan_folder(tmp_path).files) == [key]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("1.csv", "not_a_code"),
        ("999999.csv", "not_a_code"),
        ("HK/600000.csv", "not_a_code"),
        ("CN/AAPL.csv", "not_a_code"),
        ("股票.csv", "not_a_code"),
        ("sh.000001.csv", "other_exchange"),
        ("notes.txt", "not_known_here"),
    ],
)
def test_other_files_are_left_aside_with_the_reason(tmp_path, name, code):
    put(tmp_path, name)
    layout = scan_folder(tmp_path)
    assert not layout.files
    assert [problem.code for _, problem in layout.ignored] == [code]


def test_folders_without_a_meaning_and_links_are_not_followed(tmp_path):
    outside = put(tmp_path, "outside/600000.csv")
    inside = tmp_path / "inside"
    put(inside, "backup/600001.csv")
    (inside / "600000.csv").symlink_to(outside)
    (inside / "CN").symlink_to(outside.parent)
    layout = scan_folder(inside)
    assert not layout.files
    assert {path.name: problem.code for path, problem in layout.ignored} == {
        "600000.csv": "not_a_file",
        "CN": "not_a_file",
        "backup": "not_a_folder",
    }


def test_a_link_that_takes_a_files_place_later_is_not_followed(tmp_path):
    path = put(tmp_path, "600000.csv")
    source = CsvSource(tmp_path)
    source.symbols("CN")
    secret = put(tmp_path / "elsewhere", "secret.csv")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(SourceError):
        source.fetch(Request("CN", "600000", date.min, date.max))


@pytest.mark.parametrize("code", ["../600000", "/etc/passwd", "CN/600000", "600000.csv", "..", "", "6*"])
def test_a_code_is_never_a_path(tmp_path, code):
    put(tmp_path, "inside/CN/600000.csv")
    put(tmp_path, "600000.csv")
    assert isinstance(failure(tmp_path / "inside", code), UnknownStock)


def test_two_files_of_one_stock_are_told_and_neither_is_taken(tmp_path):
    put(tmp_path, "600000.csv")
    put(tmp_path, "sh.600000.csv")
    error = failure(tmp_path)
    assert (type(error), error.code) == (Permanent, "bad_file")
    assert str(error) == "600000.csv: sh.600000.csv holds the same stock."
    assert [symbol.code for symbol in CsvSource(tmp_path).symbols("CN")] == ["600000"]


def test_the_list_is_that_of_the_files_with_their_exchanges(tmp_path):
    for name in ("600000.csv", "000001.csv", "qfq/000001.csv", "00700.csv"):
        put(tmp_path, name)
    source = CsvSource(tmp_path)
    assert [(s.code, s.exchange) for s in source.symbols("CN")] == [("000001", "SZSE"), ("600000", "SSE")]
    assert [(s.code, s.exchange) for s in source.symbols("HK")] == [("00700", "HKEX")]
    with pytest.raises(Permanent, match="no file of the market US"):
        source.symbols("US")


def test_an_adjustment_is_only_there_if_its_folder_is(tmp_path):
    put(tmp_path, "600000.csv")
    put(tmp_path, "qfq/600000.csv", akshare(rows=3))
    assert len(ask(tmp_path, adjust="qfq")) == 3
    assert "as hfq" in str(failure(tmp_path, adjust="hfq"))


def test_files_may_come_and_go_while_we_work(tmp_path):
    path = put(tmp_path, "600000.csv")
    source = CsvSource(tmp_path)
    request = Request("CN", "600000", date.min, date.max)
    assert source.fetch(request)
    put(tmp_path, "600001.csv", akshare("600001"))
    assert source.fetch(replace(request, code="600001"))
    path.unlink()
    with pytest.raises(UnknownStock):
        source.fetch(request)


# Errors by file and line.


def changed(line, text):
    """AKShare's rows with one line (counted from 1, the header) replaced."""
    lines = akshare().splitlines()
    lines[line - 1] = text
    return "\n".join([*lines, ""])


ROW = "2024-01-03,600000,10.0,10.5,11.0,9.5,1000,1020000,15.0,5.0,0.5,0.8"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "600000.csv: the file is empty."),
        ("\n\n", "600000.csv: the file is empty."),
        (
            "日期,开盘,收盘\n",
            "600000.csv, line 1: no column for high, low, volume; there are: 日期, 开盘, 收盘.",
        ),
        (AKSHARE + ",收盘价\n", "600000.csv, line 1: two columns for close: 收盘, 收盘价."),
        (changed(3, "2024-01-03,600000,10.0"), "600000.csv, line 3: 3 fields, but the header has 12."),
        (
            changed(4, ROW.replace("10.5", "abc")),
            "600000.csv, line 4: “abc” in the column 收盘 is not a number.",
        ),
        (
            changed(4, ROW.replace("10.5", "1_0")),
            "600000.csv, line 4: “1_0” in the column 收盘 is not a number.",
        ),
        (
            changed(2, ROW.replace("2024-01-03", "2024-13-03")),
            "600000.csv, line 2: “2024-13-03” in the column 日期 is not a date.",
        ),
        (
            changed(2, ROW.replace("2024-01-03", "2024-01-03 09:35")),
            "600000.csv, line 2: “2024-01-03 09:35” in the column 日期 is not a date.",
        ),
        (
            changed(5, ROW.replace("600000", "600001")),
            "600000.csv, line 5: the code is “600001”, but the file's name says 600000.",
        ),
        (baostock(flag="2"), "600000.csv, line 2: the adjustment is “qfq”, but the folder's is “”"),
        (changed(3, ROW + '"x'), "600000.csv, line 3"),
    ],
)
def test_an_error_names_the_file_the_line_and_the_cause(tmp_path, content, said):
    put(tmp_path, "600000.csv", content)
    error = failure(tmp_path)
    assert (type(error), error.code) == (Permanent, "bad_file")
    assert str(error).startswith(said)


def test_every_bad_line_is_counted_and_the_first_ones_are_named(tmp_path):
    lines = [AKSHARE, *(f"{day(n)},600000,x" for n in range(100))]
    put(tmp_path, "600000.csv", "\n".join(lines))
    assert str(failure(tmp_path)).endswith("line 4: 3 fields, but the header has 12; and 97 more.")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\xe5\x65\x1f\x67", "日期".encode("utf-16"), b"\x81\x20 broken", b"date\0,open\n"]
)
def test_other_encodings_are_named_as_such(tmp_path, content):
    (tmp_path / "600000.csv").write_bytes(content)
    assert "neither UTF-8 nor GBK" in str(failure(tmp_path))


def test_a_huge_file_is_refused_before_it_fills_the_memory(tmp_path):
    with put(tmp_path, "600000.csv").open("ab") as file:
        file.truncate(tables.MAX_BYTES + 1)
    assert "larger than 16 MB" in str(failure(tmp_path))


def test_leading_zeros_lost_in_the_file_do_no_harm(tmp_path):
    put(tmp_path, "000001.csv", akshare("1"))
    assert len(ask(tmp_path, "000001")) == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(tmp_path):
    put(tmp_path, "600000.csv").chmod(0)
    assert "Permission denied" in str(failure(tmp_path))


def test_a_folder_that_is_gone_is_passing(tmp_path):
    error = failure(tmp_path / "gone")
    assert error.code == "source_busy"


@pytest.mark.parametrize("stem", ["", ".", "-", "CN-", "sh.", "x" * 40])
def test_strange_names_raise_nothing_else(stem):
    with pytest.raises(UnreadableFile):
        parse_stem(stem)


def test_files_are_read_without_pandas_or_django():
    check = "import sys, tasks_app.sources.csv_folder.source as s; "
    check += "sys.exit(bool({'pandas', 'django', 'pyarrow'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


# With the engine.


@pytest.fixture
def folder(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, csv_dir=str(tmp_path))
    return tmp_path


def collect(**fields):
    given = {"source": "csv", "market": "CN", "stock_codes": None, "start_date": FIRST, "end_date": day(30)}
    task = make_task(**{**given, **fields})
    work()
    task.refresh_from_db()
    return task


@pytest.mark.django_db
def test_a_folder_is_collected_once_in_shares_and_not_again(folder):
    put(folder, "600000.csv")
    put(folder, "sz.000001.csv", baostock("sz.000001"))
    task = collect()
    assert (task.status, task.success_count, task.collected_count) == ("completed", 2, 11)
    assert DailyBar.objects.filter(source="csv", day=FIRST).values_list(
        "volume", flat=True
    ).distinct().get() == (100_000)
    again = collect(force_update=True)
    assert (again.collected_count, DailyBar.objects.count()) == (0, 11)


@pytest.mark.django_db
def test_a_file_that_came_after_the_last_collection_is_found(folder):
    put(folder, "600000.csv")
    collect()
    put(folder, "600001.csv", akshare("600001"))
    assert collect().collected_count == 6


@pytest.mark.django_db
def test_a_bad_file_fails_its_stock_with_its_line_and_the_rest_goes_on(folder):
    put(folder, "600000.csv")
    put(folder, "600001.csv", akshare("600001").replace("10.5", "ten", 1))
    task = collect()
    assert (task.status, task.success_count, task.failed_count) == ("completed", 1, 1)
    item = task.items.get(state="failed")
    assert (item.code, item.error_code) == ("600001", "bad_file")
    assert item.error_message == "600001.csv, line 2: “ten” in the column 收盘 is not a number."


@pytest.mark.django_db
def test_a_line_that_makes_no_sense_is_refused_and_counted_by_the_engine(folder):
    put(folder, "600000.csv", akshare().replace("11.0", "1.0", 1))
    task = collect()
    assert (task.collected_count, task.refused_count) == (5, 1)


@pytest.mark.django_db
def test_a_name_that_another_source_told_is_not_lost(folder):
    Stock.objects.create(market="CN", code="600000", name="浦发银行")
    put(folder, "600000.csv")
    collect()
    assert Stock.objects.get(code="600000").name == "浦发银行"


def test_without_a_folder_the_source_is_hidden_and_an_order_for_it_says_what_to_set(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, csv_dir="")
    assert "csv" not in registry.available(settings.COLLECTOR)
    assert registry.hidden(Conf())["csv"] == "COLLECTOR_CSV_DIR"
    with pytest.raises(errors.SourceNotSet, match="COLLECTOR_CSV_DIR"):
        order._route(make_order(source="csv", market="CN"), settings.COLLECTOR)


# The preview.


def preview(capsys, *arguments):
    """What the command prints, and its exit code."""
    try:
        call_command("csvfolder", "preview", *map(str, arguments))
    except SystemExit as end:
        return capsys.readouterr().out, end.code
    return capsys.readouterr().out, 0


def test_a_good_folder_is_shown_file_by_file(tmp_path, capsys):
    put(tmp_path, "600000.csv", encoding="gbk")
    put(tmp_path, "sz.000001.csv", baostock("sz.000001"))
    shown, code = preview(capsys, tmp_path)
    assert code == 0
    for told in ("CN 600000", "GBK", "lots of 100", "BaoStock", "2024-01-02 – 2024-01-07", "+ 1 suspended"):
        assert told in shown
    assert "2 files can be read (11 bars)" in shown


def test_what_can_not_be_read_is_shown_by_line_and_the_exit_code_tells(tmp_path, capsys):
    put(tmp_path, "600000.csv")
    put(tmp_path, "600001.csv")
    put(tmp_path, "notes.txt")
    shown, code = preview(capsys, tmp_path)
    assert code == 1
    assert "600001.csv" in shown
    assert "2–7" in shown
    assert "neither CSV nor Parquet" in shown


def test_machines_are_told_everything(tmp_path, capsys):
    put(tmp_path, "600000.csv", akshare(unit=1))
    put(tmp_path, "CN/000001.csv", "")
    put(tmp_path, "AAPL.csv", english())
    shown, code = preview(capsys, tmp_path, "--json", "--market", "CN")
    told = json.loads(shown)
    assert code == 1
    assert (told["readable"], told["unreadable"], told["bars"]) == (1, 1, 6)
    good, bad = told["files"]
    assert bad["problems"] == [{"line": 0, "code": "no_header", "message": "the file is empty"}]
    assert (good["file"], good["unit_known_by"], good["shares_per_volume"]) == ("600000.csv", "against", 1)


def test_the_preview_speaks_chinese(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    put(tmp_path, "600000.csv", "")
    shown, _ = preview(capsys, tmp_path)
    assert "文件为空" in shown


def test_a_preview_needs_a_folder(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, csv_dir="")
    with pytest.raises(CommandError, match="COLLECTOR_CSV_DIR"):
        call_command("csvfolder", "preview")
    with pytest.raises(CommandError, match="No such file"):
        call_command("csvfolder", "preview", str(tmp_path / "gone"))


def test_every_problem_has_a_chinese_sentence():
    with translation.override("zh-hans"):
        assert not [code for code, text in problems.TEMPLATES.items() if gettext(text) == text]


def test_spans_of_lines_are_told_in_short():
    assert csv_preview.line_ranges([2, 3, 4, 6, 8, 9]) == "2–4, 6, 8–9"
    assert csv_preview.line_ranges([0]) == ""
