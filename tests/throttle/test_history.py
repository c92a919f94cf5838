"""What is stored of a source's requests: exact for many workers, by the days of its quotas, and bounded."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tasks_app.db.functions import database_now
from tasks_app.models import SourceDay, SourceGate, SourceRequests
from tasks_app.throttle import history, quotas
from tasks_app.throttle.history import Kind, RequestCounter, latency_class
from tasks_app.throttle.limiter import limiter_for
from tasks_app.throttle.status import quota_day

pytestmark = pytest.mark.django_db


@pytest.fixture
def limiter(settings):
    """The simulated source has a daily cap of 50."""
    settings.COLLECTOR = replace(settings.COLLECTOR, daily_caps=(("simulated", 50),), no_throttle=False)
    return limiter_for("simulated", settings.COLLECTOR)


def test_counts_of_many_workers_add_up():
    for worker in range(3):
        counter = RequestCounter("simulated")
        for seconds in (0.1, 0.1, 0.5 + worker):
            counter.count(Kind.ANSWERED, seconds)
        counter.count(Kind.REFUSED, 0.01, "throttled")
        counter.store()
        counter.store()
    (day,) = history.days_of("simulated", 30)
    assert (day.requests, day.kinds, day.codes) == (
        12,
        {"answered": 9, "empty": 0, "refused": 3, "failed": 0},
        {"throttled": 3},
    )
    assert (day.mean, day.longest, day.permits) == (pytest.approx(5.1 / 9), 2.5, None)
    assert 0.1 <= day.median <= 0.125
    assert 2.4 <= day.most <= 2.5


@pytest.mark.any_database
@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.0101, 0.4, 1.0, 29.9, 10_000.0])
def test_latency_class_is_an_upper_bound_at_most_a_quarter_above(seconds):
    bound = latency_class(seconds) / 1000
    kept = min(max(seconds, 0.01), 3600.0)
    assert kept * 0.99 <= bound <= kept * 1.26


def test_permits_of_a_day_are_those_of_the_limiter(limiter):
    limiter.reserve(7)
    (today,) = history.days_of("simulated", 30)
    assert (today.permits, today.cap) == (7, 50)
    yesterday = today.day - timedelta(days=1)
    SourceGate.objects.update(day=yesterday)
    assert [(day.day, day.permits) for day in history.days_of("simulated", 30)] == [(yesterday, 7)]
    limiter.reserve(2)
    limiter.reserve(3)
    found = [(day.day, day.permits, day.cap) for day in history.days_of("simulated", 30)]
    assert found == [(today.day, 5, 50), (yesterday, 7, 50)]
    assert SourceDay.objects.get().permits == 7


def test_cap_of_a_past_day_is_the_one_of_that_day(limiter, settings):
    limiter.reserve(7)
    SourceGate.objects.update(day=date(2026, 1, 5))
    settings.COLLECTOR = replace(settings.COLLECTOR, daily_caps=(("simulated", 90),))
    limiter_for("simulated", settings.COLLECTOR).reserve(1)
    assert SourceDay.objects.get(day=date(2026, 1, 5)).cap == 50


def test_history_is_bounded(limiter):
    today = quota_day(database_now(), limiter.limits)
    common = {"source": "simulated", "kind": "answered", "requests": 1, "seconds": 1.0, "longest": 1.0}
    for age in (0, 29, 30, 500):
        SourceRequests.objects.create(day=today - timedelta(days=age), at_most=10, **common)
    assert [(today - day.day).days for day in history.days_of("simulated", 30)] == [0, 29]
    assert history.prune(400) == 1
    assert SourceRequests.objects.count() == 3


def test_budget_says_what_is_used_and_left(limiter, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, environment=(("COLLECTOR_SIMULATED_PER_HOUR", "20"),))
    limiter_for("simulated", settings.COLLECTOR).reserve(8)
    budget = quotas.budget_of("simulated", settings.COLLECTOR)
    hour, day = budget.quotas
    assert [(each.window, each.used, each.left) for each in (hour, day)] == [("hour", 8, 12), ("day", 8, 42)]
    assert 3590 < (hour.resets_at - budget.now).total_seconds() < 3602
    assert f"{day.resets_at:%H:%M %Z}" == "00:00 CST"
    SourceGate.objects.update(requests_today=60)
    assert quotas.budget_of("simulated", settings.COLLECTOR).quota("day").left == 0


def test_source_without_limits_has_an_unlimited_budget(settings):
    budget = quotas.budget_of("nowhere", settings.COLLECTOR)
    assert (budget.quotas, budget.limits.unlimited) == ([], True)
