"""Makes quote files in the formats of AKShare, BaoStock and plain English."""

from datetime import date, timedelta
from pathlib import Path

from tasks_app.sources.csv_folder.layout import identify
from tasks_app.sources.csv_folder.source import read_content

AKSHARE = "日期,股票代码,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率"
BAOSTOCK = "date,code,open,high,low,close,preclose,volume,amount,adjustflag,turn,tradestatus,pctChg,isST"
FIRST_DAY = date(2024, 1, 2)


def day(number):
    """Returns the day so many days after the first."""
    return FIRST_DAY + timedelta(days=number)


def akshare_csv(code="600000", rows=6, unit=100):
    """Returns a file as AKShare saves it; `unit` is the number of shares in one volume."""
    lines = [
        f"{day(n)},{code},10.0,10.5,11.0,9.5,{(1000 + n) * 100 // unit},{(1000 + n) * 100 * 10.2:.2f},"
        "15.0,5.0,0.5,0.8"
        for n in range(rows)
    ]
    return "\n".join([AKSHARE, *lines]) + "\n"


def baostock_csv(code="sh.600000", rows=6, flag="3"):
    """Returns a file as BaoStock sends it; the third day is suspended."""
    lines = []
    for n in range(rows):
        shares = (1000 + n) * 100
        rest = "0,0,{flag},,0,0.0,0" if n == 2 else f"{shares},{shares * 10.2:.2f},{{flag}},0.8,1,5.0,0"
        lines.append(f"{day(n)},{code},10.0,11.0,9.5,10.5,10.0," + rest.format(flag=flag))
    return "\n".join([BAOSTOCK, *lines]) + "\n"


def english_csv(rows=6):
    """Returns a file with English columns, without an amount."""
    lines = [f"{day(n)},10.0,11.0,9.5,10.5,{(1000 + n) * 100},10.4" for n in range(rows)]
    return "\n".join(["Date,Open,High,Low,Close,Volume,Adj Close", *lines]) + "\n"


def write_file(folder, name, content=None, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((akshare_csv() if content is None else content).encode(encoding))
    return path


def parse(content, name="600000.csv", *, market="", adjust="", volume_unit=""):
    """Returns what the source reads in a file of this name and content, without a folder."""
    content = content if isinstance(content, bytes) else content.encode()
    return read_content(identify(Path(name), market, adjust), content, volume_unit)


def quotes(head, *rows):
    """Returns a file with a line of headings and rows."""
    return "\n".join([head, *rows, ""])
