"""Kinds of tables: several header lines, titles, vendors' column names, suspended rows, workbooks."""

import io
from datetime import datetime

import openpyxl
import pytest

from tasks_app.sources.csv_folder.problems import UnreadableFile
from tests.sources.csv_files import day, parse, quotes

PRICES = "20.0,20.8,19.6,20.4"
TDX_HEAD = "      日期\t    开盘\t    最高\t    最低\t    收盘\t    成交量\t    成交额"
TDX_ROWS = [f"2024/01/0{n},{PRICES},7654321,154617284.25" for n in (2, 3, 4)]
TDX_END = "数据来源:通达信"


def problem_of(content, name="600000.csv", **options):
    with pytest.raises(UnreadableFile) as caught:
        parse(content, name, **options)
    return caught.value.problems[0]


def tdx(*lines):
    return "\r\n".join([*lines, ""]).encode("gb18030")


@pytest.mark.parametrize(
    "lines",
    [
        ("600000 浦发银行 日线 不复权", TDX_HEAD, *TDX_ROWS, TDX_END),
        (TDX_HEAD, *TDX_ROWS, "#" + TDX_END),
        (TDX_HEAD, *TDX_ROWS),
    ],
)
@pytest.mark.parametrize("name", ["600000.csv", "SH#600000.txt", "600000.xls"])
def test_kind_of_tongdaxin_export(lines, name):
    content = parse(tdx(*lines), name)
    assert [bar.day for bar in content.bars] == [day(0), day(1), day(2)]
    assert (content.bars[0].volume, content.bars[0].amount) == (7_654_321, 154_617_284.25)


@pytest.mark.parametrize("head", [TDX_HEAD, TDX_HEAD.replace("\t", " ")])
@pytest.mark.parametrize("title", [(), ("600000 浦发银行 日线 不复权",)])
def test_kind_of_table_cut_by_spaces(title, head):
    rows = [row.replace(",", "   ") for row in TDX_ROWS]
    content = parse(tdx(*title, head, *rows, TDX_END))
    assert [bar.day for bar in content.bars] == [day(0), day(1), day(2)]
    assert content.bars[0].amount == 154_617_284.25


@pytest.mark.parametrize(
    ("title", "adjust", "code"),
    [
        ("600000 浦发银行 日线 前复权", "", "other_adjustment"),
        ("600000 浦发银行 日线 不复权", "qfq", "other_adjustment"),
        ("600000 浦发银行 5分钟线 不复权", "", "not_daily"),
        ("600000 浦发银行 周线 不复权", "", "not_daily"),
        ("600004 白云机场 日线 不复权", "", "other_code"),
    ],
)
def test_kind_of_title_that_contradicts_the_file(title, adjust, code):
    assert problem_of(tdx(title, TDX_HEAD, *TDX_ROWS), adjust=adjust).code == code


def test_adjusted_title_in_its_folder():
    content = parse(tdx("600000 浦发银行 日线 前复权", TDX_HEAD, *TDX_ROWS, TDX_END), adjust="qfq")
    assert len(content.bars) == 3


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("timestamp,open,high,low,close,volume", f"2024-01-02,{PRICES},500"),
        (",open,high,low,close,volume,money", f"2024-01-02,{PRICES},500,10100"),
        ("Unnamed: 0,open,high,low,close,volume", f"2024-01-02,{PRICES},500"),
        ("date,1. open,2. high,3. low,4. close,5. volume", f"2024-01-02,{PRICES},500"),
        ("t,o,h,l,c,v,vw", f"2024-01-02,{PRICES},500,20.2"),
        ("ticker,date,open,high,low,close,volume", f"AAPL.US,2024-01-02,{PRICES},500"),
        ("Date,Price,Open,High,Low,Vol.,Change %", "01/31/2024,20.4,20.0,20.8,19.6,500,2%"),  # investing.com
        ("Time,Open,High,Low,Last,Change,%Chg,Volume", f"2024-01-02,{PRICES},0.4,+2%,500"),  # Barchart
        ("date,last,open,high,low,close,volume", "2024-01-02,9,20.0,20.8,19.6,20.4,500"),
        ("date,open,high,low,close,price,volume", "2024-01-02,20.0,20.8,19.6,20.4,9,500"),
        ("Trade Date,OPEN PRICE,High_Price,low-price,ClosePrice,Total Volume", f"2024-01-02,{PRICES},500"),
    ],
)
def test_kind_of_column_names_abroad(head, row):
    assert parse(quotes(head, row), "AAPL.csv").bars[0][1:6] == (20.0, 20.8, 19.6, 20.4, 500)


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (
            "日期,开盘价(元),最高价(元),最低价(元),收盘价(元),成交量(股),成交额(元)",
            f"2024-01-02,{PRICES},500,10100",
        ),
        ("交易日期,今开,最高,最低,收盘,总手,金额", f"2024-01-02,{PRICES},5,10100"),
        ("时间,开盘,最高,最低,收盘,总手,成交金额(万元)", f'"2024-01-02,二",{PRICES},5,1.01'),
        ("日期,开,高,低,收,量,额", f"2024-01-02,{PRICES},500,10100"),
        (
            "S_INFO_WINDCODE,TRADE_DT,S_DQ_OPEN,S_DQ_HIGH,S_DQ_LOW,S_DQ_CLOSE,S_DQ_VOLUME,S_DQ_AMOUNT,S_DQ_ADJCLOSE",
            f"600000.SH,20240102,{PRICES},5,10.1,204",
        ),
        ("日期,开盘,最高,最低,收盘,成交量,成交额", f"2024-01-02，二,{PRICES},500,10100"),
        ("Stkcd,Trddt,Opnprc,Hiprc,Loprc,Clsprc,Dnshrtrd,Dnvaltrd", f"600000,2024-01-02,{PRICES},500,10100"),
        ("date,open,high,low,close,volume,total_turnover", f"2024-01-02,{PRICES},500,10100"),
        ("日期,股票代码,开盘,最高,最低,收盘,成交量,成交额", f"2024-01-02,'600000,{PRICES},500,10100"),
        ("日期,证券代码,开盘,最高,最低,收盘,成交量,成交额", f'2024-01-02,"=""600000""",{PRICES},500,10100'),
    ],
)
def test_kind_of_chinese_column_names(head, row):
    bar = parse(quotes(head, row)).bars[0]
    assert (bar[1:6], bar.amount) == ((20.0, 20.8, 19.6, 20.4, 500), 10_100.0)


@pytest.mark.parametrize(
    "code", ["600000.SH", "sh.600000", "SH600000", "600000.XSHG", "600000.SS", "600000.0"]
)
def test_kind_of_code_spellings_in_a_column(code):
    head = "code,date,open,high,low,close,volume,amount"
    assert len(parse(quotes(head, f"{code},2024-01-02,{PRICES},500,10100")).bars) == 1
    assert problem_of(quotes(head, f"600004,2024-01-02,{PRICES},500,10100")).code == "other_code"


@pytest.mark.parametrize("code", ["BRK.B", "BRK-B", "BRK_B", "brk.b"])
def test_kind_of_class_spellings_in_a_column(code):
    head = "symbol,date,open,high,low,close,volume"
    assert len(parse(quotes(head, f"{code},2024-01-02,{PRICES},500"), "BRK-B.csv").bars) == 1
    assert problem_of(quotes(head, f"BRK.A,2024-01-02,{PRICES},500"), "BRK-B.csv").code == "other_code"


def test_index_of_the_other_exchange_is_no_stock():
    head = "symbol,exchange,datetime,open,high,low,close,volume,turnover"
    row = f"000001,SSE,2024-01-02,{PRICES},500,10100"
    assert problem_of(quotes(head, row), "000001.csv").code == "other_exchange"


# Several header lines.


def test_kind_of_yfinance_levels():
    lines = ("Price,Close,High,Low,Open,Volume", "Ticker,AAPL,AAPL,AAPL,AAPL,AAPL", "Date,,,,,")
    content = parse(quotes(*lines, "2024-01-02,20.4,20.8,19.6,20.0,500"), "AAPL.csv")
    assert content.bars[0][1:6] == (20.0, 20.8, 19.6, 20.4, 500)
    assert (content.format, [note.code for note in content.notes]) == ("yfinance", ["maybe_adjusted"])
    other = problem_of(quotes(*lines, "2024-01-02,20.4,20.8,19.6,20.0,500"), "MSFT.csv")
    assert (other.code, other.values["value"]) == ("other_code", "AAPL")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("600000.csv", ("Price,Close,High,Low,Open,Volume", "Ticker" + ",600000.SS" * 5, "Date,,,,,")),
        ("600000.csv", ("Price,Close,High,Low,Open,Volume", "Ticker" + ",600000.SS" * 5)),
        ("600000.csv", ("Date,Close,High,Low,Open,Volume,Dividends,Stock Splits",)),
        ("600000.SS.csv", ("Date,Close,High,Low,Open,Volume",)),
    ],
)
def test_kind_of_yahoo_volumes_of_a_shares_are_shares(name, lines):
    rest = ",0,0" if "Dividends" in lines[0] else ""
    content = parse(quotes(*lines, f"2024-01-02,20.4,20.8,19.6,20.0,500{rest}"), name)
    assert content.bars[0][1:6] == (20.0, 20.8, 19.6, 20.4, 500)
    assert (content.shares_per_volume, content.unit_known_by) == (1, "columns")


@pytest.mark.parametrize(
    "lines",
    [
        (
            "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume",
            "Ticker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT",
            "Date,,,,,,,,,,",
            "2024-01-02,20.4,30.4,20.8,30.8,19.6,29.6,20,30,500,600",
            "2024-01-03,20.4,,20.8,,19.6,,20,,500,",
        ),
        (
            "Ticker,AAPL,AAPL,AAPL,AAPL,AAPL,MSFT,MSFT,MSFT,MSFT,MSFT",
            "Price,Open,High,Low,Close,Volume,Open,High,Low,Close,Volume",
            "Date,,,,,,,,,,",
            "2024-01-02,20,20.8,19.6,20.4,500,30,30.8,29.6,30.4,600",
            "2024-01-03,20,20.8,19.6,20.4,500,,,,,",
        ),
    ],
)
def test_kind_of_yfinance_with_several_tickers(lines):
    content = parse(quotes(*lines), "download.csv", market="US")
    aapl, msft = content.stocks["US", "AAPL"], content.stocks["US", "MSFT"]
    assert [bar[1:6] for bar in aapl.bars] == [(20.0, 20.8, 19.6, 20.4, 500)] * 2
    assert [bar[1:6] for bar in msft.bars] == [(30.0, 30.8, 29.6, 30.4, 600)]


def test_kind_of_remarks_above_and_headings_repeated_below():
    head, row = "date,open,high,low,close,volume", f"{PRICES},500"
    content = parse(
        quotes("# made by a script", "", head, f"2024-01-02,{row}", head, f"2024-01-03,{row}"), "AAPL.csv"
    )
    assert len(content.bars) == 2
    assert [(note.code, note.values["count"]) for note in content.notes] == [("text_lines", 1)]


def test_line_numbers_count_the_remarks():
    head = "date,open,high,low,close,volume"
    assert problem_of(quotes("Title", head, "2024-01-02,x,20.8,19.6,20.4,500"), "AAPL.csv").line == 3


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_kind_of_other_delimiters(delimiter):
    head, row = "date,open,high,low,close,volume", f"2024-01-02,{PRICES},500,"
    content = parse(quotes(head, row).replace(",", delimiter), "AAPL.csv")
    assert content.bars[0].volume == 500


# Suspended days.


@pytest.mark.parametrize(
    "cells",
    [
        "0,0,0,0,0,0",
        "0.0,0.0,0.0,0.0,0,0.0",
        "停牌,停牌,停牌,停牌,0,0",
        "停牌,停牌,停牌,停牌,,",
        "0,0,0,20.4,0,0",
    ],
)
def test_kind_of_suspended_row_without_trade(cells):
    rows = [f"2024-01-02,{PRICES},500,10100", f"2024-01-03,{cells}", f"2024-01-04,{PRICES},500,10100"]
    content = parse(quotes("日期,开盘价,最高价,最低价,收盘价,成交量,成交金额", *rows))
    stock = content.stocks["CN", "600000"]
    assert [bar.day for bar in stock.bars] == [day(0), day(2)]
    assert stock.suspended == [day(1)]
    assert [(note.code, note.values["count"]) for note in content.notes] == [("suspended", 1)]


@pytest.mark.parametrize(
    ("heading", "cell"),
    [("tradestatus", "0"), ("交易状态", "停牌"), ("paused", "1.0"), ("suspendFlag", "1"), ("停牌", "是")],
)
def test_kind_of_suspended_row_by_a_column(heading, cell):
    head = f"date,open,high,low,close,volume,{heading}"
    content = parse(quotes(head, f"2024-01-02,20.4,20.4,20.4,20.4,0,{cell}"))
    assert (content.bars, content.suspended) == ([], 1)


ENGLISH = "date,open,high,low,close,volume,amount"


@pytest.mark.parametrize("name", ["600000.csv", "AAPL.csv"])
@pytest.mark.parametrize("cell", ["", "-", "None", "null", "nan"])
def test_kind_of_row_without_any_value_says_nothing_of_the_day(cell, name):
    gap = f"2024-01-03,{','.join([cell] * 6)}"
    content = parse(quotes(ENGLISH, f"2024-01-02,{PRICES},500,10100", gap), name)
    assert ([bar.day for bar in content.bars], content.suspended) == ([day(0)], 0)
    assert [(note.code, note.values["count"]) for note in content.notes] == [("empty", 1)]


@pytest.mark.parametrize("rest", ["0,0", "0,", "0,0.0"])
def test_kind_of_carried_prices_without_trade_are_no_bars(rest):
    rows = [f"2024-01-0{n},20.4,20.4,20.4,20.4,{rest}" for n in (4, 5, 3)]
    content = parse(quotes(ENGLISH, *rows, f"2024-01-02,{PRICES},500,10100"))
    assert ([bar.day for bar in content.bars], content.suspended) == ([day(0)], 0)
    assert [(note.code, note.values["count"]) for note in content.notes] == [("untraded", 3)]
    assert parse(quotes(ENGLISH, *rows)).bars == []


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (
            "20.4,20.4,20.4,20.4,0,0",
            "510300.csv",
        ),  # funds, B shares and other markets have days without trade
        ("20.4,20.4,20.4,20.4,0,0", "900901.csv"),
        ("20.4,20.4,20.4,20.4,0,0", "00700.csv"),
        ("21.4,21.4,21.4,21.4,0,0", "600000.csv"),  # not the close before: kept, and flagged
        ("20.4,20.4,20.4,20.4,0,10200", "600000.csv"),
        ("20.4,20.5,20.4,20.4,0,0", "600000.csv"),
    ],
)
def test_zero_volume_alone_is_no_reason_to_leave_a_bar_out(row, name):
    content = parse(quotes(ENGLISH, f"2024-01-02,{PRICES},500,10100", f"2024-01-03,{row}"), name)
    assert len(content.bars) == 2


def test_zero_rows_are_suspensions_of_a_shares_only():
    content = parse(quotes(ENGLISH, f"2024-01-02,{PRICES},500,10100", "2024-01-03,0,0,0,0,0,0"), "AAPL.csv")
    assert (len(content.bars), content.suspended) == (1, 0)
    assert [note.code for note in content.notes] == ["untraded"]


def test_row_with_trades_is_never_suspended():
    content = parse(
        quotes("date,open,high,low,close,volume,amount,paused", f"2024-01-02,{PRICES},500,10100,1")
    )
    assert (len(content.bars), content.suspended) == (1, 0)


# Adjusted files.


@pytest.mark.parametrize(
    "head",
    ["date,{0}_qfq,{1}_qfq,{2}_qfq,{3}_qfq,volume", "日期,前复权{0},前复权{1},前复权{2},前复权{3},volume"],
)
def test_kind_of_adjusted_columns_are_never_unadjusted_prices(head):
    head = head.format("open", "high", "low", "close")
    row = f"2024-01-02,{PRICES},500"
    assert problem_of(quotes(head, row), volume_unit="shares").code == "other_adjustment"
    assert len(parse(quotes(head, row), adjust="qfq", volume_unit="shares").bars) == 1


def test_plain_and_adjusted_columns_are_told_apart():
    head = "trade_date,open,open_qfq,high,high_qfq,low,low_qfq,close,close_qfq,volume(shares)"
    row = "20240102,20,10,20.8,10.4,19.6,9.8,20.4,10.2,500"
    assert parse(quotes(head, row)).bars[0][1:5] == (20.0, 20.8, 19.6, 20.4)
    assert parse(quotes(head, row), adjust="qfq").bars[0][1:5] == (10.0, 10.4, 9.8, 10.2)


@pytest.mark.parametrize(("column", "cell"), [("adjustflag", "2"), ("adjust", "qfq"), ("复权状态", "前复权")])
def test_kind_of_adjusted_rows_in_an_unadjusted_file(column, cell):
    head = f"date,open,high,low,close,volume(shares),{column}"
    assert problem_of(quotes(head, f"2024-01-02,{PRICES},500,{cell}")).code == "other_adjustment"
    assert len(parse(quotes(head, f"2024-01-02,{PRICES},500,{cell}"), adjust="qfq").bars) == 1


# Excel.


def workbook(*rows, sheets=1):
    book = openpyxl.Workbook()
    book.active.append(["Made on Monday"])
    for sheet in [book.active, *(book.create_sheet() for _ in range(sheets - 1))]:
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


HEAD = ["日期", "股票代码", "开盘", "最高", "最低", "收盘", "成交量(股)", "成交额"]
ROW = [datetime(2024, 1, 2), 1, 20, 20.8, 19.6, 20.4, 500, 10100.0]


def test_kind_of_excel_workbook():
    content = parse(workbook(HEAD, ROW), "000001.xlsx")
    assert content.bars[0][:6] == (day(0), 20.0, 20.8, 19.6, 20.4, 500)
    assert content.encoding == "Excel"


def test_workbook_with_several_tables_is_refused():
    assert problem_of(workbook(HEAD, ROW, sheets=2), "000001.xlsx").code == "several_sheets"


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"PK nonsense", "000001.xlsx", "malformed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "000001.xls", "old_excel"),
    ],
)
def test_unreadable_workbooks_are_refused(content, name, code):
    assert problem_of(content, name).code == code
