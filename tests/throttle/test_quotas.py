"""Quotas per minute and hour: never over in any window, and nearly reached under a full load."""

import random
from dataclasses import replace

import pytest

from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Limits, Transient
from tasks_app.sources.simulated.source import SimulatedSource
from tasks_app.throttle import quotas, status
from tasks_app.throttle.limiter import Blocked, Permit, limiter_for
from tasks_app.throttle.windows import PARTS, windows_of

pytestmark = pytest.mark.django_db
any_database = (
    pytest.mark.any_database
)  # the arithmetic is Python's, and its statements are the same for every load


@pytest.fixture
def make_limiter(settings, clock):
    """Returns a function that sets limits of the simulated source and returns its limiter."""

    def set_limits(**limits):
        own = tuple((f"COLLECTOR_SIMULATED_{name.upper()}", str(limit)) for name, limit in limits.items())
        settings.COLLECTOR = replace(settings.COLLECTOR, environment=own, no_throttle=False)
        return limiter_for("simulated", settings.COLLECTOR)

    return set_limits


def run(limiter, clock, seconds, *, pause=lambda: 0.0, late=lambda permit: permit.since, cost=1):
    """Sends requests for so many seconds, as many as are permitted. Returns when they began."""
    begun, end = [], clock.monotonic() + seconds
    while clock.monotonic() < end:
        permits = limiter.reserve(5, cost)
        if isinstance(permits, Blocked):
            clock.sleep(max(permits.seconds, 0.05))
            continue
        begun += [late(permit) for permit in permits]
        clock.sleep(max(max(begun) - clock.monotonic(), 0.0) + pause())
    return sorted(begun)


def most_within(times, length):
    """Returns the most requests in any window of the length."""
    return max(sum(first <= each < first + length for each in times) for first in times)


@pytest.mark.parametrize(
    ("limits", "length", "most"),
    [
        ({"per_minute": 20}, 60, 20),
        pytest.param({"per_minute": 30, "rate": 1}, 60, 30, marks=any_database),
        pytest.param({"per_minute": 60, "rate": 1}, 60, 60, marks=pytest.mark.soak),
        ({"per_hour": 40}, 3600, 40),
    ],
)
def test_full_load_reaches_its_quota_and_is_never_over(make_limiter, clock, limits, length, most):
    times = run(make_limiter(**limits), clock, 5 * length)
    assert most_within(times, length) <= most
    assert len(times) >= 0.95 * 5 * most


@pytest.mark.parametrize("most", [12, pytest.param(240, marks=pytest.mark.soak)])
def test_vendor_slower_than_the_rate_gets_its_quota(make_limiter, clock, most):
    limiter = make_limiter(per_minute=most, rate=8)
    latency = 5 * 45 / most - 0.5  # of 5 requests at once, a little faster than the quota
    times = run(limiter, clock, 600, pause=lambda: latency)
    assert most_within(times, 60) <= most
    assert len(times) >= 0.95 * 10 * most


@any_database
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2, 3))])
def test_uneven_load_is_never_over_in_any_window(make_limiter, clock, seed):
    dice = random.Random(seed)
    limiter = make_limiter(per_minute=12, rate=dice.choice([0, 0.5, 2]), per_hour=150)
    pauses = lambda: dice.choice([0.0, 0.0, 0.0, 3.0, 20.0])  # noqa: E731
    late = lambda permit: dice.uniform(permit.since, min(permit.until, permit.since + 5))  # noqa: E731
    times = run(limiter, clock, 1800, pause=pauses, late=late)
    assert len(times) > 75
    assert most_within(times, 60) <= 12
    assert most_within(times, 3600) <= 150


@pytest.fixture
def expensive(monkeypatch):
    """A day of the simulated source costs four permits."""
    monkeypatch.setattr(SimulatedSource, "cost", {"day": 4}, raising=False)
    registry.traits.cache_clear()
    yield
    registry.traits.cache_clear()


def test_cost_counts_in_quotas(make_limiter, clock, expensive):
    limiter = make_limiter(per_minute=12, daily=100)
    times = run(limiter, clock, 300, cost=4)
    assert most_within(times, 60) == 3
    assert SourceGate.objects.get().requests_today == 4 * len(times)
    with pytest.raises(ValueError, match="at most 4"):
        limiter.reserve(1, 5)


def test_rest_of_a_quota_is_reserved(make_limiter):
    limiter = make_limiter(per_minute=7)
    assert [len(limiter.reserve(5)), len(limiter.reserve(5))] == [5, 2]
    assert limiter.reserve(5).seconds == pytest.approx(60, abs=0.1)


@any_database
def test_used_up_hour_is_shown_with_its_end_and_a_minute_is_not(make_limiter):
    make_limiter(per_minute=2).reserve(2)
    assert not status.status_of("simulated").is_blocked
    SourceGate.objects.all().delete()
    limiter = make_limiter(per_hour=2)
    limiter.reserve(2)
    blocked = limiter.reserve(1)
    assert (blocked.seconds, blocked.reason) == (
        pytest.approx(3601, abs=1),
        "The hour's 2 requests are used up.",
    )
    assert status.status_of("simulated").state == "capped"


@any_database
@pytest.mark.parametrize("limits", [{"per_hour": 10}, {"daily": 10}])
def test_source_whose_rest_suffices_for_no_stock_is_shown_as_used_up(
    make_limiter, monkeypatch, settings, limits
):
    monkeypatch.setattr(SimulatedSource, "cost", {"bars": 4}, raising=False)
    registry.traits.cache_clear()
    try:
        make_limiter(**limits).reserve(2, 4)
        shown = [
            status.status_of("simulated"),
            *(x for x in status.all_statuses() if x.source == "simulated"),
        ]
        assert [(each.state, each.is_blocked) for each in shown] == [("capped", True)] * 2
        assert "does not suffice for the next one" in shown[0].reason
        assert quotas.budget_of("simulated", settings.COLLECTOR).paused_until == shown[0].paused_until
    finally:
        registry.traits.cache_clear()


@any_database
def test_short_retry_after_does_not_add_to_a_full_quota(make_limiter):
    limiter = make_limiter(per_minute=2)
    limiter.reserve(2)
    limiter.record_failure(Permit(), Transient("Slowly.", code="throttled", retry_after=50))
    assert limiter.reserve(1).seconds == pytest.approx(60, abs=0.1)


def test_rest_of_a_quota_too_small_for_a_request_is_said(make_limiter, expensive):
    for limits, wait in (({"per_hour": 10}, 3600), ({"daily": 10}, 0)):
        SourceGate.objects.all().delete()
        limiter = make_limiter(**limits)
        limiter.reserve(2, 4)
        blocked = limiter.reserve(1, 4)
        assert blocked.seconds > wait
        assert blocked.reason.startswith("What is left of the ")
        assert len(limiter.reserve(1)) == 1


@any_database
def test_groups_of_permits_are_few():
    window, permits = windows_of(Limits(rate=100.0, per_hour=20_000))[0], []
    for number in range(20_000):
        permits = window.add(permits, 0.01 * number, 1)
    assert len(permits) == PARTS
    assert window.used(permits, 200.0) == 20_000
    assert window.opens_at(permits, 1) == pytest.approx(3604, abs=0.1)
