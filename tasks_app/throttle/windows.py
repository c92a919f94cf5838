"""The quotas per minute and hour: never more permits in any window of that length, whenever it begins.

The row of a source holds the permits of its last minute and hour, as pairs of a time and of the permits that
began by then, the oldest first. Permits that follow each other are counted together, up to a small part of
the quota, from the time of the last of them: so a few numbers suffice, no window is ever over its quota, and
a busy source gets nearly all of it, however its requests are spaced.
"""

import math
from dataclasses import dataclass

from tasks_app.sources.base import Limits

LENGTHS = (("minute", 60), ("hour", 3600))  # seconds
SPARE = 0.025  # by which the rate is kept below what is allowed, and how late a request may begin
QUOTA_SPARE = 1.0  # seconds that a request may begin late where only quotas limit it
PARTS = 50  # of a quota: permits are counted together up to one of them

Permits = list[list[float]]  # pairs of unix seconds and a number of permits


def step_seconds(limits: Limits) -> float:
    """Returns the seconds between two requests."""
    return (1 + SPARE) / limits.rate if limits.rate else 0.0


def spare_seconds(limits: Limits) -> float:
    """Returns how late a permitted request may begin."""
    if limits.rate:
        return SPARE * max(1 / limits.rate, 1.0)
    return QUOTA_SPARE if limits.per_minute or limits.per_hour else math.inf


@dataclass(frozen=True)
class Window:
    """One quota: `most` permits in any `seconds`, with the time by which a request may begin late."""

    name: str
    most: int
    seconds: float

    def used(self, permits: Permits, at: float) -> int:
        """Returns how many permits count at this time (unix seconds)."""
        return int(sum(count for time, count in permits if time + self.seconds > at))

    def opens_at(self, permits: Permits, count: int) -> float:
        """Returns from when on so many more permits fit, in unix seconds; 0: at once.

        More than the quota fit when it is unused.
        """
        surplus = sum(number for _, number in permits) + count - self.most
        opens = 0.0
        for time, number in permits:
            if surplus <= 0:
                break
            opens, surplus = time + self.seconds, surplus - number
        return opens

    def add(self, permits: Permits, at: float, count: int) -> Permits:
        """Returns the permits with so many more at a time later than theirs, without those gone by."""
        kept = [pair for pair in permits if pair[0] + self.seconds > at]
        if kept and kept[-1][1] + count <= self.most // PARTS:
            count += int(kept.pop()[1])
        return [*kept, [round(at, 6), count]]


def windows_of(limits: Limits) -> list[Window]:
    """Returns the windows of a source's quotas, the shortest first."""
    quotas = ((name, getattr(limits, f"per_{name}"), length) for name, length in LENGTHS)
    return [Window(name, most, length + spare_seconds(limits)) for name, most, length in quotas if most]
