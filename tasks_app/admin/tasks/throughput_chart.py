"""The throughput of a task as an SVG bar chart that the server draws, without script or library.

One path per outcome keeps sixty bars at two kilobytes; a table beside the chart has the same numbers.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from tasks_app import time_zones
from tasks_app.admin.common import formatting
from tasks_app.lifecycle import durations
from tasks_app.lifecycle.progress import Bucket

WIDTH, HEIGHT, GAP = 600, 120, 1
STEPS = (1, 2, 3, 4, 5, 6, 8, 10)
LEAST = 3  # intervals: fewer make no chart


@dataclass(frozen=True)
class Chart:
    """What the template draws: paths in a box of 600 × 120, the scale's top, the time axis with its zone."""

    succeeded: str
    failed: str
    top: str
    unit: str
    first: str
    last: str
    zone: str
    rows: list[dict[str, str]]
    most: str


def build_chart(buckets: list[Bucket]) -> Chart | None:
    """Returns the chart of these intervals; None of so few that it would be one or two blocks."""
    if len(buckets) < LEAST:
        return None
    highest = max(bucket.succeeded + bucket.failed for bucket in buckets)
    top = round_up(highest)
    step = WIDTH / len(buckets)
    succeeded, failed = [], []
    for number, bucket in enumerate(buckets):
        left, width = number * step, max(step - GAP, step * 0.7)
        height, failed_height = (HEIGHT * count / top for count in (bucket.succeeded, bucket.failed))
        succeeded.append(bar(left, width, HEIGHT, height))
        failed.append(bar(left, width, HEIGHT - height, failed_height))
    ends = buckets[0].at, buckets[-1].at + buckets[-1].width
    zone = time_zones.current_name()
    dated = timezone.localtime(ends[0]).date() != timezone.localtime(ends[1]).date()
    return Chart(
        succeeded="".join(succeeded),
        failed="".join(failed),
        top=formatting.number(top),
        unit=_unit(buckets[0].width),
        first=_clock(ends[0], dated),
        last=f"{_clock(ends[1], dated)} {zone}",
        zone=zone,
        rows=[_row(bucket, dated) for bucket in buckets if bucket.succeeded or bucket.failed],
        most=formatting.number(highest),
    )


def _unit(width: timedelta) -> str:
    """Returns what the chart counts: stocks per interval."""
    if width == timedelta(seconds=1):
        return _("stocks per second")
    if width == timedelta(minutes=1):
        return _("stocks per minute")
    return _("stocks per %(time)s") % {"time": durations.format_duration(width)}


def round_up(count: int) -> int:
    """Returns the smallest of 1, 2, 3, 4, 5, 6, 8, 10, 20, 30 … that is not below the count."""
    size = 1
    while True:
        for step in STEPS:
            if step * size >= count:
                return step * size
        size *= 10


def bar(left: float, width: float, bottom: float, height: float) -> str:
    """Returns a filled rectangle that stands on `bottom`, as a piece of a path."""
    if height <= 0:
        return ""
    return f"M{left:.1f} {bottom:.1f}v-{height:.1f}h{width:.1f}v{height:.1f}z"


def _clock(at: datetime, dated: bool) -> str:
    local = timezone.localtime(at)
    return f"{local:%m-%d %H:%M}" if dated else f"{local:%H:%M:%S}"


def _row(bucket: Bucket, dated: bool) -> dict[str, str]:
    return {
        "at": _clock(bucket.at, dated),
        "succeeded": formatting.number(bucket.succeeded),
        "failed": formatting.number(bucket.failed),
    }
