"""Estimates of an order's requests."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tasks_app.models import Series, StockList
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


@pytest.mark.parametrize("codes", [("600000",), ("000001", "600000")])
def test_stored_stocks_count_only_if_they_are_in_the_order(settings, monkeypatch, codes):
    conf = with_scripted_sources(settings.COLLECTOR, monkeypatch, rates=(("first", 0.01),))
    settings.COLLECTOR = replace(conf, no_throttle=False)
    Series.objects.create(market="CN", symbol="000001", bars=1)
    order = make_order(market="CN", source="first", stock_codes=codes)
    estimate = estimates.estimate(order, settings.COLLECTOR)
    assert (estimate.needed, estimate.low) == (1, timedelta(seconds=100))


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({"stock_codes": ("000101", "000102", "000103")}, 3 * 3),  # whatever else is stored
        ({"stock_codes": ("000001", "000002", "000103")}, 3),
        ({"stock_codes": ("000001", "000002")}, 0),
        ({"stock_codes": ("000001", "000002"), "force_update": True}, 2 * 3),
        ({"stock_codes": tuple(f"{code:06d}" for code in range(101, 111)), "test_mode": True}, 5 * 3),
        ({"stock_codes": tuple(f"{code:06d}" for code in range(1, 602))}, 551 * 3),
        ({"stock_codes": None}, 10 * 3),
        ({"stock_codes": None, "full_collection_mode": True}, 10 * 3),
        ({"stock_codes": None, "test_mode": True}, 0),
    ],
)
def test_only_stored_series_of_the_order_need_no_request(settings, monkeypatch, fields, needed):
    conf = with_scripted_sources(settings.COLLECTOR, monkeypatch, by_day_from=10_000)
    stored = [f"{code:06d}" for code in range(1, 50)]
    Series.objects.bulk_create(
        [
            *(Series(market="CN", symbol=code, bars=9, full_at="2024-01-01T00:00:00Z") for code in stored),
            Series(market="CN", symbol="000050", covered=[["2024-03-04", "2024-03-05"]]),  # it had no bars
            Series(market="CN", symbol="000060"),
        ]
    )
    codes = [*stored[:6], *(f"{code:06d}" for code in range(51, 61))]
    order = make_order(market="CN", source="teller", **fields)
    if order.stock_codes is None:
        StockList.objects.create(
            market="CN", source="teller", size=16, codes=codes, synced_at="2024-01-01T00:00:00Z"
        )
    assert estimates.estimate(order, conf).needed == needed


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
    estimate = estimates.estimate(order, conf)
    assert (estimate.requests, estimate.adjustments) == (requests, requests - 3)
    assert not (estimate.has_no_factors or estimate.by_day)
    off = replace(conf, adjustment_data=False)
    assert estimates.estimate(order, off).requests == 3


@pytest.mark.parametrize(
    ("market", "adjust", "has_no_factors"),
    [("HK", "qfq", True), ("CN", "qfq", False), ("HK", "", False)],
)
def test_adjusted_order_without_factors_is_told(settings, market, adjust, has_no_factors):
    order = make_order(source="akshare", market=market, adjust=adjust, stock_codes=None)
    assert estimates.estimate(order, settings.COLLECTOR).has_no_factors == has_no_factors


@pytest.mark.parametrize(
    ("fields", "requests"),
    [
        ({}, 1 + 5),
        ({"start_date": date(2024, 2, 26)}, 5 + 5),  # Monday to Friday
        ({"start_date": date(2024, 2, 26), "force_update": True}, 5),  # stored days are requested anyway
        ({"start_date": date(2024, 2, 23)}, 0),  # six sessions, more than COLLECTOR_DAYS_AT_ONCE
        ({"start_date": date(2024, 3, 2), "end_date": date(2024, 3, 3)}, 0),  # a weekend
        ({"adjust": "qfq"}, 0),
        ({"source": "akshare", "adjust": "hfq"}, 0),
    ],
)
def test_requests_for_days_of_the_whole_market_are_told(settings, fields, requests):
    for source in ("baostock", "akshare"):
        StockList.objects.create(
            market="CN", source=source, size=50, codes=[], synced_at="2024-01-01T00:00:00Z"
        )
    friday = date(2024, 3, 1)
    days = {"start_date": friday, "end_date": friday}
    order = make_order(**{"source": "baostock", "market": "CN", "stock_codes": None, **days, **fields})
    assert estimates.estimate(order, settings.COLLECTOR).by_day == requests
    few = replace(settings.COLLECTOR, by_day_from=51)
    assert estimates.estimate(order, few).by_day == 0
