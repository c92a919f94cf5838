"""How far stored series are behind their market: by the sessions that no source has answered for yet."""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from django.db.models import F
from django.db.models.functions import Coalesce, Greatest

from tasks_app.db.functions import LastRangeEnd
from tasks_app.market import calendars

# The last day of a series with bars that is known: of its newest bar, or a later one of which a source said
# that there was no bar. A suspended stock is not behind: there is nothing to collect.
KNOWN_UNTIL = Greatest(F("last_day"), Coalesce(LastRangeEnd(F("covered")), F("last_day")))


@dataclass(frozen=True)
class RecentSessions:
    """A market's sessions, ascending, up to the latest one whose bars are final."""

    latest: date
    days: tuple[date, ...]

    def after(self, day: date) -> int:
        """Returns the number of sessions after the day. It must not be before the first of `days`."""
        return len(self.days) - bisect_right(self.days, day)


def recent_sessions(since: Mapping[str, Collection[date]]) -> dict[str, RecentSessions]:
    """Returns for each market its sessions from the earliest of these days on. One query per market."""
    sessions = {}
    for market, days in since.items():
        calendar = calendars.load_calendar(market)
        latest = calendar.latest_session()
        first = min((*days, latest))
        sessions[market] = RecentSessions(latest, calendar.sessions(first, latest).days)
    return sessions
