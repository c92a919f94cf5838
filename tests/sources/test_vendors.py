"""Every vendor's stand-in through the engine: the same stocks make the same bars, refusals make none."""

import subprocess
import sys
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app.engine import replay, slice
from tasks_app.engine.replay import Scope
from tasks_app.models import CollectionItem, CollectionTask, DailyBar, RawAnswer, SourceGate
from tasks_app.sources import registry
from tasks_app.sources.shared_process import handle
from tasks_app.workers import watchdog
from tests.factories import make_task
from tests.fakes.eastmoney_server import NONE
from tests.sources.vendors import STOCKS, VENDORS
from tools.in_process import work

pytestmark = [
    pytest.mark.xdist_group("clients"),  # to import the clients and pandas takes seconds in each process
]
ROOT = Path(__file__).parents[2]
SPAN = (date(2024, 5, 28), date(2024, 6, 3))
KEYS = [vendor for vendor in VENDORS if vendor.own]


def each_vendor(*in_short: str) -> Any:
    """Runs a test with every vendor in `make soak`, and with these, which differ most, in the suite."""
    names = [f"{vendor.source}-{vendor.market}" for vendor in VENDORS]
    assert set(in_short) <= set(names)
    marks = [() if name in in_short else pytest.mark.soak for name in names]
    each = zip(VENDORS, names, marks, strict=True)
    return pytest.mark.parametrize(
        "vendor", [pytest.param(vendor, id=name, marks=mark) for vendor, name, mark in each]
    )


@pytest.fixture
def server(vendor, settings, monkeypatch):
    """Runs the vendor's stand-in, and leads the source to it."""
    if not find_spec(vendor.package):
        pytest.skip(f"{vendor.package} is not installed")
    with vendor.run() as running:
        for name, value in getattr(running, "environment", {}).items():
            monkeypatch.setenv(name, value)
        settings.COLLECTOR = replace(
            settings.COLLECTOR,
            environment=vendor.settings(running),
            no_throttle=True,
            backoff=0.0,
            max_attempts=1,
            adjustment_data=False,
        )
        monkeypatch.setattr(handle, "IS_SUPPORTED", False)  # the clients are in this process already
        registry.forget_sources()
        yield running
        registry.forget_sources()


def order(vendor: Any) -> CollectionTask:
    codes = tuple(symbol_codes(vendor))
    span = {"start_date": SPAN[0], "end_date": SPAN[1]}
    return make_task(source=vendor.source, market=vendor.market, stock_codes=codes, **span)


def symbol_codes(vendor: Any) -> dict[str, Any]:
    """Returns the stocks by code; Yahoo has none of Beijing's exchange."""
    stocks = {stock.code: stock for stock in STOCKS[vendor.market].values()}
    return {code: stock for code, stock in stocks.items() if (vendor.source, code) != ("yfinance", "920002")}


def expected_bars(stock: Any, vendor: Any) -> list[tuple[Any, ...]]:
    """Returns the stored bars; amounts are equal within the vendors' rounding."""
    lot = 100 if vendor.market == "CN" else 1
    return [
        (
            *(day, *map(float, line[1:5]), int(line[5]) * lot),
            pytest.approx(float(line[6]), rel=1e-5) if vendor.has_amounts else None,
        )
        for line in stock.klines(NONE)
        if SPAN[0] <= (day := date.fromisoformat(line[0])) <= SPAN[1]
    ]


@pytest.mark.django_db
@each_vendor("akshare-CN", "baostock-CN", "tushare-CN", "yfinance-US")
def test_stored_bars_are_equal_whatever_the_source_and_come_again_from_raw_answers(server, vendor, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, raw_answers=("all",))
    task = order(vendor)
    work()
    task.refresh_from_db()
    failures = list(task.items.exclude(state="succeeded").values_list("code", "error_code", "error_message"))
    assert (task.status, failures) == ("completed", [])
    columns = ("day", "open", "close", "high", "low", "volume", "amount")
    for code, stock in symbol_codes(vendor).items():
        stored = DailyBar.objects.filter(symbol=code).order_by("day").values_list(*columns)
        assert list(stored) == expected_bars(stock, vendor), code
    check_replay(server, vendor, settings.COLLECTOR)


def check_replay(server: Any, vendor: Any, conf: Any) -> None:
    """Replays what was just collected: every bar comes again, a damaged one is found, nobody is asked."""
    asked = len(server.requests)
    found = list(replay.replay(Scope(vendor.source), conf))
    assert [one.code for one in found] == sorted(symbol_codes(vendor))
    assert [(one.failures, one.changes) for one in found] == [([], [])] * len(found)
    assert sum(one.derived for one in found) == DailyBar.objects.count()
    damaged = DailyBar.objects.order_by("day").last()
    DailyBar.objects.filter(pk=damaged.pk).update(volume=damaged.volume * 100)
    changes = [change for one in replay.replay(Scope(vendor.source), conf) for change in one.changes]
    volume = damaged.volume
    assert [change[3:] for change in changes] == [(damaged.day, "volume", volume * 100, volume)]
    assert len(server.requests) == asked
    secrets = [value for _, value in vendor.own]
    for row in RawAnswer.objects.all():
        assert not any(secret in f"{row.asked}{row.about}" for secret in secrets)


@pytest.mark.django_db
@pytest.mark.usefixtures("clock")
@each_vendor("tushare-CN")
def test_refusing_vendor_pauses_its_source_and_costs_no_stock(server, vendor, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, **limited(vendor), max_attempts=3, slice_seconds=2.0)
    server.failures = dict(vendor.refusal)
    task = order(vendor)
    run_slice()
    watchdog.tick()
    task.refresh_from_db()
    gate = SourceGate.objects.get(source=vendor.source)
    assert (task.status, task.processed_stocks, gate.open_until is not None) == ("running", 0, True)
    assert not DailyBar.objects.exists(), "a refusal is never an answer"
    server.failures = {}
    for _ in range(6):
        SourceGate.objects.update(open_until=Now(), next_at=None)
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        run_slice()
        task.refresh_from_db()
        if task.status != "running":
            break
        watchdog.tick()
    assert (task.status, task.failed_count) == ("completed", 0)


def limited(vendor: Any) -> dict[str, Any]:
    """Returns settings with the limiter on, fast, and impatient with refusals."""
    return {"no_throttle": False, "rates": ((vendor.source, 1000.0),), "breaker_after": 1}


def run_slice() -> None:
    """Runs a queued slice; while a source is paused there is always one more."""
    if job := OrmQ.objects.order_by("pk").first():
        job.delete()
        slice.run(*job.task["args"])


@pytest.mark.django_db
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("vendor", KEYS, ids=lambda vendor: vendor.source)
def test_wrong_key_fails_the_task_with_the_vendors_reason(server, vendor, settings):
    ((name, _),) = vendor.own
    wrong = ((name, "another-token"),)
    settings.COLLECTOR = replace(settings.COLLECTOR, **limited(vendor), environment=wrong)
    registry.forget_sources()
    task = order(vendor)
    work()
    task.refresh_from_db()
    assert (task.status, task.error_code, task.failed_count) == ("failed", "login_refused", 0)
    assert "another-token" not in task.error_message
    assert len(server.requests) == 1


@pytest.mark.parametrize("vendor", KEYS, ids=lambda vendor: vendor.source)
def test_missing_key_is_named(vendor, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, environment=())
    registry.forget_sources()
    assert vendor.own[0][0] in registry.why_unusable(vendor.source, settings.COLLECTOR)


def run(script: str) -> None:
    """Runs a script in a process of its own, where nothing is imported yet."""
    command = [sys.executable, "-c", f"import sys\nfrom tasks_app.conf import Conf\n{script}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_making_the_sources_imports_no_client_and_no_django():
    run("""
from tasks_app.sources import registry, sample
from tasks_app.sources.csv_folder import source
tokens = {"COLLECTOR_TUSHARE_TOKEN": "made-up", "COLLECTOR_TIINGO_TOKEN": "made-up"}
conf = Conf(environment=tuple(tokens.items()))
for name in registry.available(conf):
    registry.get_source(name, conf)
sample.bars_by_code()
heavy = {"akshare", "baostock", "tushare", "yfinance", "curl_cffi", "requests", "pandas", "pyarrow", "django"}
found = heavy & set(sys.modules)
sys.exit(str(found) if found else 0)
""")


def test_source_is_hidden_without_its_client():
    run("""
clients = ("akshare", "baostock", "tushare", "yfinance")
sys.modules |= dict.fromkeys(clients)
from tasks_app.sources import registry
assert {registry.hidden(Conf())[client] for client in clients} == {""}
assert not set(clients) & set(registry.available(Conf()))
assert "sample" in registry.available(Conf())
""")
