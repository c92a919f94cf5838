"""Estimates of an order's requests."""

from dataclasses import replace

import pytest

from tasks_app.models import Series
from tasks_app.orders import estimates
from tests.factories import make_order
from tests.fakes.scripted_sources import with_scripted_sources

pytestmark = pytest.mark.django_db


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
