"""The alert rules and the dashboard name metrics that exist, and each alert has its paragraph."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.samples import family_names

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
ALERTS = (FOLDER / "prometheus/alerts.yml").read_text()
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana/collector.json").read_text())
NAMES = re.findall(r"- alert: (\w+)", ALERTS)
METRIC = r"\bcollector_[a-z_]+\b"
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


def expressions() -> Iterator[tuple[str, str]]:
    """Yields the title and the expression of each panel's query."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def families_in(text: str) -> set[str]:
    """Returns the families of the metrics that a text names."""
    return {re.sub(r"_seconds_(bucket|sum|count)$", "_seconds", name) for name in re.findall(METRIC, text)}


@pytest.mark.django_db
@pytest.mark.usefixtures("own_cache")
def test_every_named_metric_exists():
    existing = family_names()
    assert families_in(ALERTS) <= existing
    assert families_in("\n".join(expression for _, expression in expressions())) == existing


def test_every_alert_has_its_paragraph_in_the_runbook():
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert headings == NAMES
    paragraphs = re.split(r"^### \w+$", (ROOT / "docs/runbook.md").read_text(), flags=re.MULTILINE)[1:]
    assert all(len(paragraph.split()) > 30 for paragraph in paragraphs)


@pytest.mark.django_db
@pytest.mark.usefixtures("own_cache")
def test_every_metric_is_documented():
    text = (ROOT / "docs/operations.md").read_text()
    text = text[text.index("## Prometheus") : text.index("## Plans")]
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    documented = set()
    for row in rows:
        first, *others = re.findall(r"`(\w+)`", row)
        documented |= {
            first,
            *(other if not other.startswith("_") else f"bars{other}total" for other in others),
        }
    assert {f"collector_{name}" for name in documented} == family_names()


def test_dashboard_has_distinct_panels_that_do_not_overlap():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        own = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not own & cells
        assert place["x"] + place["w"] <= 24
        cells |= own
    assert all('instance=~"$instance"' in expression for _, expression in expressions())


@needs_promtool
def test_promtool_accepts_the_alerts():
    check = ["promtool", "check", "rules", str(FOLDER / "prometheus/alerts.yml")]
    assert (
        f"{len(NAMES)} rules found"
        in subprocess.run(check, capture_output=True, text=True, check=True).stdout
    )


@needs_promtool
def test_promtool_accepts_the_dashboards_expressions(tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "rules.json"  # which is YAML, too
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, check=True)


LONG_STEP = 20  # minutes
# A scrape each minute, and which alert it must raise after so many minutes; none one look at it earlier.
SCENES = {
    "CollectorDown": ({'up{job="collector"}': "0x30"}, 2),
    "CollectorNoWorkers": ({"collector_worker_machines": "0x30"}, 2),
    "CollectorTaskUnattended": ({"collector_task_heartbeat_age_seconds": "61+60x30"}, 1),
    "CollectorQueueStuck": ({"collector_queue_oldest_job_age_seconds": "121+60x30"}, 2),
    "CollectorOrderNotStarted": (
        {'collector_queued_orders{priority="low"}': "2x30", "collector_task_running": "0x30"},
        10,
    ),
    "CollectorWorkersIdle": (
        {
            'collector_workers{host="a"}': "4x30",
            'collector_lanes{state="busy"}': "2x30",
            "collector_task_running": "1x30",
        },
        15,
    ),
    "CollectorTaskFailed": ({'collector_tasks_total{status="failed"}': "0 0 1x30"}, 2),
    "CollectorTaskWithFailures": ({'collector_tasks_total{outcome="with_failures"}': "0 0 1x30"}, 2),
    "CollectorTaskWithoutBars": ({'collector_tasks_total{outcome="no_bars"}': "0 0 1x30"}, 2),
    "CollectorPlanLate": (
        {
            'collector_plan_lateness_seconds{plan="a"}': "601+60x30",
            'collector_plan_waiting{plan="a"}': "0x30",
        },
        1,
    ),
    "CollectorPlanWaiting": (
        {
            'collector_plan_lateness_seconds{plan="a"}': "14401+60x30",
            'collector_plan_waiting{plan="a"}': "1x30",
        },
        1,
    ),
    "CollectorPlanFailed": ({'collector_plan_failed{plan="a"}': "1x30"}, 1),
    "CollectorSourcePaused": ({'collector_source_breaker_open{source="a"}': "1x30"}, 15),
    "CollectorSourceRefuses": (
        {
            'collector_source_requests_total{source="a", outcome="refused"}': "0+3x30",
            'collector_source_requests_total{source="a", outcome="answered"}': "0+7x30",
        },
        11,
    ),
    "CollectorSourceSlow": (
        {
            'collector_source_request_duration_seconds_bucket{outcome="answered", le="15.777"}': "0+1x30",
            'collector_source_request_duration_seconds_bucket{outcome="answered", le="30.815"}': "0+9x30",
            'collector_source_request_duration_seconds_bucket{outcome="answered", le="+Inf"}': "0+9x30",
        },
        16,
    ),
    "CollectorQuotaNearlyUsed": (
        {
            'collector_source_permits_today{source="a"}': "90 91x30",
            'collector_source_daily_cap{source="a"}': "100x30",
        },
        1,
    ),
    "CollectorDataBehind": (
        {
            'collector_stored_stocks{market="CN", state="behind"}': "6x2000",
            'collector_stored_stocks{market="CN", state="complete"}': "94x2000",
        },
        20 * 60,
    ),
    "CollectorTargetNotMet": ({'collector_target_met{target="a", market="CN"}': "0x30"}, 1),
    "CollectorBarsRefused": ({"collector_bars_refused_total": "0 0 1x30"}, 2),
    "CollectorSourcesDiffer": (
        {"collector_bars_differing_total": "0 0 2x30", "collector_bars_compared_total": "0 100x30"},
        2,
    ),
}


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path):
    """A day of scrapes is looked at every 20 minutes, what is over within an hour every minute."""
    assert list(SCENES) == NAMES
    files = [write_scenes(tmp_path, step) for step in (1, LONG_STEP)]
    done = subprocess.run(["promtool", "test", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def write_scenes(folder, step):
    """Writes promtool's tests of the scenes that are looked at every `step` minutes; returns the file."""
    tests = [
        {
            "name": alert,
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                    "eval_time": f"{at}m",
                    "exp_samples": samples,
                }
                for at, samples in ((minutes - step, []), (minutes, [{"labels": "{}", "value": 1}]))
            ],
        }
        for alert, (series, minutes) in SCENES.items()
        if (LONG_STEP if minutes > 60 else 1) == step
    ]
    assert tests
    rules = {"rule_files": [str(FOLDER / "prometheus/alerts.yml")], "evaluation_interval": f"{step}m"}
    file = folder / f"{step}.json"  # which is YAML, too
    file.write_text(json.dumps({**rules, "tests": tests}))
    return str(file)
