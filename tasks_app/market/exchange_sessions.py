"""The exchanges' sessions according to the library `exchange_calendars`.

The library imports pandas, some 100 MB: too much for every worker to carry for a few thousand days. A child
process (`python -m tasks_app.market.exchange_sessions CN`) reads it instead, and its output is cached.
"""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

# The library's name of each market's exchange, and the first day to request.
EXCHANGES = {"CN": ("XSHG", "1990-12-19"), "HK": ("XHKG", "1980-01-02"), "US": ("XNYS", "1962-01-02")}
TIMEOUT_SECONDS = 60.0
ROOT = Path(__file__).resolve().parents[2]


def load_sessions(market: str) -> tuple[date, tuple[date, ...]]:
    """Returns the last day that the calendar covers, and all sessions up to it, read by a child process.

    Raises `subprocess.SubprocessError` or OSError when the child process fails.
    """
    command = [sys.executable, "-m", "tasks_app.market.exchange_sessions", market]
    child = subprocess.run(command, cwd=ROOT, timeout=TIMEOUT_SECONDS, check=True, capture_output=True)
    end, *days = map(date.fromordinal, json.loads(child.stdout))
    return end, tuple(days)


def compute_sessions(market: str) -> tuple[date, tuple[date, ...]]:
    """Returns the same, read in this process: to the end of next year, or to the library's last day."""
    import exchange_calendars

    name, start = EXCHANGES[market]
    end = date(date.today().year + 1, 12, 31)
    bound = exchange_calendars.get_calendar(name).bound_max()
    if bound is not None:
        end = min(end, bound.date())
    calendar = exchange_calendars.get_calendar(name, start=start, end=end.isoformat())
    return end, tuple(session.date() for session in calendar.sessions)


if __name__ == "__main__":  # prints ordinals, the calendar's end first
    calendar_end, sessions = compute_sessions(sys.argv[1])
    print(json.dumps([day.toordinal() for day in (calendar_end, *sessions)]))
