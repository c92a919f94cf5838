"""The days of a market's calendar as a list: sessions, closed weekdays, corrections, days without quotes."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db.models import TextChoices

from tasks_app.market import calendars, silent_days
from tasks_app.market.calendars import Calendar
from tasks_app.models import CalendarDay


class DayKind(TextChoices):
    """Which days are listed."""

    SESSION = "session"
    CLOSED = "closed"  # weekdays without trading
    CORRECTED = "corrected"


def list_days(calendar: Calendar, first: date, last: date, kind: str = "") -> list[date]:
    """Returns the days of a `DayKind`, ascending: by default all weekdays, and sessions at weekends.

    They begin with the calendar's first day, and end with the year that follows the published ones.
    """
    first = max(first, calendars.FIRST_DAYS[calendar.market])
    last = min(last, date(max(calendar.published.end.year, date.today().year) + 1, 12, 31))
    if first > last:
        return []
    corrected = {day for day in calendar.overrides if first <= day <= last}
    sessions = set(calendar.sessions(first, last).days)
    if kind == DayKind.CORRECTED:
        return sorted(corrected)
    if kind == DayKind.SESSION:
        return sorted(sessions)
    days = {*calendars.weekdays(first, last), *sessions, *corrected}
    return sorted(days - sessions if kind == DayKind.CLOSED else days)


def describe_days(calendar: Calendar, days: Sequence[date]) -> list[dict[str, Any]]:
    """Returns what is known of each day, in the JSON of the API. Takes two queries."""
    if not days:
        return []
    rows = CalendarDay.objects.filter(market=calendar.market, day__range=(days[0], days[-1]))
    corrections = {row.day: row for row in rows}
    silent = defaultdict(list)
    for one in silent_days.find(calendar.market, days[0], days[-1]):
        silent[one.day].append({"source": one.source, "stocks": one.stocks, "asked_at": one.asked_at})
    sessions = set(calendar.sessions(days[0], days[-1]).days)
    return [
        {
            "market": calendar.market,
            "day": day,
            "is_session": day in sessions,
            "is_published": day <= calendar.published.end,
            "corrected": day in corrections,
            "note": corrections[day].note if day in corrections else "",
            "changed_by": corrections[day].changed_by if day in corrections else "",
            "changed_at": corrections[day].changed_at if day in corrections else None,
            "without_quotes": silent[day],
        }
        for day in days
    ]
