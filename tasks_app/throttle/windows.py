"""The quotas per minute and hour: never more permits in any window of that length, whenever it begins.

One number per window suffices, with the time of the last request: the permits since the window began anew.
It begins anew once no window of this length could hold more than the quota, whatever the spacing of the
requests before. With `most` requests, a step or more apart, that is `length - (most - 1) * step` after the
last one: then the j-th request of the new window comes a whole length after the j-th of the `most` before
it, which were spaced at least as widely. So a busy source gets its whole quota in each window.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from tasks_app.sources.base import Limits

LENGTHS = (("minute", 60), ("hour", 3600))  # seconds
SPARE = 0.025  # by which the rate is kept below what is allowed, and how late a request may begin
QUOTA_SPARE = 1.0  # seconds that a request may begin late where only quotas limit it


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
    """One quota: `most` permits, counted in `field` of the source's row.

    It begins anew `reopens_after` the row's `next_at`, which is a step after the last request.
    """

    name: str
    field: str
    most: int
    reopens_after: timedelta


def windows_of(limits: Limits) -> list[Window]:
    """Returns the windows of a source's quotas, the shortest first."""
    windows = []
    for name, length in LENGTHS:
        if most := getattr(limits, f"per_{name}"):
            seconds = length + spare_seconds(limits) - most // limits.dearest * step_seconds(limits)
            windows.append(Window(name, f"used_per_{name}", most, timedelta(seconds=seconds)))
    return windows
