"""Columns of days in every form that can mean only one day."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

from tasks_app.sources.csv_folder.problems import UnclearCell

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
                "october", "november", "december")  # fmt: skip
MONTHS = {name: n for names in (_MONTHS, _FULL_MONTHS) for n, name in enumerate(names, 1)} | {"sept": 9}
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?!\d)", re.ASCII)
CHINESE = re.compile(r"(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日?", re.ASCII)
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\.0+)?(?![\d.])", re.ASCII)
COMPACT_TIME = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?", re.ASCII)
YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?!\d)", re.ASCII)
DAY_MONTH = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[-/. ]*([a-z]{3,9})[-/., ]*(\d{4})(?!\d)", re.I | re.ASCII)
MONTH_DAY = re.compile(
    r"([a-z]{3,9})[-/. ]*(\d{1,2})(?:st|nd|rd|th)?(?:[-/.,]\s*|\s+)(\d{4})(?!\d)", re.I | re.ASCII
)
YEAR_MONTH_NAME = re.compile(r"(\d{4})[-/. ]([a-z]{3,9})[-/. ](\d{1,2})(?!\d)", re.I | re.ASCII)
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
WEEKDAY = re.compile(rf"[\s,，(（]*(?:(?:周|星期)?[一二三四五六日天]|{_WEEKDAY})[)）.]?", re.I)
WEEKDAY_FIRST = re.compile(rf"{_WEEKDAY}[,.]?\s+", re.I)
TIME = re.compile(
    r"(?:\s*T\s*|\s+)(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?\s*(am|pm|上午|下午)?\s*"
    r"(z|utc|gmt|[+-]\d{2}:?\d{2})?(?:\s*[\[(][^\])]*[\])])?",
    re.I | re.ASCII,
)
SECONDS = re.compile(r"(\d{9,10}|\d{13})(?:\.0+)?", re.ASCII)
SERIAL = re.compile(r"[1-6]\d{4}(?:\.\d+)?", re.ASCII)
MAX_EPOCH = 1_900_000_000  # 2030; beyond it, ten digits may be a day and an hour


def read_days(cells: Sequence[str], zone: tzinfo = UTC) -> list[date | UnclearCell]:
    """Returns each cell's day, and an error where it has none.

    03/04/2024 is read only if another cell of the column tells which number is the month. A moment counts as
    a day only at midnight: as written, or in `zone`, the market's time zone.
    """
    order = _order_of(cells)
    days: list[date | UnclearCell] = []
    for cell in cells:
        try:
            if len(cell) == 10 and cell[4] == cell[7] == "-":
                days.append(date.fromisoformat(cell))
            else:
                days.append(_read_day(cell.strip(), order, zone))
        except UnclearCell as error:
            days.append(error)
        except (ValueError, OverflowError):
            days.append(UnclearCell("not_a_day"))
    return days


def parse_day(text: str) -> date:
    """Returns the day of a single text. Raises `ValueError`."""
    return _read_day(text.strip(), "", UTC)


def _order_of(cells: Sequence[str]) -> str:
    """Returns "dm" or "md" for a column of days such as 31/01/2024; "" if nothing tells or cells disagree."""
    found = {
        order
        for cell in cells
        if (parts := YEAR_LAST.match(cell.strip()))
        for order, number in (("dm", parts[1]), ("md", parts[3]))
        if int(number) > 12
    }
    return found.pop() if len(found) == 1 else ""


def _read_day(text: str, order: str, zone: tzinfo) -> date:
    if SECONDS.fullmatch(text):
        return _from_epoch(text, zone)
    if parts := COMPACT_TIME.fullmatch(text):
        return _at_midnight(
            date(*map(int, parts.group(1, 2, 3))), any(map(int, filter(None, parts.group(4, 5, 6))))
        )
    if SERIAL.fullmatch(text):
        raise UnclearCell("day_is_serial")
    text = WEEKDAY_FIRST.sub("", text, count=1)
    day, rest = _split(text, order)
    if not rest or WEEKDAY.fullmatch(rest):
        return day
    return _day_of_time(day, rest, zone)


def _split(text: str, order: str) -> tuple[date, str]:
    """Returns the day that the text begins with, and the rest. Raises `UnclearCell` or `ValueError`."""
    if parts := YEAR_FIRST.match(text):
        year, month, day = parts[1], parts[3], parts[4]
    elif parts := CHINESE.match(text) or COMPACT.match(text):
        year, month, day = parts.groups()
    elif parts := YEAR_LAST.match(text):
        first, second, year = parts[1], parts[3], parts[4]
        if first == second:
            order = order or "dm"
        if not order:
            may_be_either = int(first) <= 12 and int(second) <= 12
            raise UnclearCell("ambiguous_day" if may_be_either else "not_a_day")
        day, month = (first, second) if order == "dm" else (second, first)
    else:
        return _split_named(text)
    return date(int(year), int(month), int(day)), text[parts.end() :]


def _split_named(text: str) -> tuple[date, str]:
    if parts := DAY_MONTH.match(text):
        day, month, year = parts.groups()
    elif parts := MONTH_DAY.match(text):
        month, day, year = parts.groups()
    elif parts := YEAR_MONTH_NAME.match(text):
        year, month, day = parts.groups()
    else:
        raise UnclearCell("not_a_day")
    if month.lower() not in MONTHS:
        raise UnclearCell("not_a_day")
    return date(int(year), MONTHS[month.lower()], int(day)), text[parts.end() :]


def _day_of_time(day: date, rest: str, zone: tzinfo) -> date:
    """Returns the day whose midnight a day and a time are: as written, else in the market's time zone."""
    if not (parts := TIME.fullmatch(rest)):
        raise UnclearCell("not_a_day")
    hour, minute, second = (int(part or 0) for part in parts.group(1, 2, 3))
    half = (parts[5] or "").lower()
    if half in ("am", "上午") and hour == 12:
        hour = 0
    elif half in ("pm", "下午") and hour < 12:
        hour += 12
    moment = datetime(day.year, day.month, day.day, hour, minute, second)
    fraction = int(parts[4] or 0)
    if not (hour or minute or second or fraction):
        return day
    if not parts[6] or fraction:
        raise UnclearCell("time_of_day")
    local = moment.replace(tzinfo=_offset(parts[6])).astimezone(zone)
    return _at_midnight(local.date(), bool(local.hour or local.minute or local.second))


def _offset(text: str) -> tzinfo:
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _from_epoch(text: str, zone: tzinfo) -> date:
    """Returns the day of seconds or milliseconds since 1970, which must be a midnight."""
    number = int(text.partition(".")[0])
    seconds, rest = (number, 0) if number < 10**11 else divmod(number, 1000)
    if seconds >= MAX_EPOCH:
        raise UnclearCell("not_a_day")
    for each in (zone, UTC):
        moment = datetime.fromtimestamp(seconds, each)
        if not (moment.hour or moment.minute or moment.second or rest):
            return moment.date()
    raise UnclearCell("time_of_day")


def _at_midnight(day: date, has_time: bool) -> date:
    if has_time:
        raise UnclearCell("time_of_day")
    return day
