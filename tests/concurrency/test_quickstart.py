"""`manage.py quickstart` as somebody runs it who has just fetched the code: real processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError

from tasks_app import lifecycle
from tasks_app.db import server
from tasks_app.management import bootstrap, cli_errors
from tasks_app.management.processes import ManagedProcess, ProcessGroup, StopSignals
from tests.concurrency import own_database
from tests.concurrency.own_database import rows
from tests.factories import ACTOR, make_order
from tests.fakes.held_source import HeldAnswers
from tools.worker_machine import PATIENCE, ROOT, environment, eventually, marked

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="children die with their parent on Linux only"
)
# On PostgreSQL the same programs run in test_promises.py, test_chaos.py and others.
pytestmark = pytest.mark.any_database
BARS = 12_154
TASKS = (
    "SELECT status, source, collected_count, skipped_count FROM tasks_app_collectiontask ORDER BY start_time"
)


LATEST_TABLE = "SELECT name FROM sqlite_master WHERE name = 'axes_accessattemptexpiration'"


@pytest.fixture
def empty_url(tmp_path: Path) -> str:
    """An SQLite file without a single table."""
    (tmp_path / "empty").touch()
    return f"sqlite:///{tmp_path / 'empty'}"


@pytest.fixture
def outdated(database_url: str) -> str:
    """A database without rows, and without the last table of an app: to create all tables takes seconds."""
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as file, file:
        file.execute("DROP TABLE axes_accessattemptexpiration")
        file.execute("DELETE FROM django_migrations WHERE name = '0010_accessattemptexpiration'")
    return database_url


class Quickstart:
    """One run of the command, and every process that belongs to it."""

    def __init__(self, url: str, folder: Path, *options: str, **extra: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self.mark = f"quickstart-{uuid.uuid4().hex}"
        command = [sys.executable, str(ROOT / "manage.py"), "quickstart", *options]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                cwd=folder,  # nothing may depend on the working directory
                env=environment(url, MARK=self.mark, **extra),
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        """What READY tells, once it is there."""
        eventually(lambda: self.line() or self.process.poll() is not None, what="READY")
        assert self.line(), self.err.read_text()
        answer: dict[str, Any] = json.loads(self.line().removeprefix("READY "))
        return answer

    def line(self) -> str:
        lines = [line for line in self.out.read_text().splitlines(keepends=True) if line.startswith("READY ")]
        assert len(lines) <= 1
        return lines[0] if lines and lines[0].endswith("\n") else ""

    def living(self) -> list[int]:
        """Every process that was started by this run, however far down: they inherit its environment."""
        return marked(self.mark)

    def leaves_nothing(self) -> None:
        """A killed process may live until the kernel has delivered its SIGKILL."""
        eventually(lambda: not self.living(), what="the end of all processes")

    def child(self, words: str) -> int | None:
        """The command's own child that was started with these words, not a process of that one's."""
        for pid in sorted(self.living()):
            with suppress(OSError):  # it has just ended
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                if words in line and parent == self.process.pid:
                    return pid
        return None

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def stop(self, signum: int) -> int:
        self.process.send_signal(signum)
        return self.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if sys.platform == "linux":
            for pid in self.living():
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def runs() -> Iterator[list[Quickstart]]:
    """Nothing survives a test."""
    started: list[Quickstart] = []
    yield started
    for run in started:
        run.close()


def ask(access: dict[str, Any], path: str) -> Any:
    """The API's answer to the token."""
    headers = {"Authorization": f"Token {access['token']}"}
    request = urllib.request.Request(f"{access['url']}/api/data-collection/{path}", headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        return json.load(answer)


def kill_and_see_another(run: Quickstart, words: str) -> None:
    """Kills the child that was started with these words, and waits for its successor."""
    victim = run.child(words)
    assert victim
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: run.child(words) not in (None, victim), what=words)


@linux_only
def test_start_migrates_and_collects_until_sigterm(
    outdated: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    """With one worker, without Django's checks and with a cheap hash of the password."""
    quick = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    run = Quickstart(outdated, tmp_path, "--port", "0", "--workers", "1", "--skip-checks", **quick)
    runs.append(run)
    access = run.ready()
    assert list(access) == ["url", "admin_url", "user", "password", "token"]
    assert access["admin_url"] == f"{access['url']}/admin/"
    assert (access["user"], len(access["password"]) >= 12) == ("admin", True)
    assert rows(outdated, LATEST_TABLE) == [("axes_accessattemptexpiration",)]
    eventually(lambda: rows(outdated, TASKS)[0][0] != "running", what="the sample collection")
    (task,) = ask(access, "tasks")
    assert (task["status"], task["collected_count"]) == ("completed", BARS)

    assert run.stop(signal.SIGTERM) == 0
    run.leaves_nothing()
    assert "Traceback" not in run.err.read_text()


@linux_only
def test_killed_program_is_started_again_and_ends_with_its_group(tmp_path: Path) -> None:
    """With programs that begin at once. The real ones are killed by the soak test below."""
    said: list[str] = []
    waits = ["-c", "import signal; signal.pause()"]
    kept = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with ProcessGroup(said.append, StopSignals()) as group:
            for name in ("killed", "other"):
                group.add(ManagedProcess(name, waits, stop_timeout=PATIENCE))
            killed, other = (program.process for program in group.processes)
            killed.kill()
            killed.wait()
            group.restart_dead()
            group.restart_dead()
            assert said == ["The killed has ended. Starting it again."]
            successor = group.processes[0].process
            assert (successor.poll(), successor is killed) == (None, False)
            assert group.processes[1].process is other
        assert {successor.returncode, other.returncode} == {-signal.SIGTERM}
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)


@pytest.mark.soak
def test_once_makes_all_tables_and_collects(empty_url: str, tmp_path: Path, runs: list[Quickstart]) -> None:
    run = Quickstart(empty_url, tmp_path, "--once")
    runs.append(run)
    assert run.wait() == 0, run.err.read_text()
    assert rows(empty_url, TASKS) == [("completed", "sample", BARS, 0)]
    assert f"{BARS:,}" in run.out.read_text()
    assert "Traceback" not in run.err.read_text()
    run.leaves_nothing()


def start_held(answers: HeldAnswers) -> str:
    """Starts a task of one stock, whose request is not answered. Returns its id."""
    answers.hold()
    with own_database.configured(**answers.environment):
        order = make_order(source="held", stock_codes=("000001",))
        return str(lifecycle.start(order, ACTOR, today=order.end_date).pk)


@pytest.mark.soak
def test_ctrl_c_of_once_ends_watching_only(database: str, tmp_path: Path, runs: list[Quickstart]) -> None:
    answers = HeldAnswers(tmp_path / "answers")
    task = start_held(answers)
    run = Quickstart(database, tmp_path, "--once", **answers.environment)
    runs.append(run)
    eventually(lambda: "0/1 stocks" in run.out.read_text(), what="a first line")
    assert task in run.out.read_text()
    assert run.stop(signal.SIGINT) == 1
    assert "Traceback" not in run.err.read_text()
    run.leaves_nothing()
    assert rows(database, TASKS) == [("running", "held", 0, 0)]


@pytest.mark.soak
def test_ctrl_c_of_watch_ends_watching_only(database: str, tmp_path: Path) -> None:
    answers = HeldAnswers(tmp_path / "answers")
    task = start_held(answers)
    status, said = interrupt_watch(database, **answers.environment)
    assert (status, f"collect cancel {task[:8]}" in said) == (1, True)
    assert rows(database, TASKS) == [("running", "held", 0, 0)]


def interrupt_watch(url: str, **extra: str) -> tuple[int, str]:
    """Sends Ctrl-C to `collect watch` after its first line. Returns exit code and the rest."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "collect", "--skip-checks", "watch"],
        env=environment(url, **extra),
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and so would all that this test starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as watching:
        try:
            assert watching.stdout
            assert "0/1 stocks" in watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            rest, _ = watching.communicate(timeout=PATIENCE)
        finally:
            watching.kill()
    return watching.returncode, rest


def test_unreachable_database_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    place = {"NAME": "quotes", "USER": "ann", "PASSWORD": "s3cret", "HOST": "127.0.0.1", "PORT": "1"}
    away = SimpleNamespace(vendor="postgresql", settings_dict=place, ensure_connection=refuse)
    monkeypatch.setattr(cli_errors, "connection", away)
    monkeypatch.setattr(server, "connection", away)
    with pytest.raises(cli_errors.DatabaseUnavailable) as error:
        bootstrap.migrate_database()
    assert "postgresql://ann@127.0.0.1:1/quotes does not respond: connection refused" in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.soak
@pytest.mark.parametrize("option", ["--once", "--no-collect"])
def test_unreachable_database_is_reported(option: str, tmp_path: Path, runs: list[Quickstart]) -> None:
    url = "postgresql://ann:s3cret@127.0.0.1:1/quotes"
    run = Quickstart(url, tmp_path, option, "--port", "0", "--skip-checks")
    runs.append(run)
    assert run.wait() == 1
    said = run.err.read_text()
    assert "postgresql://ann@127.0.0.1:1/quotes does not respond" in said
    assert "s3cret" not in said
    assert "Traceback" not in said
    run.leaves_nothing()


@pytest.mark.soak
@linux_only
def test_killed_programs_are_restarted_or_leave_nothing(
    database_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    run = Quickstart(database_url, tmp_path, "--port", "0", "--no-collect")
    runs.append(run)
    access = run.ready()
    for words in ("manage.py worker", "-m gunicorn"):
        kill_and_see_another(run, words)
        assert ask(access, "tasks") == []
    run.stop(signal.SIGKILL)
    run.leaves_nothing()
