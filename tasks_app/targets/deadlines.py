"""Which sessions a target judges and by when: by the market's calendar, never beyond what is published."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.market.calendars import CLOSING_TIMES, FINAL_BAR_DELAY, Calendar
from tasks_app.models import Target

SHOWN_SESSIONS = 30  # that are looked back upon
LOOK_BACK = timedelta(days=90)  # within which so many sessions are, in any market
LOOK_AHEAD = timedelta(days=60)  # no market is closed for longer


def deadline_of(target: Target, session: date) -> datetime:
    """Returns by when the session is to be complete (UTC). Half days have the same deadline as all others."""
    zone = ZoneInfo(MARKET_TIME_ZONES[target.market])
    return datetime.combine(session + timedelta(days=target.days_after), target.at, zone).astimezone(UTC)


def final_at(target: Target, session: date) -> datetime:
    """Returns from when on the session's bars are final (aware): no deadline before that can be met."""
    return datetime.combine(session, final_clock(target), ZoneInfo(MARKET_TIME_ZONES[target.market]))


def final_clock(target: Target) -> time:
    """Returns the time of day from which on the bars of a session are final, in the market's zone."""
    return (datetime.combine(date.min, CLOSING_TIMES[target.market]) + FINAL_BAR_DELAY).time()


def next_deadline(target: Target, calendar: Calendar, session: date) -> datetime | None:
    """Returns the deadline of the session after this one; None while the calendar does not tell it."""
    following = known_sessions(calendar, session + timedelta(days=1), session + LOOK_AHEAD)
    return deadline_of(target, following[0]) if following else None


def begun_sessions(target: Target, calendar: Calendar, now: datetime) -> Sequence[date]:
    """Returns the sessions up to the market's today that are judged, ascending; the last thirty at most."""
    today = now.astimezone(ZoneInfo(MARKET_TIME_ZONES[target.market])).date()
    days = known_sessions(calendar, today - LOOK_BACK, today)
    return [day for day in days if deadline_of(target, day) > target.since][-SHOWN_SESSIONS:]


def known_sessions(calendar: Calendar, first: date, last: date) -> Sequence[date]:
    """Returns the sessions of these days that the published calendar or a correction tells.

    Beyond the end of the calendar each weekday may be a holiday: nothing is judged there.
    """
    return [day for day in calendar.sessions(first, last).days if calendar.is_session(day)]
