"""The OpenAPI schema is valid and complete, and the server keeps to it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils.translation import override
from drf_spectacular.generators import SchemaGenerator
from knox.models import AuthToken

from tasks_app import lifecycle
from tasks_app.api.openapi.translation import paragraphs
from tasks_app.errors import TaskNotRunning
from tasks_app.lifecycle import attempts
from tasks_app.lifecycle.attempts import Attempt
from tasks_app.models import CollectionTask, Correction, Export, Finding, MarketDay
from tasks_app.models.states import ItemState
from tasks_app.quotes import adjustment_data
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.api.factories import client_of, make_bars, make_stock
from tests.factories import ACTOR, finish, make_ended, make_user, settle
from tools.worker_machine import PATIENCE

CONFIG = Path(__file__).with_name("schemathesis.toml")
ST = Path(sys.executable).with_name("st")
EXAMPLES = os.environ.get("SOAK_EXAMPLES", "")  # of each operation, in `make soak`

API = "/api/data-collection"
OPERATIONS = {
    ("post", f"{API}/historical"): {202, 400, 401, 403, 413, 415},
    ("post", f"{API}/historical/estimate"): {400, 401, 403, 413, 415},
    ("get", f"{API}/status/{{task_id}}"): {304, 401, 404},
    ("get", f"{API}/tasks"): {400, 401},
    ("delete", f"{API}/tasks/{{task_id}}"): {400, 401, 403, 404},
    ("get", f"{API}/tasks/{{task_id}}/items"): {400, 401, 404},
    ("get", f"{API}/tasks/{{task_id}}/items/{{code}}/attempts"): {401, 404},
    ("get", f"{API}/tasks/{{task_id}}/errors"): {401, 404},
    ("post", f"{API}/tasks/{{task_id}}/pause"): {400, 401, 403, 404},
    ("post", f"{API}/tasks/{{task_id}}/resume"): {400, 401, 403, 404},
    ("post", f"{API}/tasks/{{task_id}}/retry"): {400, 401, 403, 404, 413, 415},
    ("get", f"{API}/queue"): {400, 401},
    ("get", f"{API}/queue/{{order_id}}"): {401, 404},
    ("patch", f"{API}/queue/{{order_id}}"): {400, 401, 403, 404, 413, 415},
    ("delete", f"{API}/queue/{{order_id}}"): {400, 401, 403, 404},
    ("get", f"{API}/current-task"): {304, 401},
    ("get", f"{API}/stock-list"): {400, 401},
    ("get", f"{API}/coverage"): {400, 401},
    ("get", f"{API}/findings"): {400, 401},
    ("get", f"{API}/corrections"): {400, 401},
    ("get", f"{API}/events"): {400, 401},
    ("get", f"{API}/calendar"): {400, 401},
    ("get", f"{API}/plans"): {400, 401},
    ("post", f"{API}/plans"): {400, 401, 403, 413, 415},
    ("get", f"{API}/plans/{{plan_id}}"): {401, 404},
    ("get", f"{API}/changes"): {400, 401, 410},
    ("get", f"{API}/bars"): {304, 400, 401, 403, 429},
    ("post", f"{API}/bars"): {400, 401, 403, 413, 415, 429},
    ("patch", f"{API}/plans/{{plan_id}}"): {400, 401, 403, 404, 413, 415},
    ("delete", f"{API}/plans/{{plan_id}}"): {401, 403, 404},
    ("post", f"{API}/plans/{{plan_id}}/run"): {400, 401, 403, 404},
    ("get", f"{API}/plans/{{plan_id}}/runs"): {400, 401, 404},
    ("get", f"{API}/targets"): {400, 401},
    ("get", f"{API}/targets/{{target_id}}/sessions"): {400, 401, 404},
    ("get", f"{API}/plan-events"): {400, 401},
    ("get", f"{API}/exports"): {400, 401, 403},
    ("post", f"{API}/exports"): {400, 401, 403, 413, 415},
    ("get", f"{API}/exports/{{export_id}}"): {401, 403, 404},
    ("delete", f"{API}/exports/{{export_id}}"): {400, 401, 403, 404},
    ("get", f"{API}/days/{{market}}"): {400, 401, 404},
    ("get", f"{API}/days/{{market}}/{{day}}"): {400, 401, 404},
    ("get", f"{API}/agreement"): {400, 401},
    ("get", f"{API}/quotes/{{market}}/{{code}}"): {400, 401, 404},
    ("get", f"{API}/quotes/{{market}}/{{code}}/gaps"): {400, 401, 404},
    ("get", f"{API}/quotes/{{market}}/{{code}}/factors"): {400, 401, 404},
    ("get", f"{API}/quotes/{{market}}/{{code}}/actions"): {400, 401, 404},
    ("get", "/healthz"): set(),
    ("get", "/metrics"): {401, 403, 503},
    ("get", "/readyz"): {503},
}


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator().get_schema(request=None, public=True)


def test_schema_is_valid_without_warnings(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def test_schema_has_exactly_the_operations(schema):
    operations = {
        (method, path): operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert operations.keys() == OPERATIONS.keys()
    for key, errors in OPERATIONS.items():
        assert {str(status) for status in (200, *errors)} <= operations[key]["responses"].keys()
        assert operations[key]["summary"]


def test_optional_keys_of_bodies_may_be_null(schema):
    components, bodies = schema["components"]["schemas"], {"PlanStepBody"}
    for operation in (each for path in schema["paths"].values() for each in path.values()):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            bodies.add(content["schema"]["$ref"].rpartition("/")[2])
    assert bodies >= {"StartBody", "BulkBody", "PlanBody", "PatchedPlanChanges", "ExportBody"}
    for name in bodies:
        body = components[name]
        nullable = {key for key, value in body["properties"].items() if value.get("nullable")}
        assert nullable == body["properties"].keys() - set(body.get("required", ())), name


def json_values(node, key):
    """Yields the dictionaries under this key at any depth."""
    if isinstance(node, dict):
        for name, each in node.items():
            yield from (each,) if name == key and isinstance(each, dict) else json_values(each, key)
    elif isinstance(node, list):
        for each in node:
            yield from json_values(each, key)


def test_schema_is_in_the_language_of_the_reader(schema):
    with override("zh-hans"):
        chinese = SchemaGenerator().get_schema(request=None, public=True)
    english = {text for text in paragraphs(chinese) if not re.search("[\u4e00-\u9fff]", text)}
    assert not english
    names = {
        *(tag for path in chinese["paths"].values() for each in path.values() for tag in each["tags"]),
        *(tag["name"] for tag in chinese["tags"]),
        chinese["info"]["title"],
    }
    assert not {name for name in names if not re.search("[\u4e00-\u9fff]", name)}
    examples = [found for found in json_values(chinese, "examples") for found in found.values()]
    assert len(examples) > 100
    assert not {found["summary"] for found in examples if not re.search("[\u4e00-\u9fff]", found["summary"])}
    assert schema["paths"].keys() == chinese["paths"].keys()
    assert schema["components"]["schemas"].keys() == chinese["components"]["schemas"].keys()


def test_document_replaces_the_words_of_swagger_in_chinese_only():
    for language, expected in (("zh-CN", True), ("en", False)):
        page = Client().get("/api/docs", headers={"Accept-Language": language}).content.decode()
        assert ("docs_words.js" in page) == expected
        assert ('"Try it out": "\\u8bd5\\u7528"' in page) == expected


def test_schema_errors_have_examples(schema):
    for methods in schema["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status == "304" or (operation["operationId"], status) == ("metrics", "200"):
                    continue  # it has no body, or is text
                content = response["content"]["application/json"]
                if content["schema"].get("$ref", "").endswith("/ErrorAnswer"):
                    assert status >= "400"
                    (example,) = content["examples"].values()
                    assert set(example["value"]) - {"errors", "request_id"} == {"detail", "code"}


@pytest.mark.django_db
@pytest.mark.usefixtures("own_cache")  # a coverage that another test counted would be answered for a minute
def test_response_keys_equal_the_schema(schema):
    client = client_of(make_user("root", is_superuser=True))
    make_bars(make_stock("US", "AAPL"), 1)
    last = settle()
    day = date(2024, 1, 2)
    adjustment_data.replace_factors("US", "AAPL", "sample", [Factor(day, Decimal(2))], day)
    actions = CorporateActions([CorporateAction("split", day, ratio=Decimal(1))])
    adjustment_data.replace_actions("US", "AAPL", "sample", actions, day)
    body = {
        "start_date": "2024-01-01",
        "end_date": "2024-01-02",
        "source": "simulated",
        "stock_codes": ["000001"],
    }
    started = client.post(f"{API}/historical", body).json()
    task = CollectionTask.objects.get()
    current = client.get(f"{API}/current-task").json()
    task.items.update(attempt_log=attempts.added(None, Attempt("2024-01-02T10:00:00+00:00", "simulated")))
    finish(task, ItemState.FAILED, error_code="timeout")
    stocks = client.get(f"{API}/stock-list?market=US").json()
    factors, actions = (
        client.get(f"{API}/quotes/US/AAPL/{name}").json()[0] for name in ("factors", "actions")
    )
    item = task.items.get()
    bar = {"market": "US", "symbol": "AAPL", "day": day, "item": item}
    Finding.objects.create(kind="flagged", code="jump", message="…", **bar)
    Correction.objects.create(source="sample", **bar)
    plan = client.post(f"{API}/plans", {"name": "nightly", "source": "sample", "at": "18:00"}).json()
    records = {
        f"{kind}Answer": client.get(f"{API}/{path}").json()[0]
        for kind, path in (
            ("Finding", "findings"),
            ("Correction", "corrections"),
            ("Event", "events"),
            ("CalendarDay", "calendar?market=CN"),
            ("Plan", "plans"),
            ("PlanEvent", "plan-events"),
            ("Coverage", "coverage"),
        )
    }
    MarketDay.objects.create(market="US", kind="stock", day=day)
    detail = client.get(f"{API}/days/US/2024-01-02").json()
    changes = client.get(f"{API}/changes?since={last - 1}").json()
    Export.objects.create(folder="daily", layout="parquet", selection={}, channel="api")
    records["ExportAnswer"] = client.get(f"{API}/exports").json()[0]
    records["PlanDeletedAnswer"] = client.delete(f"{API}/plans/{plan['id']}").json()
    responses = records | {
        "StartedAnswer": started,
        "RunningAnswer": current["current_task"],
        "TaskAnswer": client.get(f"{API}/status/{task.pk}").json(),
        "ItemAnswer": client.get(f"{API}/tasks/{task.pk}/items?chain=true").json()[0],
        "AttemptAnswer": client.get(f"{API}/tasks/{task.pk}/items/000001/attempts").json()[0],
        "ErrorGroupAnswer": client.get(f"{API}/tasks/{task.pk}/errors?chain=true").json()[0],
        "StockListAnswer": stocks,
        "StockAnswer": stocks["stocks"][0],
        "BarAnswer": client.get(f"{API}/quotes/US/AAPL").json()[0],
        "FactorTableAnswer": factors,
        "FactorAnswer": factors["factors"][0],
        "ActionTableAnswer": actions,
        "ActionAnswer": actions["actions"][0],
        "ChangesAnswer": changes,
        "DayAnswer": client.get(f"{API}/days/US").json()[0],
        "DayDetailAnswer": detail,
        "MissingAnswer": detail["missing"][0],
        "ChangeAnswer": changes["changes"][0],
        "AliveAnswer": client.get("/healthz").json(),
        "ReadyAnswer": client.get("/readyz").json(),
    }
    schemas = schema["components"]["schemas"]
    for name, response in responses.items():
        assert response.keys() == schemas[name]["properties"].keys()
    for name, path in (("ItemAnswer", "items"), ("ErrorGroupAnswer", "errors")):  # without what `chain` adds
        row = client.get(f"{API}/tasks/{task.pk}/{path}").json()[0]
        assert row.keys() == set(schemas[name]["required"])


@pytest.mark.django_db(transaction=True)
def test_fuzzed_responses_match_the_schema(live_server, tmp_path, monkeypatch):
    # All requests use one connection, and one to the database. Without this, wsgiref's last packet of each
    # response would wait 40 ms for the acknowledgement of the one before (delayed ACK).
    monkeypatch.setattr(WSGIRequestHandler, "disable_nagle_algorithm", True)
    task = make_ended("failed", stock_codes=("000001", "000002"))
    make_bars(make_stock("US", "AAPL"), 3)
    config = tmp_path / "schemathesis.toml"
    report = tmp_path / "responses.har"
    _, token = AuthToken.objects.create(make_user("root", is_superuser=True))
    placeholders = {"TASK_ID": str(task.pk), "TASK_VERSION": etag_of(f"status/{task.pk}", token)}
    placeholders["IDLE_VERSION"] = etag_of("current-task", token)
    text = re.sub("|".join(placeholders), lambda match: placeholders[match[0]], CONFIG.read_text())
    # The one DELETE cancels a task and does not remove it: the task stays readable.
    excluded = ["use_after_free"]
    if EXAMPLES:
        text = re.sub("(coverage|stateful).enabled = false", r"\1.enabled = true", text)
        text = re.sub("max-examples = [0-9]+", f"max-examples = {max(10, int(EXAMPLES))}", text)
    else:
        excluded.append("ignored_auth")  # two more requests for each; security/test_access.py makes them
    config.write_text(text)
    with (tmp_path / "out").open("w+") as out:
        fuzzer = subprocess.Popen(
            [
                ST,
                f"--config-file={config}",
                "run",
                f"{live_server.url}/api/schema?format=json",
                f"--header=Authorization: Bearer {token}",
                "--checks=all",
                f"--exclude-checks={','.join(excluded)}",
                f"--report-har-path={report}",
                f"--max-examples={EXAMPLES or 1}",
                "--continue-on-failure",
                "--no-color",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            code = _wait_freeing_the_slot(fuzzer)
        finally:
            fuzzer.kill()
        out.seek(0)
        output = out.read()
    print(output)
    assert code == 0, output
    entries = json.loads(report.read_text())["log"]["entries"]
    unchanged = {entry["request"]["url"] for entry in entries if entry["response"]["status"] == 304}
    assert unchanged == {f"{live_server.url}{API}/{path}" for path in ("current-task", f"status/{task.pk}")}


def etag_of(path, token):
    """Returns the ETag of a response, escaped for TOML."""
    headers = {"Authorization": f"Token {token}"}
    return Client().get(f"{API}/{path}", headers=headers).headers["ETag"].replace('"', '\\"')


def _wait_freeing_the_slot(process):
    """Cancels running tasks again and again, so that more than one start succeeds. Returns the exit code."""
    end = time.monotonic() + 5 * PATIENCE  # hundreds of requests
    while process.poll() is None:
        assert time.monotonic() < end, "the fuzzer does not end"
        for task in CollectionTask.objects.filter(status="running"):
            with contextlib.suppress(TaskNotRunning):
                lifecycle.cancel(task.pk, ACTOR)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    return process.returncode
