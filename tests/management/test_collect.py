"""`manage.py collect`: the API's verbs for a terminal, with its JSON."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from rich.console import Console

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome, payloads
from tasks_app.management import cli_arguments, progress_view
from tasks_app.management.commands.collect import Command
from tasks_app.management.commands.quickstart import Command as Quickstart
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState
from tasks_app.models.tasks import Channel
from tasks_app.orders import order
from tests.factories import ACTOR, make_ended, make_lane, make_task, make_user
from tools.in_process import work

pytestmark = pytest.mark.django_db
SAMPLE = ("--source", "sample", "--start-date", "2000-01-01", "--end-date", "2013-12-31")


START: dict[str, Any] = {
    **dict.fromkeys(("market", "adjust"), ""),
    **dict.fromkeys(("test_mode", "full", "force"), False),
    "codes": [],
    "fallbacks": None,
    "start_date": date(2000, 1, 1),
    "end_date": date(2013, 12, 31),
}


def collect(*words: str) -> str:
    """What the command printed."""
    out = StringIO()
    call_command("collect", *words, stdout=out)
    return out.getvalue()


def collected_json(*words: str) -> Any:
    return json.loads(collect(*words, "--json"))


def refused(*words: str) -> dict[str, str]:
    """The JSON of a command that failed; its sentence is the error's, too."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command("collect", *words, "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert str(error.value) == answer["detail"]
    assert error.value.returncode == 1
    return answer


def api(path: str) -> Any:
    """The API's own answer."""
    client = APIClient()
    client.force_authenticate(make_user("api", is_superuser=True))
    return client.get(f"/api/data-collection/{path}").json()


def test_start_answers_with_the_apis_json() -> None:
    answer = collected_json("start", *SAMPLE, "--market", "us", "--test-mode", "--full", "--force")
    task = CollectionTask.objects.get()
    assert answer["task_id"] == str(task.pk)
    assert answer["status"] == "started"
    assert (answer["market"], answer["start_date"], answer["end_date"]) == ("US", "2000-01-01", "2013-12-31")
    assert (task.test_mode, task.full_collection_mode, task.force_update) == (True, True, True)
    assert answer == json.loads(payloads.dumps(payloads.task_started(task)))


def test_start_is_recorded_as_the_terminals() -> None:
    collect("start", *SAMPLE)
    assert CollectionTask.objects.get().events.get().channel == Channel.COMMAND


def test_the_days_default_to_the_last_year() -> None:
    collect("start", "--source", "simulated")
    task = CollectionTask.objects.get()
    assert task.end_date == timezone.localdate()
    assert task.end_date - task.start_date == timedelta(days=365)


def test_codes_come_with_commas_spaces_repeated_and_from_a_file(tmp_path: Path) -> None:
    listed = tmp_path / "codes.txt"
    listed.write_text("000004,000005\n000006\n")
    words = ["000001,000002", "000003", f"@{listed}"]
    assert cli_arguments.read_codes(words) == [f"00000{n}" for n in range(1, 7)]
    answer = collected_json("start", "--source", "simulated", "--codes", *words[:2], "--codes", words[2])
    assert answer["stock_codes"] == [f"00000{n}" for n in range(1, 7)]


def test_a_file_of_codes_that_is_not_there_is_told() -> None:
    assert refused("start", "--codes", "@/nowhere/codes")["code"] == "unreadable_codes"


def test_a_refused_order_says_why() -> None:
    answer = refused("start", "--start-date", "2024-02-01", "--end-date", "2024-01-01")
    assert answer["code"] == "reversed_dates"
    assert "2024-02-01" in answer["detail"]


def test_a_second_start_is_refused() -> None:
    task = make_task()
    answer = refused("start", *SAMPLE)
    assert answer["code"] == "task_running"
    assert str(task.pk) in answer["detail"]


@pytest.mark.parametrize("day", ["2024-13-01", "yesterday", "2024-W01-1"])
def test_a_malformed_day_is_a_mistake_in_the_command(day: str) -> None:
    with pytest.raises(CommandError, match="YYYY-MM-DD"):
        collect("start", "--start-date", day)


def test_status_prints_what_the_api_answers() -> None:
    task = make_ended("failed")
    assert collected_json("status", str(task.pk)) == api(f"status/{task.pk}")


def test_list_prints_what_the_api_answers() -> None:
    for status in ("completed", "failed", "cancelled"):
        make_ended(status)
    assert collected_json("list") == api("tasks")
    assert [task["status"] for task in collected_json("list", "--status", "failed")] == ["failed"]
    assert len(collected_json("list", "--limit", "2")) == 2


def test_people_get_tables() -> None:
    task = make_ended("completed")
    assert str(task.pk) in collect("status", str(task.pk))
    assert "no such tasks" in collect("list", "--status", "running")


def test_a_list_of_eighty_columns_shows_whole_ids_and_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    day = {
        "market": "CN",
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
    for said in (str(task.pk), "completed", "CN simulated", "12,345/12,345 stocks  123,456,789 bars"):
        assert said in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("worker", "--workers", "x"), "“x” is not a whole number from 1 to 1000"),
        (("collect", "list", "--limit", "x"), "“x” is not a whole number from 1 to 1000"),
        (("quickstart", "--port", "99999"), "“99999” is not a whole number from 0 to 65535"),
        (("calendar", "show", "--market", "CN", "--year", "0"), "“0” is not a whole number from 1900"),
        (("quickstart", "--host", "a..b"), "--host takes an address of this machine"),
        (("quickstart", "--host", "192.0.2.1"), "--host takes an address of this machine"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_a_sentence(
    words: tuple[str, ...], said: str, own_signals: None
) -> None:
    with pytest.raises(CommandError, match=re.escape(said)):
        call_command(*words, stdout=StringIO())


@pytest.fixture
def own_signals() -> Iterator[None]:
    """quickstart takes the signals of its process."""
    kept = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in kept.items():
        signal.signal(signum, handler)


def test_tables_that_are_missing_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Command, options: dict[str, Any]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")

    monkeypatch.setattr(Command, "list", broken)
    with pytest.raises(CommandError, match=r"Tables are missing .* python manage.py migrate"):
        collect("list")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which signals a program takes")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_quickstart_ends_cleanly_when_it_is_stopped_before_it_has_begun(signum: signal.Signals) -> None:
    command = [sys.executable, "manage.py", "quickstart", "--no-collect", "--port", "0"]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, stderr=subprocess.PIPE) as process:
        status = Path(f"/proc/{process.pid}/status")
        while not _takes(status.read_text(), signal.SIGTERM):
            assert process.poll() is None
        process.send_signal(signum)
        assert (process.wait(30), process.stderr and process.stderr.read()) == (0, b"")


def _takes(status: str, signum: int) -> bool:
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signum - 1) & 1)


def test_who_has_debug_off_is_told_that_the_addresses_lead_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    out = StringIO()
    command = Quickstart(stdout=out)
    command.console = Console(file=out, width=200)
    command.announce(dict.fromkeys(("url", "admin_url", "user", "password", "token"), "x"))
    assert "DJANGO_HTTPS=off" in out.getvalue()


def test_a_message_from_a_source_is_no_markup() -> None:
    task = make_task(stock_codes=("000001",))
    lifecycle.fail(task.pk, "x", "[red]odd[/nonsense]")
    assert "[red]odd[/nonsense]" in collect("status", str(task.pk))


def test_cancel_ends_the_running_task() -> None:
    task = make_task()
    assert collected_json("cancel")["task_id"] == str(task.pk)
    task.refresh_from_db()
    assert task.status == "cancelled"
    assert refused("cancel", str(task.pk))["code"] == "task_not_running"
    assert refused("cancel")["code"] == "nothing_running"


def test_retry_starts_a_linked_task() -> None:
    old = make_ended("failed")
    assert refused("retry", str(old.pk), "--error-code", "other")["code"] == "nothing_to_retry"
    answer = collected_json("retry", str(old.pk))
    assert answer["retry_of"] == str(old.pk)
    assert answer["stock_codes"] == ["000001"]


@pytest.mark.parametrize("length", [4, 8, 20, 32])
def test_a_task_is_found_by_the_beginning_of_its_id(length: int) -> None:
    task = make_ended("completed")
    assert cli_arguments.find_task(task.pk.hex[:length].upper()) == task.pk
    assert cli_arguments.find_task(str(task.pk)[:9]) == task.pk


@pytest.mark.parametrize(
    "text", ["abc", "nonsense", "zzzz", "0" * 33, "00000000-0000-0000-0000-000000000000"]
)
def test_an_unknown_or_malformed_id_is_no_task(text: str) -> None:
    make_ended("completed")
    assert refused("status", text)["code"] == "task_not_found"


def test_a_beginning_that_two_tasks_share_is_refused() -> None:
    day = {"market": "US", "source": "sample", "start_date": date(2024, 1, 1), "end_date": date(2024, 1, 2)}
    for last in "12":
        made = {"status": "completed", "end_time": timezone.now(), **day}
        CollectionTask.objects.create(pk=f"abcd0000-0000-0000-0000-00000000000{last}", **made)
    assert refused("status", "abcd")["code"] == "ambiguous_task"
    assert collected_json("status", "abcd0000-0000-0000-0000-000000000001")["status"] == "completed"


def test_watch_exits_by_how_the_task_ended() -> None:
    completed, failed = make_ended("completed"), make_ended("failed")
    assert collected_json("watch", str(completed.pk))["status"] == "completed"
    with pytest.raises(SystemExit) as exit_:
        collect("watch", str(failed.pk))
    assert exit_.value.code == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_shows_the_progress_up_to_the_end(terminal: bool) -> None:
    task = lifecycle.start(
        cli_arguments.build_order({**START, "source": "sample"}), ACTOR, today=order.latest_today()
    )
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    ended = progress_view.TaskWatcher(console, on_poll=work).until_end(task.pk)
    assert (ended.status, ended.collected_count) == ("completed", 12_154)
    assert "5/5 stocks  12,154 bars  0 failed" in out.getvalue()


def test_watching_says_that_no_worker_is_alive() -> None:
    task = make_task()
    out = StringIO()
    turns = iter(range(3))

    def tend() -> None:
        if next(turns) == 2:
            lifecycle.cancel(task.pk, ACTOR)

    progress_view.TaskWatcher(Console(file=out), tend, worker_timeout=0).until_end(task.pk)
    assert out.getvalue().count("No worker is alive") == 1


def test_the_pace_counts_from_the_first_look() -> None:
    now = iter([100.0, 110.0, 120.0])
    pace = progress_view.RateEstimator(clock=lambda: next(now))
    assert pace.rate(50) == 0
    assert pace.rate(60) == 1
    assert pace.rate(50 + 40) == 2


def test_partly_failed_tasks_show_their_failures_by_kind() -> None:
    task = make_task()
    first, second, _ = lifecycle.claim(make_lane(task), 3)
    failure = Outcome(ItemState.FAILED, error_code="unknown_stock", error_message="It is not listed.")
    lifecycle.record(first, failure)
    lifecycle.record(second, Outcome(ItemState.SUCCEEDED, collected=1234))
    shown = collect("status", str(task.pk))
    assert "1 × It is not listed. (000001)" in shown
    assert "1,234" in shown
