"""CSV files of stocks and of changes of codes, as vendors and spreadsheets write them."""

from collections.abc import Callable
from datetime import date

from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.market import codes, csv_import
from tasks_app.market.code_changes import CodePair
from tasks_app.market.csv_import import CsvSchema
from tasks_app.sources import security_codes
from tasks_app.sources.base import Symbol
from tasks_app.sources.cn_codes import exchange_of
from tasks_app.sources.security_codes import DIGITS, CodeError


def stock_schema(market: str, *, pad_codes: bool = False) -> CsvSchema[Symbol | None]:
    """Returns how a list of a market's stocks is read; None stands for a line of an index or a bond.

    `pad_codes`: numbers of less than six digits are codes of A-shares that lost their leading zeros.
    """

    def parse(values: dict[str, str]) -> Symbol | None:
        code = _stock_code(market, values["code"], pad_codes)
        listed_on, delisted_on = (
            csv_import.parse_day(text) if (text := values.get(column, "")) else None
            for column in ("listed_on", "delisted_on")
        )
        if code is None:
            return None
        exchange = values.get("exchange") or (exchange_of(code) if market == "CN" else "")
        return Symbol(code, values.get("name", ""), exchange, listed_on, delisted_on)

    return CsvSchema(
        {
            "code": ("code", "symbol", "ts_code", "代码", "证券代码", "股票代码"),
            "name": ("name", "code_name", "名称", "证券简称", "证券名称", "股票名称"),
            "exchange": ("exchange", "交易所"),
            "listed_on": ("listed_on", "listing_date", "list_date", "ipodate", "上市日期"),
            "delisted_on": ("delisted_on", "delisting_date", "delist_date", "outdate", "退市日期"),
        },
        ("code",),
        parse,
    )


def change_schema(market: str, default_day: date | None) -> CsvSchema[CodePair]:
    """Returns how a list of changed codes is read, that of Tushare's `bse_mapping` included.

    A line without a date of its own has the default one.
    """

    def parse(values: dict[str, str]) -> CodePair:
        old, new = (_in_a_sentence(codes.read_code)(market, values[column]) for column in ("old", "new"))
        day = csv_import.parse_day(text) if (text := values.get("changed_on", "")) else default_day
        if day is None:
            raise ValueError(_("the day of the change is missing: give one for all lines, or changed_on"))
        if old == new:
            raise ValueError(_("both codes are %(code)s") % {"code": new})
        return CodePair(old, new, day)

    return CsvSchema(
        {
            "old": ("old_code", "old", "o_code", "原代码", "旧代码"),
            "new": ("new_code", "new", "n_code", "新代码"),
            "changed_on": ("changed_on", "change_date", "变更日期"),
        },
        ("old", "new"),
        parse,
    )


def _stock_code(market: str, text: str, pad_codes: bool) -> str | None:
    """Returns the code of a line; None if it is that of an index or a bond. Raises `ValueError`."""
    number, length = security_codes.clean_text(text), DIGITS["CN"]
    is_short = market == "CN" and number.isascii() and number.isdigit() and len(number) < length
    if is_short and not pad_codes:
        text = _("“%(text)s” is too short for an A-share; if it was %(meant)s, add --pad-codes")
        raise ValueError(text % {"text": number, "meant": number.zfill(length)})
    try:
        code = security_codes.canonical_code(market, number.zfill(length) if is_short else text)
    except CodeError as error:
        if error.code == "other_exchange":
            return None
        code = ""
    digits = code.partition(".")[0]
    has_six_digits = digits.isascii() and digits.isdigit() and len(digits) == length
    if market == "CN" and has_six_digits and not is_short and not exchange_of(code):
        return None
    if not codes.is_code(code) or (market == "CN" and not exchange_of(code)):
        raise ValueError(_("“%(text)s” is not a stock code") % {"text": text})
    return code


def _in_a_sentence(read: Callable[[str, str], str]) -> Callable[[str, str], str]:
    """Returns the function with its `OrderError` as the `ValueError` that a schema's `parse` raises."""

    def wrapped(market: str, text: str) -> str:
        try:
            return read(market, text)
        except errors.OrderError as error:
            raise ValueError(str(error)) from error

    return wrapped
