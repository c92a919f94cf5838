"""Durations in words: exact, as an estimate, and as the age of an event."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from tasks_app.lifecycle import durations
from tasks_app.models import CollectionTask


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=-3), "less than 1 s"),
        (timedelta(milliseconds=999), "less than 1 s"),
        (timedelta(seconds=1), "1 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=5, seconds=12), "5 min 12 s"),
        (timedelta(hours=3, minutes=5, seconds=9), "3 h 5 min"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
    ],
)
def test_duration_has_its_two_largest_units(length, text):
    assert durations.format_duration(length) == text


def test_running_task_lasts_until_now():
    task = CollectionTask(start_time=datetime(2026, 1, 1, tzinfo=UTC))
    assert durations.task_duration(task, datetime(2026, 1, 1, 0, 1, tzinfo=UTC)) == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (timedelta(seconds=30), timedelta(seconds=30), "about 30 s"),
        (timedelta(minutes=2), timedelta(minutes=3), "2–3 min"),
        (timedelta(seconds=50), timedelta(minutes=4), "50 s – 4 min"),
        (timedelta(hours=3), timedelta(hours=4.5), "3–4.5 h"),
        (timedelta(days=3), timedelta(days=3), "about 3 d"),
        (timedelta(hours=6), None, "at least 6 h"),
        (None, None, ""),
    ],
)
def test_estimate_is_rounded(low, high, text):
    assert durations.format_estimate(low, high) == text


def test_age_is_rounded():
    now = timezone.now()
    assert durations.format_age(now - timedelta(seconds=2), now) == "just now"
    assert durations.format_age(now - timedelta(seconds=40), now) == "40 s ago"
    assert durations.format_age(now - timedelta(minutes=10), now) == "10 min ago"
