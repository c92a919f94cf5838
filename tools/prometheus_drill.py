"""A real Prometheus scrapes a running quickstart: `python -m tools.prometheus_drill`.

It uses the configuration, alerts and dashboard of deploy/, with shorter times. Prints what was seen, and
exits with 1 when something else was seen than should be. Skipped aloud where Prometheus is not installed
(Debian: apt-get install prometheus).
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
TOKEN = "a-token-for-the-drill-only"  # noqa: S105
STOCKS = 40
ORDER = {"source": "simulated", "start_date": "2024-01-01", "end_date": "2024-12-31", "force_update": True}
PATIENCE = 60.0  # seconds


def main() -> int:
    if missing := [name for name in ("prometheus", "promtool") if not shutil.which(name)]:
        print(f"skipped: {' and '.join(missing)} not installed")
        return 0
    with tempfile.TemporaryDirectory(prefix="prometheus-drill-") as name, Site(Path(name)) as site:
        site.check_metrics()
        with prometheus(Path(name), site.address) as query:
            run(site, query)
    print("everything was as it should be")
    return 0


class Site:
    """A quickstart with a database of its own; its collections are of the simulated source, four a second."""

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "COLLECTOR_METRICS_TOKEN": TOKEN,
            "COLLECTOR_RATES": "simulated=4",
            "COLLECTOR_SIMULATED_STOCKS": str(STOCKS),
        }
        environment.pop("COLLECTOR_NO_THROTTLE", None)
        command = [sys.executable, "manage.py", "quickstart", "--port", "0", "--no-collect"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        ready = next(line for line in self.process.stdout if line.startswith("READY "))
        self.access = json.loads(ready.removeprefix("READY "))
        self.address = self.access["url"].removeprefix("http://")

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)

    def collect(self) -> None:
        """Starts a collection."""
        self._get("/api/data-collection/historical", self.access["token"], ORDER)

    def check_metrics(self) -> None:
        """Has promtool check the text of /metrics."""
        text = self._get("/metrics", TOKEN)
        check = ["promtool", "check", "metrics"]
        done = subprocess.run(check, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"promtool check metrics: no complaint about {text.count('# TYPE')} metrics")

    def _get(self, path: str, token: str, body: Any = None) -> str:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"{self.access['url']}{path}", data, headers), timeout=PATIENCE) as response:
            text: str = response.read().decode()
        return text


Query = Callable[[str], list[Any]]


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Query]:
    """Runs Prometheus on the site. Yields a function that evaluates an expression to its vector."""
    (folder / "token").write_text(TOKEN)
    alerts = (DEPLOY / "prometheus/alerts.yml").read_text()
    (folder / "alerts.yml").write_text(re.sub(r"for: \w+", "for: 2s", alerts))
    configuration = (DEPLOY / "prometheus/prometheus.yml").read_text()
    for before, after in (
        ("15s", "1s"),
        ("scheme: https", "scheme: http"),
        ("/etc/prometheus/collector-token", str(folder / "token")),
        ("quotes.example.org:443", target),
    ):
        assert before in configuration
        configuration = configuration.replace(before, after)
    (folder / "prometheus.yml").write_text(configuration)
    subprocess.run(["promtool", "check", "config", str(folder / "prometheus.yml")], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command)

    def query(expression: str) -> list[Any]:
        url = f"http://{address}/api/v1/query?{urlencode({'query': expression})}"
        with urlopen(url, timeout=PATIENCE) as response:
            result: list[Any] = json.load(response)["data"]["result"]
        return result

    try:
        yield query
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def run(site: Site, query: Query) -> None:
    """Collects twice, and stops the site at last; Prometheus must see all of it."""
    show(query, 'up{job="collector"}', 1)
    show(query, "sum(collector_workers)", 2)
    for count in (1, 2):
        site.collect()
        show(query, "collector_task_running", 1)
        show(query, 'sum(collector_tasks_total{status="completed"})', count)
    show(query, 'collector_items_total{result="succeeded"}', 2 * STOCKS)
    bars = show(query, "collector_bars_collected_total", lambda value: value > 0)
    show(query, "sum(collector_stored_bars)", bars)
    show(query, "collector_bars_skipped_total", bars)  # the second time all were stored
    answers = 'collector_source_requests_total{outcome="answered"}'
    show(query, answers, lambda value: value > 2 * STOCKS)  # the list of stocks was asked for, too
    show(query, 'increase(collector_source_permits_total{source="simulated"}[5m])', lambda value: value > 0)
    show(query, 'rate(collector_source_wait_seconds_total{source="simulated"}[5m])', lambda value: value > 0)
    check_dashboard(query)
    assert not (firing := alerts(query)), f"firing: {firing}"
    site.stop()
    show(query, 'up{job="collector"}', 0)
    show(query, 'count(ALERTS{alertname="CollectorDown", alertstate="firing"})', 1)


def show(query: Query, expression: str, expected: float | Callable[[float], bool]) -> float:
    """Waits until the expression has the value, and prints it. Raises `AssertionError` if it never has."""
    ends_at, found = time.monotonic() + PATIENCE, None
    while time.monotonic() < ends_at:
        try:
            found = next((float(one["value"][1]) for one in query(expression)), None)
        except URLError:  # Prometheus has not started yet
            found = None
        if found is not None and (expected(found) if callable(expected) else found == expected):
            print(f"{expression}  {found:g}", flush=True)
            return found
        time.sleep(0.2)
    raise AssertionError(f"{expression} is {found}, not {expected}")


def check_dashboard(query: Query) -> None:
    """Evaluates every expression of the dashboard; those of plans, pauses and so on may have no data."""
    panels = json.loads((DEPLOY / "grafana/collector.json").read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    evaluated = [
        query(each.replace("$__rate_interval", "1m").replace("$instance", ".*")) for each in expressions
    ]
    print(f"the dashboard: {len(expressions)} expressions, {sum(map(bool, evaluated))} with data")


def alerts(query: Query) -> list[str]:
    """Returns the alerts that fire, apart from hints."""
    found = query('ALERTS{alertstate="firing", severity!="info"}')
    return sorted(one["metric"]["alertname"] for one in found)


if __name__ == "__main__":
    sys.exit(main())
