"""Estimated and passed times, as roughly as they are known."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

UNITS = (("s", 1, 60), ("min", 60, 90), ("h", 3600, 48), ("d", 86_400, float("inf")))


def span(low: timedelta | None, high: timedelta | None) -> str:
    """A range: "2–3 min", "50 s – 2 min", "about 4 h"; "" for an unknown one."""
    if low is None or high is None:
        return ""
    first, last = _rough(low), _rough(high)
    if first == last:
        return _("about %(time)s") % {"time": _worded(*first)}
    if first[1] == last[1]:
        return _worded(f"{first[0]}–{last[0]}", last[1])
    return f"{_worded(*first)} – {_worded(*last)}"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, by this host's clock: "just now", "12 s ago", "3 min ago"."""
    passed = (now or timezone.now()) - moment
    if passed < timedelta(seconds=5):
        return _("just now")
    return _("%(time)s ago") % {"time": _worded(*_rough(passed))}


def _rough(length: timedelta) -> tuple[str, str]:
    """A number of two digits at most, and its unit."""
    seconds = max(1.0, length.total_seconds())
    unit, size = next((unit, size) for unit, size, most in UNITS if seconds < most * size)
    number = seconds / size
    return (f"{number:.1f}".removesuffix(".0") if unit in "hd" and number < 10 else f"{number:.0f}"), unit


def _worded(number: str, unit: str) -> str:
    texts = {"s": _("%(n)s s"), "min": _("%(n)s min"), "h": _("%(n)s h"), "d": _("%(n)s d")}
    return texts[unit] % {"n": number}
