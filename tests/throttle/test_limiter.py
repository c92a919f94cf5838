"""One rate, one daily cap and one breaker per source, in one row and by the database's clock."""

import time
from dataclasses import replace
from datetime import date, timedelta
from itertools import count, pairwise
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from django.db.models.functions import Now

from tasks_app.models import SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Permanent, SourceRefusal, Transient
from tasks_app.throttle import limiter as limiter_module, status
from tasks_app.throttle.limiter import (
    AHEAD_SECONDS,
    CLOCK_GRAIN,
    JITTER,
    STOCK_ERRORS,
    Blocked,
    NoLimit,
    Permit,
    let_probe,
    limiter_for,
)
from tasks_app.throttle.windows import SPARE
from tests.fakes import scripted_sources

pytestmark = pytest.mark.django_db
THROTTLED = Transient("Too many requests.", code="throttled")
REFUSED = SourceRefusal("Your token is wrong.")
COLUMNS = Permanent("Other columns.", code="columns_changed")


@pytest.fixture
def make_limiter(settings, clock, monkeypatch):
    """Returns a function that sets limits of the simulated source and returns its limiter, without jitter."""
    monkeypatch.setattr(limiter_module, "random", SimpleNamespace(uniform=lambda low, high: low))

    def set_limits(rate=0.0, daily=0, **conf):
        settings.COLLECTOR = replace(
            settings.COLLECTOR,
            rates=(("simulated", rate),),
            daily_caps=(("simulated", daily),),
            **{"breaker_pause": 60.0, **conf},
        )
        return limiter_for("simulated", settings.COLLECTOR)

    return set_limits


def current_status():
    return status.status_of("simulated")


def seconds(expected, times=None):
    """Returns what the seconds, or a list of them, equal in the database, which has microseconds."""
    return pytest.approx(expected if times is None else [expected] * times, abs=2e-6)


def reserve_permits(limiter, count):
    permits = limiter.reserve(count)
    assert not isinstance(permits, Blocked), permits
    return permits


def test_no_limit_costs_no_row_and_no_query(make_limiter, django_assert_num_queries):
    with django_assert_num_queries(0):
        limiter = make_limiter()
        assert limiter.reserve(3) == [Permit()] * 3
        limiter.record_success(Permit())
        limiter.record_failure(Permit(), THROTTLED)
        assert limiter.blocked() is None
        assert current_status().state == "unlimited"
    assert not SourceGate.objects.exists()


def test_no_throttle_switches_limits_off(make_limiter):
    limiter = make_limiter(rate=0.001, daily=1, no_throttle=True)
    assert limiter.reserve(100) == [Permit()] * 100


@pytest.fixture
def third_party(settings, monkeypatch):
    """Settings with sources of a third party that declare no limits."""
    settings.COLLECTOR = scripted_sources.with_scripted_sources(
        settings.COLLECTOR, monkeypatch, breaker_after=2
    )
    return settings.COLLECTOR


def test_unlimited_source_that_refuses_is_paused(third_party):
    limiter = limiter_for("first", third_party)
    assert len(reserve_permits(limiter, 100)) == 100
    assert [limiter.record_failure(Permit(), THROTTLED) for _ in range(2)] == [False, True]
    assert isinstance(limiter.reserve(1), Blocked)
    assert status.status_of("first").state == "paused"


def test_local_source_has_no_limiter(third_party, monkeypatch):
    monkeypatch.setattr(scripted_sources.First, "local", True, raising=False)
    registry.traits.cache_clear()
    assert type(limiter_for("first", third_party)) is NoLimit
    registry.traits.cache_clear()


def test_rate_is_shared_by_all_limiters_of_a_source(make_limiter):
    one, other = make_limiter(rate=20), limiter_for("simulated", make_limiter(rate=20).conf)
    times = sorted(permit.since for limiter in (one, other, one) for permit in reserve_permits(limiter, 4))
    assert len(times) == 12
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == seconds((1 + SPARE) / 20, 11)


def test_jitter_keeps_the_rate(make_limiter, monkeypatch):
    limiter, turns = make_limiter(rate=20), count()
    late_then_early = SimpleNamespace(uniform=lambda low, high: low if next(turns) % 2 else high)
    monkeypatch.setattr(limiter_module, "random", late_then_early)
    times = [permit.since for permit in reserve_permits(limiter, 4)]
    assert times[1] - times[0] == seconds((1 + SPARE - JITTER) / 20)
    assert (1 + SPARE - JITTER) / 20 > 1 / 20


def test_permit_expires_after_the_spare_time(make_limiter):
    (permit,) = reserve_permits(make_limiter(rate=1), 1)
    assert permit.until - permit.since == seconds(SPARE - CLOCK_GRAIN)


def test_reservations_reach_only_a_second_ahead(make_limiter, clock):
    limiter, step = make_limiter(rate=10), (1 + SPARE) / 10
    times = []
    while not isinstance(blocked := limiter.reserve(5), Blocked):
        times += [permit.since - clock.monotonic() for permit in blocked]
    assert times == [seconds(n * step) for n in range(10)]
    assert blocked == Blocked(seconds(10 * step - AHEAD_SECONDS))
    clock.sleep(blocked.seconds)
    assert len(reserve_permits(limiter, 5)) == 5


def test_slow_rate_is_not_reserved_ahead(make_limiter):
    limiter = make_limiter(rate=0.1)
    assert len(reserve_permits(limiter, 5)) == 1
    assert limiter.reserve(1) == Blocked(seconds(10 * (1 + SPARE) - AHEAD_SECONDS))


def test_daily_cap_blocks_until_tomorrow(make_limiter, clock):
    limiter = make_limiter(daily=5)
    assert len(reserve_permits(limiter, 3)) == 3
    assert len(reserve_permits(limiter, 1)) == 1
    assert len(reserve_permits(limiter, 1)) == 1
    blocked = limiter.reserve(1)
    assert isinstance(blocked, Blocked)
    assert "5 requests are used up" in blocked.reason
    today = clock.now().astimezone(ZoneInfo(registry.limits("simulated", limiter.conf).time_zone))
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert blocked.seconds == seconds((midnight - today).total_seconds())
    assert current_status().state == "capped"
    assert current_status().requests_today == 5
    assert current_status().is_blocked


def test_daily_cap_starts_anew_the_next_day(make_limiter):
    limiter = make_limiter(daily=5)
    reserve_permits(limiter, 5)
    assert current_status().state == "capped"
    SourceGate.objects.update(day=date(2020, 1, 1))
    assert current_status().state == "open"
    assert len(reserve_permits(limiter, 3)) == 3
    assert current_status().requests_today == 3


def test_rest_of_the_daily_cap_is_reserved(make_limiter):
    limiter = make_limiter(daily=3)
    reserve_permits(limiter, 2)
    assert len(reserve_permits(limiter, 2)) == 1


def test_consecutive_refusals_open_the_breaker(make_limiter):
    limiter = make_limiter(rate=100, breaker_after=3)
    assert [limiter.record_failure(Permit(), THROTTLED) for _ in range(3)] == [False, False, True]
    blocked = limiter.reserve(1)
    assert isinstance(blocked, Blocked)
    assert blocked == Blocked(seconds(60), "Too many requests.")
    paused = current_status()
    assert paused.state == "paused"
    assert paused.reason == "Too many requests."
    assert paused.refusals == 3
    assert paused.paused_until is not None


def test_success_resets_the_refusal_count(make_limiter):
    limiter = make_limiter(rate=100, breaker_after=3)
    for _ in range(2):
        limiter.record_failure(Permit(), THROTTLED)
    (permit,) = reserve_permits(limiter, 1)
    limiter.record_success(permit)
    for _ in range(2):
        assert not limiter.record_failure(Permit(), THROTTLED)
    assert current_status().state == "open"


def test_late_refusals_do_not_prolong_the_pause(make_limiter):
    limiter = make_limiter(rate=100, breaker_after=2)
    for _ in range(6):
        limiter.record_failure(Permit(), THROTTLED)
    assert current_status().refusals == 2
    assert current_status().seconds == seconds(60)


def test_one_request_probes_after_the_pause(make_limiter, clock):
    limiter = make_limiter(rate=100, breaker_after=1)
    limiter.record_failure(Permit(), THROTTLED)
    clock.sleep(59.9)
    assert isinstance(limiter.reserve(5), Blocked)
    clock.sleep(0.1)
    assert not limiter.blocked()
    (probe,) = reserve_permits(limiter, 5)
    assert probe.is_probe
    assert isinstance(limiter.reserve(1), Blocked)
    limiter.record_success(probe)
    assert current_status().state == "open"
    assert current_status().refusals == 0
    assert len(reserve_permits(limiter, 5)) == 5


def test_further_requests_of_a_probe_pass_while_others_wait(make_limiter, clock):
    limiter = make_limiter(rate=100, breaker_after=1)
    limiter.record_failure(Permit(), THROTTLED)
    clock.sleep(60)
    (probe,) = reserve_permits(limiter, 1)
    assert isinstance(limiter.reserve(1), Blocked)
    (further,) = limiter.reserve(1, after=probe)
    assert further.is_probe
    assert isinstance(limiter.reserve(1), Blocked)


def test_refused_probe_doubles_the_pause(make_limiter, clock):
    limiter = make_limiter(rate=100, breaker_after=1, breaker_pause_max=200.0)
    pauses = []
    permit = Permit()
    for _ in range(4):
        assert limiter.record_failure(permit, THROTTLED)
        pauses.append(current_status().seconds)
        clock.sleep(current_status().seconds)
        (permit,) = reserve_permits(limiter, 1)
    assert pauses == [seconds(60), seconds(120), seconds(200), seconds(200)]


def test_jitter_lengthens_a_pause_by_a_tenth(make_limiter, monkeypatch):
    limiter = make_limiter(rate=100, breaker_after=1)
    monkeypatch.setattr(limiter_module, "random", SimpleNamespace(uniform=max))
    limiter.record_failure(Permit(), THROTTLED)
    assert current_status().seconds == seconds(66)


def test_cancelled_probe_lets_another_probe(make_limiter, clock):
    limiter = make_limiter(rate=100, breaker_after=1)
    limiter.record_failure(Permit(), THROTTLED)
    clock.sleep(60)
    (probe,) = reserve_permits(limiter, 1)
    limiter.cancel(probe)
    assert reserve_permits(limiter, 1)[0].is_probe


def test_lost_probe_is_repeated_after_the_timeout(make_limiter, clock):
    limiter = make_limiter(rate=100, breaker_after=1, fetch_timeout=30.0)
    limiter.record_failure(Permit(), THROTTLED)
    clock.sleep(60)
    reserve_permits(limiter, 1)
    assert limiter.reserve(1) == Blocked(seconds(30 + AHEAD_SECONDS), "Too many requests.")
    clock.sleep(30 + AHEAD_SECONDS)
    assert reserve_permits(limiter, 1)[0].is_probe


def test_long_retry_after_opens_the_breaker_at_once(make_limiter):
    limiter = make_limiter(rate=100)
    assert limiter.record_failure(Permit(), Transient("Banned.", code="banned", retry_after=5 * 3600))
    assert current_status().state == "paused"
    assert current_status().seconds == seconds(5 * 3600)


def test_short_retry_after_delays_all_requests(make_limiter):
    limiter = make_limiter(rate=100)
    assert not limiter.record_failure(Permit(), Transient("Slowly.", code="throttled", retry_after=20))
    assert limiter.reserve(1) == Blocked(seconds(20 - AHEAD_SECONDS))


@pytest.mark.parametrize("code", ["no_permit", "no_turn"])
def test_request_that_was_not_sent_is_no_refusal(make_limiter, code):
    limiter = make_limiter(rate=100, breaker_after=1)
    assert limiter.record_failure(Permit(), Transient("Not sent.", code=code)), "it costs no attempt"
    assert (current_status().state, current_status().refusals) == ("open", 0)


@pytest.mark.parametrize("code", sorted(STOCK_ERRORS))
def test_stock_errors_are_no_source_failure(make_limiter, code):
    limiter = make_limiter(rate=100, breaker_after=1)
    assert not limiter.record_failure(Permit(), Transient("Hm.", code=code))
    assert current_status().state == "paused"


def refuse(limiter, error=COLUMNS, permit=None, *, delivered=False):
    return limiter.record_refusal(permit or Permit(), error, lambda: delivered)


def test_certain_refusal_of_every_stock_pauses_the_source_at_once(make_limiter):
    limiter = make_limiter(rate=100)
    assert refuse(limiter, REFUSED, delivered=True)
    assert limiter.reserve(1) == Blocked(seconds(60), "Your token is wrong.", "all_refused")
    assert current_status().refusal_code == "all_refused"


def test_three_likely_refusals_of_every_stock_pause_the_source(make_limiter):
    limiter = make_limiter(rate=100)
    assert [refuse(limiter) for _ in range(3)] == [False, False, True]
    assert current_status().refusal_code == "columns_changed"


def test_refusals_count_only_while_they_are_the_same(make_limiter):
    limiter = make_limiter(rate=100, breaker_after=3)
    other = Permanent("Other units.", code="units_changed")
    assert not any(refuse(limiter, error) for error in (COLUMNS, other) * 4)
    assert not any(limiter.record_failure(Permit(), THROTTLED) or refuse(limiter) for _ in range(4))
    assert current_status().state == "open"


def test_success_between_refusals_resets_their_count(make_limiter):
    limiter = make_limiter(rate=100)
    for _ in range(2):
        refuse(limiter)
    (permit,) = reserve_permits(limiter, 1)
    limiter.record_success(permit)
    assert [refuse(limiter) for _ in range(3)] == [False, False, True]


def test_nobody_gives_up_a_source_while_one_request_probes_it(make_limiter, clock):
    limiter = make_limiter(rate=100, fetch_timeout=30.0)
    for _ in range(3):
        refuse(limiter)
    clock.sleep(60)
    (probe,) = reserve_permits(limiter, 1)
    assert limiter.blocked() == Blocked(seconds(30 + AHEAD_SECONDS), "Other columns.")
    assert refuse(limiter, permit=probe)
    assert limiter.blocked() == Blocked(seconds(120), "Other columns.", "columns_changed")


def test_refused_probe_is_no_refusal_of_everything(make_limiter, clock):
    limiter = make_limiter(rate=100, breaker_after=1)
    limiter.record_failure(Permit(), THROTTLED)
    codes = []
    for _ in range(3):
        clock.sleep(current_status().seconds)
        (probe,) = reserve_permits(limiter, 1)
        assert refuse(limiter, permit=probe)
        codes.append(limiter.blocked().refusal_code)
    assert codes == ["", "", "columns_changed"]


def test_throttled_probe_of_a_source_that_refused_all_pauses_it_anew(make_limiter, clock):
    limiter = make_limiter(rate=100)
    for _ in range(3):
        refuse(limiter)
    clock.sleep(60)
    (probe,) = reserve_permits(limiter, 1)
    assert limiter.record_failure(probe, THROTTLED)
    assert limiter.blocked() == Blocked(seconds(60), "Too many requests.")


def test_new_task_may_probe_a_source_that_refused_all(make_limiter):
    limiter = make_limiter(rate=100)
    for _ in range(3):
        refuse(limiter)
    let_probe(["simulated"])
    assert reserve_permits(limiter, 5)[0].is_probe


def test_new_task_does_not_probe_a_source_that_bans(make_limiter):
    limiter = make_limiter(rate=100, breaker_after=1)
    limiter.record_failure(Permit(), THROTTLED)
    let_probe(["simulated"])
    assert isinstance(limiter.reserve(1), Blocked)


def test_all_statuses_cost_one_query(make_limiter, django_assert_num_queries):
    make_limiter(rate=5)
    with django_assert_num_queries(1):
        statuses = {one.source: one for one in status.all_statuses()}
    assert statuses["sample"].state == "unlimited"
    assert statuses["simulated"].state == "open"
    assert statuses["simulated"].rate == 5


def test_limiter_uses_the_clock_of_the_database(make_limiter, monkeypatch):
    limiter = make_limiter(rate=100)
    SourceGate.objects.update(open_until=Now() + timedelta(seconds=30))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert limiter.reserve(1) == Blocked(seconds(30))
