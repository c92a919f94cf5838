"""Bars by month of a series, as `Series.months` keeps them: "2024-01:mk…", from the first month on.

Each letter is a month's number of bars, a digit to the base 32. The transactions that write bars keep them
up to date, so that no page counts bars.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from django.db.models import Count, QuerySet, TextField
from django.db.models.functions import Cast, Substr

from tasks_app.models import DailyBar

DIGITS = "0123456789abcdefghijklmnopqrstuv"
_VALUES = bytes.maketrans(DIGITS.encode(), bytes(range(len(DIGITS))))

Counts = Mapping[int, int]  # bars by month, each as `month_of` numbers it


def month_of(day: date) -> int:
    """Returns the number of the day's month: months that follow each other differ by one."""
    return day.year * 12 + day.month - 1


def first_day_of(month: int) -> date:
    return date(month // 12, month % 12 + 1, 1)


def count_days(days: Iterable[date]) -> Counter[int]:
    """Returns the number of days in each month."""
    return Counter(map(month_of, days))


def count_bars(bars: QuerySet[DailyBar]) -> Counter[int]:
    """Returns the stored bars by month. One query, answered from the index of days."""
    month = Substr(Cast("day", TextField()), 1, 7)
    rows = bars.order_by().annotate(month=month).values_list("month").annotate(count=Count("pk"))
    return Counter({int(text[:4]) * 12 + int(text[5:]) - 1: count for text, count in rows})


def dump(counts: Counts) -> str:
    """Returns the counts as `Series.months` stores them; "" without a bar."""
    months = sorted(month for month, count in counts.items() if count)
    if not months:
        return ""
    digits = "".join(DIGITS[counts.get(month, 0)] for month in range(months[0], months[-1] + 1))
    return f"{first_day_of(months[0]):%Y-%m}:{digits}"


def parse(text: str) -> Counter[int]:
    """Returns the counts of a `Series.months`."""
    if not text:
        return Counter()
    first = int(text[:4]) * 12 + int(text[5:7]) - 1
    return Counter({first + n: count for n, count in enumerate(text[8:].encode().translate(_VALUES))})


def window(text: str, first: int, last: int) -> bytes:
    """Returns the counts from one month to another, a byte each."""
    if not text:
        return bytes(last - first + 1)
    begin = int(text[:4]) * 12 + int(text[5:7]) - 1
    digits = text[8 + max(0, first - begin) : 9 + max(-1, last - begin)]
    counts = digits.encode().translate(_VALUES)
    return (bytes(min(max(0, begin - first), last - first + 1)) + counts).ljust(last - first + 1, b"\0")


def updated(stored: QuerySet[DailyBar], before: str, days: list[date], new: int, *, recount: bool) -> str:
    """Returns the counts of a series into which bars of these ascending days were stored, `new` of them new.

    Months are counted anew only where some of the bars were stored before.
    """
    if recount:
        return dump(count_bars(stored))
    counts = parse(before)
    if new == len(days):
        counts.update(count_days(days))
    elif new:
        first, last = month_of(days[0]), month_of(days[-1])
        span = stored.filter(day__gte=first_day_of(first), day__lt=first_day_of(last + 1))
        for month in range(first, last + 1):
            counts.pop(month, None)
        counts.update(count_bars(span))
    return dump(counts)
