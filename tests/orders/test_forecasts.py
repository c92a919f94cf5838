"""Forecasts before a start: what an order takes of the quotas, and when it could end under them."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from tasks_app.conf import Conf
from tasks_app.models import CollectionTask, SourceGate
from tasks_app.orders import forecasts
from tasks_app.orders.forecasts import Work, earliest_end
from tasks_app.orders.order import Order
from tasks_app.sources.base import Limits
from tasks_app.throttle.limiter import limiter_for
from tasks_app.throttle.quotas import Budget, Quota
from tests.api.factories import client_of

ZONE = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 3, 2, 12, tzinfo=ZONE)


def budget(used=0, paused_until=None, **limits):
    quotas = [Quota("day", limits["daily"], used, None)] if limits.get("daily") else []
    return Budget(Limits(time_zone="Asia/Shanghai", **limits), quotas, NOON.astimezone(UTC), paused_until)


def at(day, hour=0, minute=0, second=0):
    return datetime(2026, 3, day, hour, minute, second, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("requests", "cost", "given", "end"),
    [
        (0, 1, budget(rate=1.0), at(2, 12)),
        (61, 1, budget(rate=1.0), at(2, 12, 1)),
        (1200, 1, budget(daily=500), at(4)),
        (1000, 1, budget(daily=500), at(3)),
        (1001, 1, budget(daily=500), at(4)),
        (1000, 1, budget(daily=500, used=1), at(4)),
        (1201, 1, budget(daily=500, rate=1.0), at(4, 0, 3, 20)),
        (10, 1, budget(daily=500, used=500), at(3)),
        (10, 1, budget(daily=500, used=700), at(3)),
        (300, 4, budget(daily=500), at(4)),
        (121, 1, budget(per_minute=60), at(2, 12, 2)),
        (101, 1, budget(per_hour=50), at(2, 14)),
        (1000, 1, budget(per_hour=50), at(3, 7)),
        (60, 1, budget(rate=1.0, paused_until=at(2, 13)), at(2, 13, 0, 59)),
        (600, 1, budget(daily=500, used=400, paused_until=at(3, 1)), at(4)),
        (5, 1, budget(), None),
        (10**8, 1, budget(daily=1), None),
    ],
)
def test_earliest_end(requests, cost, given, end):
    assert earliest_end(Work(requests, requests * cost), given) == end


def order(count, **values):
    codes = tuple(f"{number:06d}" for number in range(1, count + 1))
    return Order(date(2024, 1, 1), date(2024, 3, 1), codes, market="SIM", source="simulated", **values)


@pytest.fixture
def conf(settings):
    """The simulated source has a daily cap of 100."""
    settings.COLLECTOR = replace(settings.COLLECTOR, daily_caps=(("simulated", 100),), no_throttle=False)
    return settings.COLLECTOR


@pytest.mark.django_db
def test_order_fits_what_is_left_of_the_day(conf: Conf):
    assert forecasts.forecast(order(90), conf).fits_today is True
    limiter_for("simulated", conf).reserve(11)
    found = forecasts.forecast(order(90), conf)
    assert (found.fits_today, found.budget.quota("day").left) == (False, 89)
    assert (found.least, found.most) == (Work(90, 90), Work(90, 90))
    assert forecasts.describe(found)[0] == (
        "It does not fit today's allowance: it takes at least 90 permits, and 89 are left."
    )
    assert "(tomorrow)" in forecasts.describe(found)[1] or "(today)" in forecasts.describe(found)[1]
    SourceGate.objects.update(requests_today=100)
    assert forecasts.forecast(order(1), conf).fits_today is False


@pytest.mark.django_db
def test_words_name_the_day_of_the_end():
    now = datetime(2026, 3, 2, 4, tzinfo=UTC)
    names = [forecasts._describe_time(now + timedelta(days=days), now) for days in range(4)]
    assert [name.partition(" (")[2] for name in names] == [
        "today)",
        "tomorrow)",
        "the day after tomorrow)",
        "",
    ]


@pytest.mark.django_db
def test_forecast_starts_nothing_and_asks_nobody(conf: Conf, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        forecasts.forecast(order(3), conf)
    assert not SourceGate.objects.exists()


@pytest.mark.django_db
def test_command_and_api_say_the_same_and_start_nothing(conf: Conf):
    body = {"start_date": "2024-01-01", "end_date": "2024-03-01", "source": "simulated"}
    body["stock_codes"] = ["000001", "000002"]
    found = (
        client_of(User.objects.create_superuser("chief"))
        .post("/api/data-collection/historical/estimate", body, "json")
        .json()
    )
    words = ["--codes", "000001,000002", "--source", "simulated", "--start-date", "2024-01-01"]
    out = StringIO()
    call_command("collect", "start", *words, "--end-date", "2024-03-01", "--dry-run", "--json", stdout=out)
    printed = json.loads(out.getvalue())
    assert {name: found[name] for name in found if not name.startswith("earliest")} == {
        name: printed[name] for name in printed if not name.startswith("earliest")
    }
    assert (found["permits_at_most"], found["quotas"][0]["left"], found["fits_today"]) == (2, 100, True)
    assert not CollectionTask.objects.exists()
