"""Collects from the recording source, and changes what it answers."""

from datetime import date

from tasks_app import lifecycle
from tests.factories import ACTOR, TODAY, make_order
from tests.fakes.recording_source import RecordingSource
from tools.in_process import work

FIRST, LAST = date(2024, 3, 1), date(2024, 3, 29)
DAY = date(2024, 3, 13)


def collect(code="600000", *others, first=FIRST, last=LAST, source="recording", **fields):
    """Collects stocks from the recording source; returns the item of the first one."""
    order = make_order(source=source, stock_codes=(code, *others), start_date=first, end_date=last, **fields)
    task = lifecycle.start(order, ACTOR, today=TODAY)
    work()
    return task.items.get(code=code)


def change_bar(day=DAY, adjust="", **fields):
    """Changes a bar at the source."""
    bars = RecordingSource.bars["600000", adjust]
    place = [bar.day for bar in bars].index(day)
    bars[place] = bars[place]._replace(**fields)


def requested_ranges():
    """Returns the date ranges requested since the last call."""
    ranges = [(request.start, request.end) for request in RecordingSource.requests]
    RecordingSource.requests.clear()
    return ranges
