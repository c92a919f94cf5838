"""How long a task took or may take, in words: exact, as an estimate, or as the age of an event."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from tasks_app.models import CollectionTask

UNITS = (("s", 1, 60), ("min", 60, 90), ("h", 3600, 48), ("d", 86_400, float("inf")))


def task_duration(task: CollectionTask, now: datetime | None = None) -> timedelta:
    """Returns the time from the task's start to its end, or until now while it runs."""
    return (task.end_time or now or timezone.now()) - task.start_time


def format_duration(length: timedelta) -> str:
    """Returns the two largest units: "3 d 4 h", "3 h 5 min", "5 min 12 s", "12 s"; or "less than 1 s"."""
    seconds = int(length.total_seconds())
    if seconds < 1:
        return _("less than %(time)s") % {"time": _format("1", "s")}
    counts = {"d": seconds // 86_400, "h": seconds // 3600 % 24, "min": seconds // 60 % 60, "s": seconds % 60}
    units = list(counts)
    first = next(n for n, unit in enumerate(units) if counts[unit])
    return " ".join(_format(str(counts[unit]), unit) for unit in units[first : first + 2])


def format_estimate(low: timedelta | None, high: timedelta | None) -> str:
    """Returns a range in two digits: "2–3 min", "50 s – 2 min", "about 4 h"; "" for an unknown one.

    A range whose end alone is unknown is "at least 6 h".
    """
    if low is None:
        return ""
    if high is None:
        return _("at least %(time)s") % {"time": _format(*_round(low))}
    first, last = _round(low), _round(high)
    if first == last:
        return _("about %(time)s") % {"time": _format(*first)}
    if first[1] == last[1]:
        return _format(f"{first[0]}–{last[0]}", last[1])
    return f"{_format(*first)} – {_format(*last)}"


def format_age(moment: datetime, now: datetime | None = None) -> str:
    """Returns how long ago it was, by this host's clock: "just now", "12 s ago", "3 min ago"."""
    age = (now or timezone.now()) - moment
    if age < timedelta(seconds=5):
        return _("just now")
    return _("%(time)s ago") % {"time": _format(*_round(age))}


def _round(length: timedelta) -> tuple[str, str]:
    """Returns a number of two digits at most, and its unit."""
    seconds = max(1.0, length.total_seconds())
    unit, size = next((unit, size) for unit, size, limit in UNITS if seconds < limit * size)
    number = seconds / size
    return (f"{number:.1f}".removesuffix(".0") if unit in "hd" and number < 10 else f"{number:.0f}"), unit


def _format(number: str, unit: str) -> str:
    texts = {"s": _("%(n)s s"), "min": _("%(n)s min"), "h": _("%(n)s h"), "d": _("%(n)s d")}
    return texts[unit] % {"n": number}
