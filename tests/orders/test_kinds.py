"""Orders of indices and ETFs: the source must have them, and each kind has a list of its own."""

import hashlib
import json
from dataclasses import asdict, replace
from datetime import date

import pytest
from django.conf import settings as django_settings

from tasks_app import errors, lifecycle
from tasks_app.market import stock_list
from tasks_app.models import Series, Stock, StockList
from tasks_app.orders import order as orders
from tasks_app.sources.base import Symbol
from tests.factories import ACTOR, TODAY, make_order
from tests.fakes.recording_source import RecordingSource, set_bars, with_recording_source
from tools.in_process import work

pytestmark = pytest.mark.django_db
DAY = date(2024, 3, 1)


class KindSource(RecordingSource):
    """Has stocks, ETFs and indices."""

    name = "kinds"
    kinds = ("stock", "etf", "index")
    kind_markets = ("CN",)

    def symbols_of_kind(self, market, kind):
        return [symbol for symbol in self.stock_list if symbol.kind == kind]


@pytest.fixture(autouse=True)
def sources(settings):
    settings.COLLECTOR = with_recording_source(settings.COLLECTOR)
    paths = (*settings.COLLECTOR.sources, ("kinds", "tests.orders.test_kinds:KindSource"))
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=paths)
    RecordingSource.stock_list = [
        Symbol("000300.SH", "沪深300", kind="index"),
        Symbol("399001.SZ", kind="index"),
        Symbol("510300", kind="etf"),
    ]


def resolve(*codes, source="kinds", **fields):
    order = make_order(source=source, market="CN", stock_codes=codes or None, **fields)
    return orders.resolve(order, TODAY, django_settings.COLLECTOR)


@pytest.mark.parametrize(
    ("options", "error", "part"),
    [
        ({"codes": ["sh000001"], "source": "recording"}, errors.IndicesNotServed, "kinds"),
        ({"kind": "index", "source": "recording"}, errors.KindNotServed, "index"),
        ({"kind": "etf", "source": "recording"}, errors.KindNotServed, "fund"),
        ({"codes": ["000300.SH"], "adjust": "qfq"}, errors.IndicesNotAdjusted, "unadjusted"),
        ({"kind": "index", "adjust": "hfq"}, errors.IndicesNotAdjusted, "unadjusted"),
        ({"codes": ["399001"], "fallbacks": ("recording",)}, errors.KindNotServed, "recording"),
    ],
)
def test_kind_that_a_source_lacks_is_refused(options, error, part):
    codes = options.pop("codes", ())
    with pytest.raises(error, match=part):
        resolve(*codes, **options)


def test_etf_that_is_named_is_asked_of_any_source():
    assert resolve("510300", source="recording").stock_codes == ("510300",)


def test_fallbacks_of_the_settings_that_lack_the_kind_are_left_out(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, fallbacks=(("CN", ("kinds", "recording")),))
    assert resolve("000300.SH").fallbacks == ()
    assert resolve("600000").fallbacks == ("recording",)


def collect(**fields):
    days = {"start_date": DAY, "end_date": DAY}
    order = make_order(source="kinds", market="CN", **{"stock_codes": None, **days, **fields})
    task = lifecycle.start(order, ACTOR, today=TODAY)
    work()
    task.refresh_from_db()
    return task


def test_whole_market_of_a_kind_is_its_own_list():
    for code in ("000300.SH", "399001.SZ", "510300"):
        set_bars(code, [DAY])
    assert (collect(kind="index").success_count, collect(kind="etf").success_count) == (2, 1)
    assert set(StockList.objects.values_list("kind", "size")) == {("index", 2), ("etf", 1)}
    kinds = dict(Stock.objects.values_list("code", "kind"))
    assert kinds == {"000300.SH": "index", "399001.SZ": "index", "510300": "etf"}


def test_index_and_stock_of_the_same_digits_have_two_series():
    set_bars("000001", [DAY], close=10.0)
    set_bars("000001.SH", [DAY], close=3000.0)
    collect(stock_codes=("000001.SH", "000001"))
    assert sorted(Series.objects.values_list("symbol", "bars")) == [("000001", 1), ("000001.SH", 1)]


def test_codes_of_a_kind_without_a_stored_list_count_as_known():
    stock_list.sync("CN", "kinds", [Symbol("600000")], today=DAY)
    known, unknown = orders.split_known(resolve("600000", "600001", "000300.SH"), django_settings.COLLECTOR)
    assert (known, unknown) == (("600000", "000300.SH"), ("600001",))


def test_index_is_not_judged_by_amount_or_limits():
    set_bars("000300.SH", [DAY], close=3000.0)
    bars = RecordingSource.bars["000300.SH", ""]
    bars[:] = [bar._replace(amount=1e11, volume=10**10, prev_close=2000.0) for bar in bars]
    task = collect(stock_codes=("000300.SH",))
    assert (task.collected_count, task.flagged_count) == (1, 0)


def test_idempotency_key_of_a_stock_order_outlives_the_upgrade():
    order = make_order()
    values = asdict(order)
    for added in ("kind", "verify_with", "verify_sample"):
        del values[added]
    before = hashlib.sha256(json.dumps(values, default=str, sort_keys=True).encode()).hexdigest()
    task = lifecycle.start(order, ACTOR, today=TODAY, idempotency_key="nightly")
    assert task.idempotency_hash == before
    with pytest.raises(errors.IdempotencyConflict):
        lifecycle.start(make_order(kind="etf"), ACTOR, today=TODAY, idempotency_key="nightly")
