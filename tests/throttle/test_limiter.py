"""A source's gate: one rate, one cap and one breaker in one row, by the database's clock."""

import time
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from django.db.models.functions import Now

from tasks_app.conf import Simulated
from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Transient
from tasks_app.throttle import limiter, status
from tasks_app.throttle.limiter import Blocked, Permit
from tests.fakes import scripted_sources

pytestmark = pytest.mark.django_db
BUSY = Transient("Too many requests.", code="throttled")


@pytest.fixture
def limited(settings):
    """A function that limits the simulated source and answers with its gate."""

    def limit(rate=0.0, daily=0, **conf):
        settings.COLLECTOR = replace(
            settings.COLLECTOR, simulated=Simulated(rate=rate, daily=daily), **{"breaker_pause": 60.0, **conf}
        )
        return limiter.limiter_for("simulated", settings.COLLECTOR)

    return limit


def seen():
    return status.status_of("simulated")


def pass_time(door, seconds):
    """What the row would be like so many seconds later."""
    for name in ("next_at", "open_until"):
        row = SourceGate.objects.filter(**{f"{name}__isnull": False})
        for one in row:
            SourceGate.objects.update(**{name: getattr(one, name) - timedelta(seconds=seconds)})


def taken(door, count):
    given = door.reserve(count)
    assert not isinstance(given, Blocked), given
    return given


def test_a_local_source_without_limits_has_no_row_and_costs_no_query(limited, django_assert_num_queries):
    with django_assert_num_queries(0):
        door = limited()
        assert door.reserve(3) == [Permit()] * 3
        door.record_success(Permit())
        door.record_failure(Permit(), BUSY)
        assert door.blocked() is None
        assert seen().state == "unlimited"
    assert not SourceGate.objects.exists()


def test_no_throttle_switches_every_limit_off(limited):
    door = limited(rate=0.001, daily=1, no_throttle=True)
    assert door.reserve(100) == [Permit()] * 100


@pytest.fixture
def third_party(settings, monkeypatch):
    """Settings with sources of a third party that declare no limits."""
    settings.COLLECTOR = scripted_sources.with_scripted_sources(
        settings.COLLECTOR, monkeypatch, breaker_after=2
    )
    return settings.COLLECTOR


def test_a_source_without_limits_that_refuses_is_paused_too(third_party):
    door = limiter.limiter_for("first", third_party)
    assert len(taken(door, 100)) == 100
    assert [door.record_failure(Permit(), BUSY) for _ in range(2)] == [False, True]
    assert isinstance(door.reserve(1), Blocked)
    assert status.status_of("first").state == "paused"


def test_a_source_that_asks_nobody_is_never_paused(third_party, monkeypatch):
    monkeypatch.setattr(scripted_sources.First, "local", True, raising=False)
    registry.traits.cache_clear()
    assert type(limiter.limiter_for("first", third_party)) is limiter.NoLimit
    registry.traits.cache_clear()


def test_requests_are_spaced_as_the_rate_says_whoever_reserves_them(limited):
    one, other = limited(rate=20), limiter.limiter_for("simulated", limited(rate=20).conf)
    times = sorted(passed.since for door in (one, other, one) for passed in taken(door, 4))
    assert len(times) == 12
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(0.045 < gap < 0.06 for gap in gaps), gaps
    assert sum(gaps) / len(gaps) > 0.05


def test_a_pass_is_void_when_its_time_is_over(limited):
    (passed,) = taken(limited(rate=1), 1)
    assert 0 < passed.until - passed.since <= limiter.SPARE


def test_nobody_reserves_further_ahead_than_a_moment(limited):
    door = limited(rate=10)
    while not isinstance(given := door.reserve(5), Blocked):
        assert max(passed.since for passed in given) < time.monotonic() + 2.5
    assert not given.reason
    assert 0 <= given.seconds < 2  # the queue has been getting shorter since


def test_a_slow_rate_is_not_reserved_ahead_at_all(limited):
    door = limited(rate=0.1)
    assert len(taken(door, 5)) == 1
    given = door.reserve(1)
    assert isinstance(given, Blocked)
    assert 8 < given.seconds < 10


def test_the_day_s_cap_closes_the_gate_until_tomorrow(limited):
    door = limited(daily=5)
    assert [len(taken(door, 3)), len(taken(door, 1)), len(taken(door, 1))] == [3, 1, 1]
    given = door.reserve(1)
    assert isinstance(given, Blocked)
    assert "5 requests are used up" in given.reason
    assert 0 < given.seconds <= 24 * 3600
    assert (seen().state, seen().requests_today, seen().is_blocked) == ("capped", 5, True)
    SourceGate.objects.update(day=date(2020, 1, 1))
    assert seen().state == "open"
    assert len(taken(door, 3)) == 3
    assert seen().requests_today == 3


def test_what_is_left_of_the_day_is_given_though_more_was_asked_for(limited):
    door = limited(daily=3)
    taken(door, 2)
    assert len(taken(door, 2)) == 1


def test_the_breaker_opens_after_so_many_refusals_in_a_row_and_says_so(limited):
    door = limited(rate=100, breaker_after=3)
    assert [door.record_failure(Permit(), BUSY) for _ in range(3)] == [False, False, True]
    given = door.reserve(1)
    assert isinstance(given, Blocked)
    assert given.reason == "Too many requests."
    assert 55 < given.seconds < 67
    told = seen()
    assert (told.state, told.reason, told.refusals) == ("paused", "Too many requests.", 3)
    assert told.paused_until is not None


def test_an_answer_between_refusals_starts_the_count_anew(limited):
    door = limited(rate=100, breaker_after=3)
    for _ in range(2):
        door.record_failure(Permit(), BUSY)
    (passed,) = taken(door, 1)
    door.record_success(passed)
    for _ in range(2):
        assert not door.record_failure(Permit(), BUSY)
    assert seen().state == "open"


def test_refusals_that_were_on_their_way_when_it_opened_do_not_prolong_the_pause(limited):
    door = limited(rate=100, breaker_after=2)
    for _ in range(6):
        door.record_failure(Permit(), BUSY)
    assert seen().refusals == 2
    assert seen().seconds < 67


def test_after_the_pause_exactly_one_request_probes(limited):
    door = limited(rate=100, breaker_after=1)
    door.record_failure(Permit(), BUSY)
    pass_time(door, 70)
    assert not door.blocked()
    (probe,) = taken(door, 5)
    assert probe.is_probe
    assert isinstance(door.reserve(1), Blocked)
    door.record_success(probe)
    assert (seen().state, seen().refusals) == ("open", 0)
    assert len(taken(door, 5)) == 5


def test_each_refused_probe_doubles_the_pause_up_to_the_longest(limited):
    door = limited(rate=100, breaker_after=1, breaker_pause_max=200.0)
    pauses = []
    refused = Permit()
    for _ in range(4):
        assert door.record_failure(refused, BUSY)
        pauses.append(seen().seconds)
        pass_time(door, seen().seconds + 1)
        (refused,) = taken(door, 1)
    for pause, expected in zip(pauses, (60, 120, 200, 200), strict=True):
        assert expected - 1 < pause < expected * 1.11


def test_a_probe_that_was_never_made_leaves_the_next_one_to_others(limited):
    door = limited(rate=100, breaker_after=1)
    door.record_failure(Permit(), BUSY)
    pass_time(door, 70)
    (probe,) = taken(door, 1)
    door.cancel(probe)
    assert taken(door, 1)[0].is_probe


def test_a_probe_whose_worker_is_lost_is_made_again_later(limited):
    door = limited(rate=100, breaker_after=1, fetch_timeout=30.0)
    door.record_failure(Permit(), BUSY)
    pass_time(door, 70)
    taken(door, 1)
    assert isinstance(door.reserve(1), Blocked)
    pass_time(door, 32)
    assert taken(door, 1)[0].is_probe


def test_a_ban_of_hours_opens_the_breaker_at_once_for_as_long_as_it_lasts(limited):
    door = limited(rate=100)
    assert door.record_failure(Permit(), Transient("Banned.", code="banned", retry_after=5 * 3600))
    assert seen().state == "paused"
    assert 5 * 3600 - 1 < seen().seconds < 5.6 * 3600


def test_a_short_retry_after_holds_back_everybody(limited):
    door = limited(rate=100)
    assert not door.record_failure(Permit(), Transient("Slowly.", code="throttled", retry_after=20))
    given = door.reserve(1)
    assert isinstance(given, Blocked)
    assert not given.reason
    assert 17 < given.seconds < 20


@pytest.mark.parametrize("code", sorted(limiter.STOCK_ERRORS))
def test_what_may_be_the_stock_s_own_trouble_is_never_blamed_on_the_source(limited, code):
    door = limited(rate=100, breaker_after=1)
    assert not door.record_failure(Permit(), Transient("Hm.", code=code))
    assert seen().state == "paused"


def test_all_gates_are_read_in_one_query(limited, django_assert_num_queries):
    limited(rate=5)
    with django_assert_num_queries(1):
        told = {one.source: one for one in status.all_statuses()}
    assert (told["sample"].state, told["simulated"].state) == ("unlimited", "open")
    assert told["simulated"].rate == 5


def test_the_gate_goes_by_the_database_s_clock(limited, monkeypatch):
    door = limited(rate=100)
    SourceGate.objects.update(open_until=Now() + timedelta(seconds=30))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    given = door.reserve(1)
    assert isinstance(given, Blocked)
    assert 28 < given.seconds <= 30
