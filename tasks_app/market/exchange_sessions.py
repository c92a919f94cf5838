"""The sessions of the exchanges, as the library `exchange_calendars` knows them.

The library imports pandas, some 100 MB: too much for every worker to carry for a few thousand days.
So a child process reads it (`python -m tasks_app.market.exchange_sessions CN`), and its answer is passed
around.
"""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

# The library's name of each market's exchange, and the first day to ask it for.
EXCHANGES = {"CN": ("XSHG", "1990-12-19"), "HK": ("XHKG", "1980-01-02"), "US": ("XNYS", "1962-01-02")}
TIMEOUT = 60.0
ROOT = Path(__file__).resolve().parents[2]


def load_sessions(market: str) -> tuple[date, tuple[date, ...]]:
    """The last day that the calendar knows, and its sessions up to there, read by a child process.

    Raises `subprocess.SubprocessError` or OSError when the child can't tell.
    """
    command = [sys.executable, "-m", "tasks_app.market.exchange_sessions", market]
    done = subprocess.run(command, cwd=ROOT, timeout=TIMEOUT, check=True, capture_output=True)
    end, *ordinals = json.loads(done.stdout)
    return date.fromordinal(end), tuple(map(date.fromordinal, ordinals))


def compute_sessions(market: str) -> tuple[date, tuple[date, ...]]:
    """What `ask` answers, read in this process. To the end of next year, or where the library ends."""
    import exchange_calendars

    name, start = EXCHANGES[market]
    end = date(date.today().year + 1, 12, 31)
    bound = exchange_calendars.get_calendar(name).bound_max()
    if bound is not None:
        end = min(end, bound.date())
    calendar = exchange_calendars.get_calendar(name, start=start, end=end.isoformat())
    return end, tuple(session.date() for session in calendar.sessions)


def main() -> None:
    """Print the days as ordinals, the calendar's end first."""
    end, days = compute_sessions(sys.argv[1])
    print(json.dumps([end.toordinal(), *(day.toordinal() for day in days)]))


if __name__ == "__main__":
    main()
