"""Whether a response has all bars of its days, judged by the vendor's own number of bars of the security."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from tasks_app.sources.base import Bar, Request, Transient

FIRST_SESSIONS = {"CN": date(1990, 12, 19), "HK": date(1970, 1, 1), "US": date(1962, 1, 1)}
MAX_GAP = timedelta(days=15)  # longer than any holiday
SLACK = 5  # bars, in case the vendor counts a little differently


@dataclass(frozen=True)
class History:
    """The bars of a response, the number of its rows, and what the vendor knows of the security.

    `total` is the vendor's own number of all daily bars, 0 where it does not tell. `ignores_days`: the rows
    are those of the whole history, whatever days were requested.
    """

    bars: list[Bar]
    rows: int = 0
    total: int = 0
    ignores_days: bool = False

    @property
    def is_known(self) -> bool:
        """Whether the vendor has any bars of the security."""
        return bool(self.rows or self.total)


def require_all_bars(
    history: History, request: Request, today: date, fetch: Callable[[date, date], History]
) -> bool:
    """Returns whether the vendor confirms that nothing is missing; False if it can't tell.

    Raises `Transient` (`history_cut`) when bars are missing. In doubt `fetch` is called, once, for the days
    before the first bar: the stock may have been suspended then.
    """
    if not history.total:
        return False
    missing, start, tomorrow = history.total - history.rows, request.start, today + timedelta(1)
    if history.ignores_days:
        outside = 0
    else:
        outside = _weekdays(FIRST_SESSIONS[request.market], start)
        outside += _weekdays(request.end + timedelta(1), tomorrow)
    if missing > outside + SLACK:
        raise _cut(history, f"at least {missing - outside:,} are missing")
    if history.ignores_days or not history.bars:
        return True
    first, last = history.bars[0].day, history.bars[-1].day
    if first - start > MAX_GAP and missing > _weekdays(last + timedelta(1), tomorrow) + SLACK:
        before = fetch(start, first - timedelta(1))
        if before.rows:
            raise _cut(history, f"there are earlier ones than that of {first}")
    return True


def _cut(history: History, problem: str) -> Transient:
    text = (
        f"Eastmoney sent {history.rows:,} of the {history.total:,} bars that it counts itself, and {problem}."
    )
    return Transient(text, code="history_cut")


def _weekdays(first: date, end: date) -> int:
    """Returns the number of days from Monday to Friday from `first` on, up to the day before `end`."""
    if end <= first:
        return 0
    weeks, rest = divmod((end - first).days, 7)
    return weeks * 5 + sum((first.weekday() + day) % 7 < 5 for day in range(rest))
