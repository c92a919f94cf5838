"""The example of docs/adding-a-source.md, loaded by its dotted path as a user's source is."""

import json
import re
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.db.models.functions import Now

from tasks_app.conf import source_paths
from tasks_app.models import CollectionItem, DailyBar, SourceGate, Stock
from tasks_app.sources import registry
from tasks_app.sources.base import CorporateAction, DaySource, Factor, Source
from tasks_app.workers import watchdog
from tests.factories import make_task
from tools.in_process import work

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-source.md").read_text()
EXAMPLE, DAYS, ADJUSTMENTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
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
        self.paths.append(self.path)
        code = self.path.partition("?")[0].rpartition("/")[2]
        if self.path == "/stocks":
            self._send(200, [{"code": code, "name": f"{code} Inc."} for code in ("ACME", "BUSY")])
        elif code == "BUSY" and len([path for path in self.paths if "BUSY" in path]) == 1:
            self._send(429, [], retry_after="0.01")
        elif self.path.startswith("/bars/") and code in ("ACME", "BUSY"):
            self._send(200, BARS)
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
        settings.COLLECTOR = replace(settings.COLLECTOR, sources=paths, backoff=0.0, no_throttle=True)
        registry.available.cache_clear()
        yield settings.COLLECTOR
        registry.available.cache_clear()
        registry.get_source.cache_clear()
        for name in ("my_package", "my_package.vendor"):
            sys.modules.pop(name, None)


def test_example_has_less_than_60_lines():
    assert len(EXAMPLE.splitlines()) < 60
    compile(EXAMPLE, "vendor.py", "exec")


def test_dotted_path_leads_to_the_source(conf):
    assert isinstance(registry.get_source("vendor", conf), Source)
    assert registry.limits("vendor", replace(conf, no_throttle=False)).rate == 5.0


@pytest.mark.django_db
def test_example_collects_through_the_engine(conf):
    task = make_task(source="vendor", market="US", stock_codes=None, start_date=date(2024, 3, 1))
    for _ in range(4):
        work()
        CollectionItem.objects.filter(state="pending").update(not_before=Now())
        SourceGate.objects.update(open_until=None, next_at=None)
        watchdog.tick()
    task.refresh_from_db()
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


def test_example_method_fetches_a_whole_day(conf):
    source = registry.get_source("vendor", conf)
    assert not isinstance(source, DaySource)
    module = sys.modules["my_package.vendor"]
    names = {"get_json": module.get_json, "parse_bar": module.parse_bar, "date": date}
    exec("from collections.abc import Mapping\nfrom tasks_app.sources.base import Bar\n", names)  # noqa: S102
    exec("class Days:\n" + DAYS, names)  # noqa: S102
    days = names["Days"]()
    assert isinstance(days, DaySource)
    assert days.fetch_day("US", date(2024, 3, 1), "")["ACME"].volume == 1000


def test_example_methods_fetch_factors_and_actions(conf):
    registry.get_source("vendor", conf)
    names = {"get_json": sys.modules["my_package.vendor"].get_json, "date": date, "Decimal": Decimal}
    imports = (
        "from tasks_app.sources.base import CorporateAction, Factor\nfrom collections.abc import Sequence\n"
    )
    exec(imports + ADJUSTMENTS, names)  # noqa: S102
    day = date(2024, 3, 4)
    assert names["fetch_factors"](None, "US", "ACME") == [Factor(day, Decimal("1.25"))]
    told = names["fetch_actions"](None, "US", "ACME", None)
    assert told == [CorporateAction("dividend", day, cash=Decimal("0.50"))]
