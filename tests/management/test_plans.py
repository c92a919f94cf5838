"""`manage.py plans`: the API's verbs for a terminal, with exit codes for monitors."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent
from tasks_app.models.priorities import Priority
from tests.factories import make_ended, make_plan, make_yielded

pytestmark = pytest.mark.django_db


def run(*words):
    """Runs the command: its exit code and what it printed."""
    out = StringIO()
    try:
        call_command("plans", *words, stdout=out)
    except SystemExit as stop:
        return stop.code, out.getvalue()
    return 0, out.getvalue()


def test_plan_is_made_switched_run_and_deleted():
    words = ("--source", "simulated", "--at", "18:00", "--codes", "000001,000002", "--days", "3")
    assert "nightly" in run("create", "--name", "nightly", *words)[1]
    plan = CollectionPlan.objects.get()
    assert (plan.market, plan.stock_codes, plan.days) == ("SIM", ["000001", "000002"], 3)
    assert "off" in run("disable", "nightly")[1]
    assert json.loads(run("enable", str(plan.pk), "--json")[1])["enabled"]
    started = json.loads(run("run", "nightly", "--json")[1])
    task = CollectionTask.objects.get()
    assert (started["task_id"], task.events.first().channel) == (str(task.pk), "command")
    assert "was deleted" in run("delete", "nightly")[1]
    kinds = list(PlanEvent.objects.order_by("pk").values_list("kind", "channel"))
    assert kinds == [(kind, "command") for kind in ("created", "disabled", "enabled", "run", "deleted")]


def test_plan_has_a_priority_and_its_runs_say_what_they_overtook():
    run("create", "--name", "evening", "--source", "simulated", "--at", "18:00", "--priority", "high")
    assert CollectionPlan.objects.get().priority == Priority.HIGH
    assert "priority: high" in run("list")[1]
    task = make_yielded()
    printed = run("runs", task.yields_to_name)[1]
    assert "yielded to it" in printed
    assert str(task.pk)[:8] in printed
    assert re.search(r"\d\d:\d\d UTC", printed), "when, with the zone's name"


def test_plan_is_made_with_its_export(settings, tmp_path):
    words = ("--name", "nightly", "--source", "simulated", "--at", "18:00", "--codes", "000001")
    with pytest.raises(CommandError, match="COLLECTOR_EXPORT_DIR"):
        run("create", *words, "--export-to", "nightly")
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    run("create", *words, "--export-to", "nightly", "--export-layout", "qlib")
    plan = CollectionPlan.objects.get()
    assert (plan.export_to, plan.export_layout) == ("nightly", "qlib")


def test_plan_is_made_with_steps_and_its_runs_are_listed(tmp_path):
    words = ("--name", "nightly", "--source", "simulated", "--at", "18:00", "--codes", "000001")
    file = tmp_path / "steps.json"
    file.write_text('[{"kind": "bars", "retries": 1}, {"kind": "odd"}]')
    with pytest.raises(CommandError, match="odd"):
        run("create", *words, "--steps", str(file))
    file.write_text('[{"kind": "bars", "retries": 1}, {"kind": "stock_list"}]')
    plan = json.loads(run("create", *words, "--steps", str(file), "--json")[1])
    assert [(step["kind"], step["retries"]) for step in plan["steps"]] == [("bars", 1), ("stock_list", 0)]
    assert "has not run yet" in run("runs", "nightly")[1]
    task = json.loads(run("run", "nightly", "--json")[1])["task_id"]
    text = run("runs", "nightly")[1]
    assert f"1. daily bars: running {task[:8]}" in text
    assert "2. stock list: pending" in text
    assert json.loads(run("runs", "nightly", "--json")[1])[0]["steps"][0]["attempts"][0]["task_id"] == task


def test_list_is_a_table_or_the_apis_json():
    assert "There are no plans." in run("list")[1]
    make_plan(name="evening")
    assert "evening" in run("list")[1]
    assert [row["name"] for row in json.loads(run("list", "--json")[1])] == ["evening"]


def test_list_shows_the_next_run_in_the_zone_of_the_market():
    make_plan(name="evening", market="CN", next_at=datetime(2024, 1, 2, 10, 0, tzinfo=UTC))
    text = run("list")[1]
    assert "2024-01-02 18:00" in text
    assert text.count("Asia/Shanghai") == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 0),
        ({"error_code": "unknown_source", "error_message": "Gone."}, 2),
        ({"next_at": timezone.now() - timedelta(hours=1)}, 3),
        ({"next_at": timezone.now() - timedelta(hours=1), "waiting_since": timezone.now()}, 0),
        ({"enabled": False, "next_at": None, "error_code": "unknown_source"}, 0),
    ],
)
def test_check_tells_a_monitor_by_its_exit_code(fields, code):
    make_plan(**fields)
    assert run("list", "--check")[0] == code
    assert run("list")[0] == 0


def test_check_sees_a_failed_task():
    make_plan(last_task=make_ended("failed"))
    assert run("list", "--check", "--json")[0] == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "nobody"), "plan_not_found"),
        (("create", "--name", "x", "--at", "18:00", "--source", "nobody"), "unknown_source"),
        (("create", "--name", "x" * 101, "--at", "18:00", "--source", "simulated"), "invalid_plan"),
    ],
)
def test_error_is_one_sentence_or_json(words, code):
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("plans", *words, "--json", stdout=out)
    assert json.loads(out.getvalue())["code"] == code
