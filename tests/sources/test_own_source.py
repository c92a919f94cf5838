"""The example of docs/adding-a-source.md, loaded by its dotted path as a user's source is."""

import json
import re
import sys
import textwrap
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.db.models.functions import Now

from tasks_app.conf import Conf, source_paths
from tasks_app.models import CollectionItem, DailyBar, SourceGate, Stock
from tasks_app.sources import registry
from tasks_app.sources.base import BatchSource, CorporateAction, DaySource, Factor, Request, Setting, Source
from tasks_app.workers import watchdog
from tests.factories import make_task
from tools.in_process import work

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-source.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
EXAMPLE, _TUSHARE, SETTINGS, DAYS, BATCHES, ADJUSTMENTS, _RAW_ANSWERS = BLOCKS
TOKEN = (("COLLECTOR_VENDOR_TOKEN", "vendors-secret-token"),)
BARS = [
    {"date": "2024-03-01", "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 10},
    {
        "date": "2024-03-04",
        "open": 11.0,
        "high": 12.0,
        "low": 10.0,
        "close": 11.5,
        "volume": 7,
        "amount": 7700.0,
    },
]


class Vendor(BaseHTTPRequestHandler):
    """The vendor of the example. BUSY is throttled once."""

    paths: list[str] = []

    def do_GET(self):
        assert self.headers["Authorization"] == "Bearer vendors-secret-token"
        self.paths.append(self.path)
        code = self.path.partition("?")[0].rpartition("/")[2]
        if self.path == "/stocks":
            self._send(200, [{"code": code, "name": f"{code} Inc."} for code in ("ACME", "BUSY")])
        elif code == "BUSY" and len([path for path in self.paths if "BUSY" in path]) == 1:
            self._send(429, [], retry_after="0.01")
        elif self.path.startswith("/bars/") and code in ("ACME", "BUSY"):
            self._send(200, BARS)
        elif self.path.startswith("/many/"):
            self._send(200, [{"code": one, "bars": BARS} for one in code.split(",")])
        elif self.path.startswith("/days/"):
            self._send(200, [{"code": "ACME", **row} for row in BARS if row["date"] == code])
        elif self.path in ("/factors/ACME", "/dividends/ACME"):
            self._send(200, [{"ex": "2024-03-04", "factor": "1.25", "cash": "0.50"}])
        else:
            self._send(404, [])

    def _send(self, status, payload, retry_after=None):
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(json.dumps(payload).encode())

    def log_message(self, *arguments):
        """Writes nothing to the tests' output."""


@contextmanager
def run_vendor():
    """Runs the vendor; yields its address."""
    Vendor.paths.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def conf(settings, tmp_path, monkeypatch):
    """Installs the example in a package. Returns the settings that name it by its path."""
    with run_vendor() as address:
        (tmp_path / "my_package").mkdir()
        text = EXAMPLE.replace("https://vendor.example", address)
        (tmp_path / "my_package" / "vendor.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        paths = source_paths("vendor=my_package.vendor:Vendor")
        settings.COLLECTOR = replace(
            settings.COLLECTOR, sources=paths, environment=TOKEN, backoff=0.0, no_throttle=True
        )
        registry.available.cache_clear()
        yield settings.COLLECTOR
        registry.available.cache_clear()
        registry.forget_sources()
        for name in ("my_package", "my_package.vendor"):
            sys.modules.pop(name, None)


def test_example_has_less_than_75_lines():
    assert len(EXAMPLE.splitlines()) < 75
    compile(EXAMPLE, "vendor.py", "exec")


def test_dotted_path_leads_to_the_source(conf):
    assert isinstance(registry.get_source("vendor", conf), Source)
    assert registry.limits("vendor", replace(conf, no_throttle=False)).rate == 5.0


@pytest.mark.django_db
def test_example_collects_through_the_engine(conf):
    task = make_task(source="vendor", market="US", stock_codes=None, start_date=date(2024, 3, 1))
    for _ in range(4):
        work()
        task.refresh_from_db()
        if task.status != "running":
            break
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        SourceGate.objects.update(open_until=None, next_at=None)
        watchdog.tick()
    assert (task.status, task.success_count, task.collected_count) == ("completed", 2, 4)
    assert Stock.objects.get(code="ACME").name == "ACME Inc."
    bar = DailyBar.objects.get(symbol="ACME", day=date(2024, 3, 4))
    assert (bar.volume, bar.amount, bar.source) == (700, 7700.0, "vendor")


@pytest.mark.django_db
def test_unknown_stock_fails_by_name(conf):
    task = make_task(source="vendor", market="US", stock_codes=("NONE",), start_date=date(2024, 3, 1))
    work()
    item = task.items.get()
    assert (item.state, item.error_code) == ("failed", "unknown_stock")


def in_class(methods):
    """Returns a block of the page as it stands in a class."""
    return textwrap.indent(textwrap.dedent(methods), "    ")


@pytest.fixture
def example(conf):
    """The source with the page's further methods, and the names that they use."""
    vendor = registry.get_source("vendor", conf)
    names = {**vars(sys.modules["my_package.vendor"]), "Decimal": Decimal}
    exec("from collections.abc import Mapping\nfrom tasks_app.sources.base import *\n", names)  # noqa: S102
    methods = "".join(map(in_class, (DAYS, BATCHES, ADJUSTMENTS)))
    exec(f"class More(Vendor):\n    batch_size = 10\n{methods}", names)  # noqa: S102
    assert not isinstance(vendor, DaySource | BatchSource)
    return names["More"].from_conf(conf)


def test_example_method_fetches_a_whole_day(example):
    assert isinstance(example, DaySource)
    assert example.fetch_day("US", date(2024, 3, 1), "")["ACME"].volume == 1000


def test_example_method_fetches_many_stocks(example):
    assert isinstance(example, BatchSource)
    requests = [Request("US", code, date(2024, 3, 1), date(2024, 3, 4)) for code in ("ACME", "BUSY")]
    assert [len(bars) for bars in example.fetch_many(requests).values()] == [2, 2]


def test_example_methods_fetch_factors_and_actions(example):
    day = date(2024, 3, 4)
    assert example.fetch_factors("US", "ACME") == [Factor(day, Decimal("1.25"))]
    told = example.fetch_actions("US", "ACME", None)
    assert told == [CorporateAction("dividend", day, cash=Decimal("0.50"))]


def test_example_settings_are_read_by_their_types(conf):
    names = {"Setting": Setting, "Conf": Conf}
    exec(  # noqa: S102
        "class Own:\n    name = 'vendor'\n    __init__ = lambda self, *own: setattr(self, 'own', own)\n"
        + in_class(SETTINGS),
        names,
    )
    own = replace(conf, environment=(*TOKEN, ("COLLECTOR_VENDOR_PAGE_SIZE", "200")))
    assert names["Own"].from_conf(own).own == ("vendors-secret-token", "https://vendor.example", 200)


def test_source_without_its_token_is_refused_by_the_variables_name(conf):
    poor = replace(conf, environment=())
    assert (
        registry.why_unusable("vendor", poor) == "The source vendor needs the setting COLLECTOR_VENDOR_TOKEN."
    )
    assert registry.why_unusable("vendor", conf) == ""
