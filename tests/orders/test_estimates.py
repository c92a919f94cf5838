"""Estimates of an order's requests."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tasks_app.models import Series
from tasks_app.orders import estimates, order as orders
from tests.factories import make_order
from tests.fakes.scripted_sources import with_scripted_sources

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", None),
        (" ", None),
        ("none", ()),
        ("b, a", ("b", "a")),
        ("b > a", ("b", "a")),
        ("b，a", ("b", "a")),
    ],
)
def test_fallbacks_are_read_from_a_text(text, names):
    assert orders.parse_fallbacks(text) == names
    assert orders.parse_fallbacks(orders.write_fallbacks(names)) == names


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"source": "first", "force_update": True}, 300),  # the stored stock is requested again
        ({"source": "first"}, 200),
        ({"source": "by_day", "force_update": True}, 200),  # two days, whatever the number of stocks
        ({"source": "batcher", "force_update": True}, 100),  # one request for all
    ],
)
def test_least_duration_counts_the_requests_that_are_needed(settings, monkeypatch, fields, seconds):
    rates = tuple((name, 0.01) for name in ("first", "by_day", "batcher"))
    conf = with_scripted_sources(settings.COLLECTOR, monkeypatch, rates=rates, by_day_from=3)
    settings.COLLECTOR = replace(conf, no_throttle=False)
    Series.objects.create(market="CN", symbol="000001", bars=1)
    order = make_order(market="CN", start_date=date(2024, 3, 4), end_date=date(2024, 3, 5), **fields)
    estimate = estimates.estimate(order, settings.COLLECTOR)
    assert (estimate.low, estimate.high) == (timedelta(seconds=seconds), None)


@pytest.mark.parametrize(
    ("fields", "requests"),
    [
        ({}, 3 + 2 * 2),  # one of the three stocks has bars: its factors and actions are known, or not needed
        ({"force_update": True}, 3 + 2 * 3),
        ({"adjust": "qfq"}, 3),
        ({"source": "first"}, 3),
    ],
)
def test_factors_and_actions_are_estimated(settings, monkeypatch, fields, requests):
    conf = with_scripted_sources(settings.COLLECTOR, monkeypatch)
    settings.COLLECTOR = conf
    Series.objects.create(market="CN", symbol="000001", bars=1)
    order = make_order(**{"source": "teller", "market": "CN", **fields})
    assert estimates.estimate(order, conf).requests == requests
    off = replace(conf, adjustment_data=False)
    assert estimates.estimate(order, off).requests == 3
