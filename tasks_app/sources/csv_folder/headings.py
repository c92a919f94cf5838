"""What a column's heading says: which column it is, its unit, and how its prices are adjusted."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tasks_app.sources.csv_folder.problems import UnreadableFile, file_error

LOT = 100
# Spaces, underscores, hyphens and dots do not count, nor does the case. Names that come first are preferred
# where a file has several columns of days, codes or states; any other column may be there only once.
COLUMN_NAMES = {
    "day": (
        "日期", "交易日期", "交易日", "date", "day", "tradedate", "tradingdate", "tradingday", "trddt",
        "datetime", "交易时间", "时间", "timestamp", "candlebegintime", "tradetime", "time",
        "eob", "bob", "t", "tradedt", "日",
    ),
    "open": (
        "开盘", "开盘价", "今开", "今开盘", "开", "开市价", "開盤價", "開市價",
        "open", "openprice", "openpx", "opnprc", "o",
    ),
    "high": ("最高", "最高价", "高", "最高價", "high", "highprice", "highpx", "hiprc", "h"),
    "low": ("最低", "最低价", "低", "最低價", "low", "lowprice", "lowpx", "loprc", "l"),
    "close": (
        "收盘", "收盘价", "收", "收市价", "收盤價", "收市價",
        "close", "closeprice", "closepx", "close/last", "clsprc", "c", "price", "last",
    ),
    "volume": (
        "成交量", "总成交量", "成交股数", "成交数量", "交易量", "总手", "成交股數",
        "volume", "vol", "totalvolume", "tradevolume", "tradingvolume", "dnshrtrd", "v", "量",
    ),
    "prev_close": (
        "昨收", "昨收价", "昨收盘", "昨日收盘", "前收", "前收盘", "前收盘价", "preclose", "prevclose",
        "previousclose", "lastclose",
    ),
    "amount": (
        "成交额", "成交金额", "总成交额", "成交总额", "总金额", "金额", "交易额", "成交額", "成交金額",
        "amount", "amt", "money", "totalturnover", "tradevalue", "tradingvalue", "turnovervalue", "dnvaltrd",
        "额",
    ),
    "amplitude": ("振幅", "amplitude"),
    "change": ("涨跌额", "涨跌", "change", "pricechange"),
    "change_pct": (
        "涨跌幅", "涨幅", "pctchg", "pctchange", "changepct", "changepercent", "change%", "pchange", "%chg",
        "%change",
    ),
    "turnover": ("换手率", "换手", "turn", "turnoverrate", "turnover"),
    "outstanding": ("outstandingshare", "流通股本", "流通股"),
    "code": (
        "股票代码", "证券代码", "代码", "tscode", "code", "stockcode", "symbol", "ticker", "stkcd", "seccode",
        "secucode", "windcode", "thscode", "instrument", "instrumentid", "orderbookid",
    ),
    "market": ("market",),
    "exchange": ("exchange",),
    "period": ("per", "period", "interval", "frequency", "freq", "周期"),
    "tradestatus": ("tradestatus", "交易状态", "tradingstatus"),
    "paused": ("paused", "suspended", "issuspended", "suspendflag", "停牌", "是否停牌"),
    "adjustflag": ("adjustflag",),
    "adjust": ("adjust", "adjusttype", "复权", "复权类型", "复权状态", "复权方式", "fq"),
}  # fmt: skip
COLUMN_OF_NAME = {name: column for column, names in COLUMN_NAMES.items() for name in names}
PRICES = ("open", "high", "low", "close")
REQUIRED_NUMBERS = (*PRICES, "volume")
NUMBERS = (*REQUIRED_NUMBERS, "prev_close", "amount", "amplitude", "change", "change_pct", "turnover")
PERCENTAGES = ("amplitude", "change_pct", "turnover")
SEVERAL_ALLOWED = ("day", "code", "tradestatus", "paused", "market", "exchange", "period", "outstanding")
WEAK = ("price", "last")  # closes at investing.com and Barchart, unless another column is the close
WIND = re.compile("s(?:dq|info)")  # S_DQ_OPEN, S_INFO_WINDCODE
PANDAS_INDEX = ("", "unnamed:0")  # how pandas heads a column without a name, and reads it again
TIMES = ("time", "时间", "交易时间")  # of the day, where another column has the date

SHARES = {"股": 1, "share": 1, "shares": 1, "手": LOT, "lot": LOT, "lots": LOT, "千股": 1000, "万股": 10_000}
MONEY = {"元": 1, "人民币": 1, "港元": 1, "港币": 1, "美元": 1, "yuan": 1, "cny": 1, "rmb": 1, "hkd": 1,
         "usd": 1, "$": 1, "¥": 1, "千元": 1000, "万元": 10_000, "thousand": 1000}  # fmt: skip
PER_SHARE = {name for name, unit in MONEY.items() if unit == 1} | {"元/股"}
PERCENT = {"%", "百分比", "percent", "pct"}
UNITS_OF_COLUMN: Mapping[str, Mapping[str, int]] = {
    "volume": SHARES,
    "amount": MONEY,
    "outstanding": SHARES,
    **{column: dict.fromkeys(PER_SHARE, 1) for column in (*PRICES, "prev_close", "change")},
    **{column: dict.fromkeys(PERCENT, 1) for column in PERCENTAGES},
}

_ADJUST_MARKS = {"前复权": "qfq", "qfq": "qfq", "后复权": "hfq", "hfq": "hfq", "不复权": "", "bfq": ""}
ADJUST_MARK = re.compile(r"[-_. ]*(前复权|后复权|不复权|(?<![a-z])(?:qfq|hfq|bfq)(?![a-z]))[-_. ]*", re.I)
_UNIT = re.compile(r"(.+?)\s*[(\[]([^()\[\]]*)[)\]]\s*")
_NUMBERED = re.compile(r"\d+\.\s*(?=[a-z])")


@dataclass(frozen=True)
class Heading:
    """One heading. `column` is "" if it is none of ours, `adjust` None where it says nothing about it."""

    text: str
    name: str
    column: str
    unit: str = ""
    adjust: str | None = None


def find_adjust(text: str) -> tuple[str, str | None]:
    """Returns the text without a mark of adjustment, such as 前复权, and what it means; None without one."""
    if not (mark := ADJUST_MARK.search(text)):
        return text, None
    return text[: mark.start()] + text[mark.end() :], _ADJUST_MARKS[mark[1].lower()]


@lru_cache(4096)
def parse_heading(text: str) -> Heading:
    """Returns what a heading says: 收盘价(元), 5. volume, <CLOSE>, close_qfq, 换手%."""
    name = unicodedata.normalize("NFKC", text).strip().strip("\ufeff'\"<>").lower()
    name = _NUMBERED.sub("", name, count=1)
    name, adjust = find_adjust(name)
    name, unit = name.replace("()", ""), ""
    if parts := _UNIT.fullmatch(name):
        name, unit = parts[1], parts[2].strip(" ,;、")
    elif "/" in name and name not in COLUMN_OF_NAME:
        name, _, unit = name.rpartition("/")
    elif name.endswith("%") and name not in COLUMN_OF_NAME:
        name, unit = name[:-1], "%"
    name = re.sub(r"[\s_.\-]", "", name)
    column = COLUMN_OF_NAME.get(_without_wind(name), "")
    if column == "change" and unit in PERCENT:
        column = "change_pct"
    elif column == "turnover" and unit in MONEY:
        column = "amount"
    return Heading(text.strip(), name, column, unit, adjust)


def _without_wind(name: str) -> str:
    return name[prefix.end() :] if (prefix := WIND.match(name)) else name


def _parse_renamed(text: str, renamed: Mapping[str, str]) -> Heading:
    if (meaning := renamed.get(text.strip())) is None:
        return parse_heading(text)
    return replace(parse_heading(meaning), text=text.strip())


def count_known(cells: Sequence[str]) -> int:
    """Returns how many different columns of ours a row of headings has."""
    return len({column for cell in cells if len(cell) < 60 and (column := parse_heading(cell).column)})


class Columns:
    """Which column of a file is where. `time` is a column of times of the day, beside one of days.

    Headings of another adjustment than `adjust` are left alone: 收盘价(前复权) is no unadjusted price.
    """

    def __init__(
        self, header: Sequence[str], adjust: str, line: int, renamed: Mapping[str, str] | None = None
    ) -> None:
        """Raises `UnreadableFile` for a missing column, two of the same, or prices adjusted otherwise.

        `renamed` has the known headings that some of the file's stand for.
        """
        self.line = line
        self.headings = [_parse_renamed(text, renamed or {}) for text in header]
        self.names = {heading.name for heading in self.headings}
        self.positions: dict[str, int] = {}
        for position, heading in enumerate(self.headings):
            if heading.column and heading.adjust in (None, adjust):
                self._add(position, heading)
        if "day" not in self.positions and self.headings and self.headings[0].name in PANDAS_INDEX:
            self.positions["day"] = 0
        self.time = self._time_column()
        self._check(adjust)

    def heading(self, column: str) -> Heading:
        """Returns the heading of a column that the file has."""
        return self.headings[self.positions[column]]

    def unused(self) -> list[str]:
        """Returns the headings of columns that are not read."""
        used = {*self.positions.values(), self.time}
        return [heading.text for place, heading in enumerate(self.headings) if place not in used]

    def has_bare_turnover(self, vendor: "Vendor") -> bool:
        """Returns whether there is a column `turnover` of which nothing says that it is a percentage."""
        if "turnover" not in self.positions or "turnover" in vendor.documented:
            return False
        heading = self.heading("turnover")
        return heading.name == "turnover" and not heading.unit

    def has_known_unit(self, column: str) -> bool:
        """Returns whether the column's heading says no unit, or one that is known."""
        try:
            self.declared_unit(column)
        except UnreadableFile:
            return False
        return True

    def declared_unit(self, column: str) -> int | None:
        """Returns the shares or the money in one unit of the column, as its heading says; None if it doesn't.

        Raises `UnreadableFile` for a unit that is not known.
        """
        heading = self.heading(column)
        if not heading.unit:
            return None
        units = UNITS_OF_COLUMN.get(column, {})
        for part in re.split(r"[,;、\s]+", heading.unit):
            if part in units:
                return units[part]
        raise file_error("unit_unknown", self.line, unit=heading.unit, column=heading.text)

    def _add(self, position: int, heading: Heading) -> None:
        column = heading.column
        if (first := self.positions.get(column)) is None:
            self.positions[column] = position
            return
        known = self.headings[first]
        if known.adjust != heading.adjust:  # open and open_qfq, of which the second is the one to read
            self.positions[column] = position if heading.adjust is not None else first
        elif column in SEVERAL_ALLOWED or {known.name, heading.name} & {*WEAK}:
            names = [_without_wind(self.headings[at].name) for at in (first, position)]
            ranks = [COLUMN_NAMES[column].index(name) for name in names]
            self.positions[column] = position if ranks[1] < ranks[0] else first
        else:
            both = f"{known.text}, {heading.text}"
            raise file_error("column_twice", self.line, column=column, columns=both)

    def _time_column(self) -> int | None:
        day = self.positions.get("day")
        for position, heading in enumerate(self.headings):
            if heading.name in TIMES and position != day:
                return position
        return None

    def _check(self, adjust: str) -> None:
        missing = [column for column in ("day", *REQUIRED_NUMBERS) if column not in self.positions]
        if not missing:
            return
        others = {h.column: h.adjust for h in self.headings if h.adjust not in (None, adjust)}
        if other := next((others[column] for column in missing if column in others), None):
            raise file_error("other_adjustment", self.line, value=other, expected=adjust)
        texts = ", ".join(heading.text for heading in self.headings)[:300]
        raise file_error("column_missing", self.line, missing=", ".join(missing), columns=texts)


@dataclass(frozen=True)
class Vendor:
    """A file's maker, known by its columns: the shares in a volume and the money in an amount.

    None is unknown. The units are those of A-shares; elsewhere all count in shares and in the currency.
    """

    name: str
    shares: int | None = None
    money: int | None = None
    documented: tuple[str, ...] = ()  # columns of which its documentation says that they have our units


DERIVED = ("change", *PERCENTAGES)
OWN = Vendor("own export", 1, 1, DERIVED)
AKSHARE = Vendor("AKShare", LOT, 1, DERIVED)
BAOSTOCK = Vendor("BaoStock", 1, 1, DERIVED)
TUSHARE = Vendor("Tushare", LOT, 1000, ("change", "change_pct"))
OLD_TUSHARE = Vendor("Tushare (old)", LOT, None, ("change", "change_pct", "turnover"))
YAHOO = Vendor("Yahoo", 1)
YFINANCE = Vendor("yfinance", 1)
WIND_TABLE = Vendor("Wind", LOT, 1000, ("change", "change_pct"))
SINA = Vendor("AKShare (Sina)", 1, 1)
NETEASE = Vendor("NetEase", 1, 1, ("change", "change_pct", "turnover"))
TDX = Vendor("通达信", 1, 1)
CHINESE = Vendor("Chinese")
ENGLISH = Vendor("English")


def find_vendor(names: set[str], remarks: Iterable[str]) -> Vendor:
    """Returns who made a file, by the names of its columns and by the lines around the table."""
    signatures = (
        (OWN, {"market", "adjust", "collectedat"}),
        (AKSHARE, {"开盘", "收盘", "最高", "最低", "成交量", "振幅", "换手率"}),
        (TUSHARE, {"tscode", "tradedate", "vol"}),
        (TUSHARE, {"tradedate", "vol", "pctchg"}),
        (OLD_TUSHARE, {"pricechange", "pchange"}),
        (BAOSTOCK, {"preclose", "adjustflag"}),
        (BAOSTOCK, {"preclose", "tradestatus"}),
        (BAOSTOCK, {"preclose", "turn", "pctchg"}),
        (NETEASE, {"前收盘", "收盘价", "成交金额", "涨跌额"}),
        (SINA, {"outstandingshare", "turnover"}),
        (WIND_TABLE, {"sdqopen", "sdqclose", "sdqvolume"}),
        (YFINANCE, {"date", "open", "high", "low", "close", "volume", "dividends", "stocksplits"}),
        (YAHOO, {"date", "open", "high", "low", "close", "adjclose", "volume"}),
    )
    for vendor, signature in signatures:
        if signature <= names:
            return vendor
    if any("通达信" in remark for remark in remarks):
        return TDX
    return CHINESE if names & {"日期", "时间", "交易日期", "收盘", "收盘价"} else ENGLISH
