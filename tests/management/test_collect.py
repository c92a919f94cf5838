"""`manage.py collect`: its options, its JSON and its tables."""

import json
import re
import time
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from rich.console import Console

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome, payloads
from tasks_app.management import cli_arguments, output, progress_view
from tasks_app.management.commands.collect import Command
from tasks_app.models import CollectionTask, QueuedOrder, SourceGate
from tasks_app.models.events import Channel
from tasks_app.models.states import ItemState, TaskOutcome, TaskStatus
from tasks_app.orders import order
from tests.factories import (
    ACTOR,
    age_heartbeat,
    finish,
    make_ended,
    make_lane,
    make_outcome,
    make_task,
    make_user,
    make_yielded,
    start_next,
)
from tests.fakes.clock import Clock
from tests.fakes.scripted_sources import without_token
from tools.in_process import work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_cache")]
SAMPLE = ("--source", "sample", "--start-date", "2000-01-01", "--end-date", "2013-12-31")


START: dict[str, Any] = {
    **dict.fromkeys(("market", "adjust"), ""),
    **dict.fromkeys(("test_mode", "full", "force"), False),
    "codes": [],
    "kind": "stock",
    "fallbacks": None,
    "verify_with": "",
    "verify_sample": 100,
    "start_date": date(2000, 1, 1),
    "end_date": date(2013, 12, 31),
}


def collect(*words: str) -> str:
    """Returns what the command printed."""
    out = StringIO()
    call_command("collect", *words, stdout=out)
    return out.getvalue()


def collected_json(*words: str) -> Any:
    return json.loads(collect(*words, "--json"))


def failed_json(*words: str) -> dict[str, str]:
    """Returns the JSON of a command that failed; its sentence is also the error's."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("collect", *words, "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert str(error.value) == answer["detail"]
    assert error.value.returncode == 1
    return answer


def api_json(path: str) -> Any:
    """Returns the API's response."""
    client = APIClient()
    client.force_authenticate(make_user("api", is_superuser=True))
    return client.get(f"/api/data-collection/{path}").json()


def test_start_prints_the_json_of_the_api() -> None:
    answer = collected_json("start", *SAMPLE, "--market", "us", "--test-mode", "--full", "--force")
    task = CollectionTask.objects.get()
    assert answer["task_id"] == str(task.pk)
    assert answer["status"] == "started"
    assert (answer["market"], answer["start_date"], answer["end_date"]) == ("US", "2000-01-01", "2013-12-31")
    assert (task.test_mode, task.full_collection_mode, task.force_update) == (True, True, True)
    assert answer == json.loads(payloads.dumps(payloads.task_started(task)))


def test_start_is_recorded_as_a_command() -> None:
    collect("start", *SAMPLE)
    assert CollectionTask.objects.get().events.get().channel == Channel.COMMAND


def test_days_default_to_the_last_year() -> None:
    collect("start", "--source", "simulated")
    task = CollectionTask.objects.get()
    assert task.end_date == timezone.localdate()
    assert task.end_date - task.start_date == timedelta(days=365)


def test_codes_are_read_from_options_and_files(tmp_path: Path) -> None:
    listed = tmp_path / "codes.txt"
    listed.write_text("000004,000005\n000006\n")
    words = ["000001,000002", "000003", f"@{listed}"]
    assert cli_arguments.read_codes(words) == [f"00000{n}" for n in range(1, 7)]
    answer = collected_json("start", "--source", "simulated", "--codes", *words[:2], "--codes", words[2])
    assert answer["stock_codes"] == [f"00000{n}" for n in range(1, 7)]


def test_missing_code_file_is_an_error() -> None:
    assert failed_json("start", "--codes", "@/nowhere/codes")["code"] == "unreadable_codes"


def test_invalid_order_says_why() -> None:
    answer = failed_json("start", "--start-date", "2024-02-01", "--end-date", "2024-01-01")
    assert answer["code"] == "reversed_dates"
    assert "2024-02-01" in answer["detail"]


def test_second_start_is_refused() -> None:
    task = make_task()
    answer = failed_json("start", *SAMPLE)
    assert answer["code"] == "task_running"
    assert str(task.pk) in answer["detail"]


@pytest.mark.parametrize("day", ["2024-13-01", "yesterday", "2024-W01-1"])
def test_malformed_day_is_a_usage_error(day: str) -> None:
    with pytest.raises(CommandError, match="YYYY-MM-DD"):
        collect("start", "--start-date", day)


def test_status_prints_the_json_of_the_api() -> None:
    task = make_ended("failed")
    assert collected_json("status", str(task.pk)) == api_json(f"status/{task.pk}")


def test_list_prints_the_json_of_the_api() -> None:
    for status in ("completed", "failed", "cancelled"):
        make_ended(status)
    assert collected_json("list") == api_json("tasks")
    assert [task["status"] for task in collected_json("list", "--status", "failed")] == ["failed"]
    assert len(collected_json("list", "--limit", "2")) == 2


def test_tables_are_printed_without_json() -> None:
    task = make_ended("completed")
    assert str(task.pk) in collect("status", str(task.pk))
    assert "no such tasks" in collect("list", "--status", "running")


def test_list_fits_whole_ids_into_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    day = {
        "market": "SIM",
        "source": "simulated",
        "start_date": date(2024, 1, 1),
        "end_date": date(2024, 1, 2),
    }
    counted = {"processed_stocks": 12_345, "success_count": 12_345, "total_stocks": 12_345}
    ended = {"status": "completed", "planned_at": timezone.now(), "end_time": timezone.now()}
    task = CollectionTask.objects.create(**day, **counted, **ended, collected_count=123_456_789)
    shown = collect("list")
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for text in (str(task.pk), "completed", "SIM simulated", "12,345/12,345 stocks  123,456,789 bars"):
        assert text in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("worker", "--workers", "x"), "“x” is not a whole number from 1 to 1000"),
        (("collect", "list", "--limit", "x"), "“x” is not a whole number from 1 to 1000"),
        (("quickstart", "--port", "99999"), "“99999” is not a whole number from 0 to 65535"),
        (("calendar", "show", "--market", "CN", "--year", "0"), "“0” is not a whole number from 1900"),
        (("quickstart", "--host", "a..b"), "--host takes an address of this machine"),
        (("quickstart", "--host", "192.0.2.1"), "--host takes an address of this machine"),
    ],
)
def test_invalid_option_is_refused_with_a_sentence(
    words: tuple[str, ...], message: str, own_signals: None
) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        call_command(*words, stdout=StringIO())


def test_missing_tables_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Command, options: dict[str, Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")

    monkeypatch.setattr(Command, "list", broken)
    with pytest.raises(CommandError, match=r"Tables are missing .* manage.py migrate"):
        collect("list")


def test_message_of_a_source_is_no_markup() -> None:
    task = make_task(stock_codes=("000001",))
    lifecycle.fail(task.pk, "x", "[red]odd[/nonsense]")
    assert "[red]odd[/nonsense]" in collect("status", str(task.pk))


def test_cancel_ends_the_running_task() -> None:
    task = make_task()
    assert collected_json("cancel")["task_id"] == str(task.pk)
    task.refresh_from_db()
    assert task.status == "cancelled"
    assert failed_json("cancel", str(task.pk))["code"] == "task_not_running"
    assert failed_json("cancel")["code"] == "nothing_running"


def test_retry_starts_a_linked_task() -> None:
    old = make_ended("failed")
    assert failed_json("retry", str(old.pk), "--error-code", "other")["code"] == "nothing_to_retry"
    answer = collected_json("retry", str(old.pk))
    assert answer["retry_of"] == str(old.pk)
    assert answer["stock_codes"] == ["000001"]


@pytest.mark.parametrize("length", [4, 8, 20, 32])
def test_task_is_found_by_id_prefix(length: int) -> None:
    task = make_ended("completed")
    assert cli_arguments.find_task(task.pk.hex[:length].upper()) == task.pk
    assert cli_arguments.find_task(str(task.pk)[:9]) == task.pk


@pytest.mark.parametrize(
    "text", ["abc", "nonsense", "zzzz", "0" * 33, "00000000-0000-0000-0000-000000000000"]
)
def test_unknown_or_malformed_id_is_no_task(text: str) -> None:
    make_ended("completed")
    assert failed_json("status", text)["code"] == "task_not_found"


def test_ambiguous_id_prefix_is_refused() -> None:
    day = {"market": "US", "source": "sample", "start_date": date(2024, 1, 1), "end_date": date(2024, 1, 2)}
    for last in "12":
        made = {"status": "completed", "end_time": timezone.now(), **day}
        CollectionTask.objects.create(pk=f"abcd0000-0000-0000-0000-00000000000{last}", **made)
    assert failed_json("status", "abcd")["code"] == "ambiguous_task"
    assert collected_json("status", "abcd0000-0000-0000-0000-000000000001")["status"] == "completed"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("complete", 0),
        ("with_failures", 2),
        ("nothing_new", 3),
        ("no_bars", 4),
        ("failed", 1),
        ("cancelled", 5),
    ],
)
def test_watch_exit_code_tells_how_the_task_ended(end: str, code: int) -> None:
    task = make_ended(end) if end in TaskStatus.values else make_outcome(end)
    out = StringIO()
    if code:
        with pytest.raises(SystemExit) as exit_:
            call_command("collect", "watch", str(task.pk), stdout=out)
        assert exit_.value.code == code
    else:
        call_command("collect", "watch", str(task.pk), stdout=out)
    said = {
        "complete": "completed",
        "with_failures": "completed · with failures",
        "nothing_new": "completed · nothing new",
    }
    assert said.get(end, "completed · no bars in these days" if end == "no_bars" else end) in out.getvalue()


def test_summary_without_bars_repeats_a_note_and_names_the_options_of_days() -> None:
    task = make_task(stock_codes=("000001", "000002"))
    first, second = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(first, Outcome(ItemState.SUCCEEDED))
    lifecycle.record(second, Outcome(ItemState.SUCCEEDED, note="the files hold 2021-01-04 to 2024-12-31"))
    text = " ".join(collect("status", str(task.pk)).split())
    assert "note 000002: the files hold 2021-01-04 to 2024-12-31 Other days are requested with" in text
    assert "--start-date and --end-date" in text
    assert "--start-date" not in collect("status", str(make_outcome("nothing_new").pk))


def test_wrong_option_does_not_exit_like_a_task_with_failures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        Command().run_from_argv(["manage.py", "collect", "watch", "--nonsense"])
    assert exit_.value.code == 1
    assert "--nonsense" in capsys.readouterr().err


def test_outcomes_have_colours_of_their_own() -> None:
    assert len(set(output.COLOURS.values())) == len(output.COLOURS) == len(TaskOutcome) + len(TaskStatus) - 1


def test_list_is_filtered_by_outcome() -> None:
    tasks = {outcome: make_outcome(outcome) for outcome in TaskOutcome.values}
    for outcome, task in tasks.items():
        (found,) = collected_json("list", "--outcome", outcome)
        assert (found["task_id"], found["outcome"]) == (str(task.pk), outcome)


@pytest.mark.parametrize(
    "words", [("status",), ("list",), ("watch",), ("list", "--status", "failed")], ids=" ".join
)
def test_task_that_no_worker_will_finish_is_ended_by_the_terminal(
    words: tuple[str, ...], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal ends it just as the API does, and says the same."""
    monkeypatch.setattr(progress_view, "time", Clock())
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.abandon_after + 1)
    named = words if words[0] == "list" else (*words, str(task.pk))
    out = StringIO()
    with suppress(SystemExit):
        call_command("collect", *named, "--json", stdout=out)
    answer = json.loads(out.getvalue())
    said = answer[0] if words[0] == "list" else answer
    assert (said["status"], said["error_code"]) == ("failed", "no_worker")
    assert said == api_json(f"status/{task.pk}")


def test_ended_task_without_a_plan_is_not_called_planning() -> None:
    lifecycle.fail(make_task(stock_codes=None).pk, "no_worker", "")
    assert "No stock list was read." in collect("list")
    CollectionTask.objects.all().delete()
    task = make_task(stock_codes=None)
    CollectionTask.objects.filter(pk=task.pk).update(total_stocks=2)  # half a plan
    lifecycle.cancel(task.pk, ACTOR)
    assert "The plan was not completed." in collect("list")


def test_task_that_a_worker_may_finish_is_left_alone_by_the_terminal(settings: Any) -> None:
    task = make_task()
    age_heartbeat(task, settings.COLLECTOR.abandon_after - 60)
    assert collected_json("status")["status"] == "running"
    task.refresh_from_db()
    assert task.status == "running"


@pytest.mark.parametrize("terminal", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_watch_shows_progress_to_the_end(terminal: bool) -> None:
    task = lifecycle.start(
        cli_arguments.build_order({**START, "source": "sample"}), ACTOR, today=order.latest_today()
    )
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    ended = progress_view.TaskWatcher(console, on_poll=work).until_end(task.pk)
    assert (ended.status, ended.collected_count) == ("completed", 12_154)
    assert "5/5 stocks  12,154 bars  0 failed" in out.getvalue()


def test_ctrl_c_ends_watching_only(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()

    def interrupt(_seconds: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress_view, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))
    out = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("collect", "watch", str(task.pk), stdout=out)
    assert f"collect cancel {str(task.pk)[:8]}" in out.getvalue()
    task.refresh_from_db()
    assert task.status == "running"


def test_paused_task_is_said_to_be_paused() -> None:
    task = make_task()
    assert "The task was paused." in collect("pause")
    assert collected_json("status") == api_json(f"status/{task.pk}")
    assert "running · paused" in collect("list")
    assert "paused since" in collect("status")
    assert collected_json("resume")["paused_at"] is None
    assert "paused" not in collect("status")


def test_watch_waits_for_the_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_view, "time", clock := Clock())
    task = make_task()
    lifecycle.pause(task.pk, ACTOR)
    out = StringIO()

    def tend() -> None:
        if clock.elapsed == 5 * progress_view.POLL_SECONDS:
            lifecycle.cancel(task.pk, ACTOR)

    progress_view.TaskWatcher(Console(file=out), tend, worker_timeout=0.0).until_end(task.pk)
    assert "No worker is alive" not in out.getvalue()
    assert out.getvalue().count("paused since") == 1


def test_watch_follows_a_chain_to_its_last_task() -> None:
    task = make_yielded()
    out = StringIO()

    def tend() -> None:
        if (row := QueuedOrder.objects.get()).state == "waiting":
            finish(CollectionTask.objects.get(status="running"))
            start_next()
        elif rest := CollectionTask.objects.filter(pk=row.task_id, status="running").first():
            finish(rest)

    ended = progress_view.TaskWatcher(Console(file=out, width=200), tend).until_end(task.pk)
    assert ended.continues_id == task.pk
    assert "What it left goes on by itself." in out.getvalue()
    assert "(whole run 1/3 stocks  0 failed  in 2 tasks)" in out.getvalue()
    assert "3/3 stocks  0 failed  in 2 tasks" in collect("status", str(task.pk))


def test_start_takes_a_priority() -> None:
    collect("start", "--start-date", "2024-01-01", "--source", "simulated", "--priority", "low")
    assert CollectionTask.objects.get().priority_name == "low"


@pytest.mark.parametrize("polls", [1, 2, 5])
def test_watch_warns_once_without_workers(polls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_view, "time", clock := Clock())
    task = make_task()
    out = StringIO()

    def tend() -> None:
        if clock.elapsed == polls * progress_view.POLL_SECONDS:
            lifecycle.cancel(task.pk, ACTOR)

    timeout = 2 * progress_view.POLL_SECONDS
    progress_view.TaskWatcher(Console(file=out), tend, worker_timeout=timeout).until_end(task.pk)
    assert out.getvalue().count("No worker is alive") == (polls > 2)


def test_rate_counts_from_the_first_call() -> None:
    now = iter([100.0, 110.0, 120.0])
    estimator = progress_view.RateEstimator(clock=lambda: next(now))
    assert estimator.rate(50) == 0
    assert estimator.rate(60) == 1
    assert estimator.rate(50 + 40) == 2


def test_summary_groups_failures_by_code() -> None:
    task = make_task()
    first, second, _ = lifecycle.claim(make_lane(task), 3)
    failure = Outcome(ItemState.FAILED, error_code="unknown_stock", error_message="It is not listed.")
    lifecycle.record(first, failure)
    lifecycle.record(second, Outcome(ItemState.SUCCEEDED, collected=1234))
    lifecycle.warn(second.lane, "left_aside", count="2", message="a.csv: it is empty")
    shown = collect("status", str(task.pk))
    assert "1 × It is not listed. (000001)" in shown
    assert "1,234" in shown
    assert "Entries that the source left aside: 2. a.csv: it is empty" in " ".join(shown.split())


@pytest.fixture
def paused_task(settings: Any) -> CollectionTask:
    """A running task whose source is paused for five hours."""
    settings.COLLECTOR = replace(settings.COLLECTOR, rates=(("simulated", 1.0),))
    until = timezone.now() + timedelta(hours=5)
    SourceGate.objects.create(source="simulated", open_until=until, reason="It bans us.")
    return make_task()


@pytest.mark.parametrize("words", [("status",), ("list",)])
def test_terminal_says_until_when_and_why_the_source_is_paused(
    paused_task: CollectionTask, words: tuple[str, ...]
) -> None:
    shown = collect(*words)
    until = SourceGate.objects.get().open_until
    assert until is not None
    assert "the source “simulated” is paused until" in shown
    assert f"{timezone.localtime(until):%Y-%m-%d %H:%M:%S}" in shown
    assert "It bans us." in shown


def test_watch_says_once_that_the_source_is_paused(paused_task: CollectionTask) -> None:
    out = StringIO()
    polls = iter(range(10))

    def tend() -> None:
        if next(polls) == 3:
            lifecycle.cancel(paused_task.pk, ACTOR)

    progress_view.TaskWatcher(Console(file=out, width=200), tend).until_end(paused_task.pk)
    assert out.getvalue().count("It bans us.") == 1


def test_source_without_its_token_is_refused_at_the_start(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.COLLECTOR = without_token(settings.COLLECTOR, monkeypatch)
    answer = failed_json("start", "--source", "first")
    assert answer["code"] == "source_unusable"
    assert "VENDOR_TOKEN is not set" in answer["detail"]
    assert not CollectionTask.objects.exists()


def test_order_is_queued_listed_moved_and_withdrawn() -> None:
    make_task()
    options = ("--source", "simulated", "--start-date", "2024-01-01", "--end-date", "2024-02-01", "--queue")
    first, second = (collected_json("start", *options)["id"] for _ in range(2))
    assert collected_json("queue") == api_json("queue")
    assert collected_json("move", str(second), "--position", "1")["position"] == 1
    assert [row["id"] for row in collected_json("queue")] == [second, first]
    assert f"The order {first} was withdrawn." in collect("withdraw", str(first))
    text = collect("queue")
    assert str(second) in text
    assert "waiting" in text
    assert re.search(r"\d\d:\d\d\s+UTC", text), "when, with the zone's name"
    assert "There are no such orders." in collect("queue", "--state", "refused")
