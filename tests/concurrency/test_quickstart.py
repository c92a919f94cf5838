"""`manage.py quickstart` as somebody runs it who has just fetched the code: real processes."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tasks_app import lifecycle
from tests.concurrency import own_database
from tests.concurrency.own_database import on_postgresql, rows
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


@pytest.fixture
def empty_url(template_url: str, tmp_path: Path) -> Iterator[str]:
    """A database without a single table; on PostgreSQL one without rows.

    That an empty PostgreSQL is migrated is what the template's own migration shows, and it takes seconds.
    """
    source = template_url
    if not on_postgresql():
        source = f"sqlite:///{tmp_path / 'empty'}"
        (tmp_path / "empty").touch()
    with own_database.copied(source, tmp_path) as url:
        yield url


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
def test_first_start_collects_restarts_its_worker_and_is_stopped_by_sigterm_only(
    empty_url: str, tmp_path: Path, runs: list[Quickstart], django_db_blocker: Any
) -> None:
    answers = HeldAnswers(tmp_path / "answers")
    run = Quickstart(empty_url, tmp_path, "--port", "0", **answers.environment)
    runs.append(run)
    access = run.ready()
    assert list(access) == ["url", "admin_url", "user", "password", "token"]
    assert access["admin_url"] == f"{access['url']}/admin/"
    assert (access["user"], len(access["password"]) >= 12) == ("admin", True)
    eventually(lambda: rows(empty_url, TASKS)[0][0] != "running", what="the sample collection")
    (task,) = ask(access, "tasks")
    assert (task["status"], task["collected_count"]) == ("completed", BARS)

    kill_and_see_another(run, "manage.py worker")
    with own_database.opened(empty_url, django_db_blocker):
        held = start_held(answers)
    status, said = interrupt_watch(empty_url, **answers.environment)
    assert status == 1
    assert f"collect cancel {held[:8]}" in said
    assert rows(empty_url, TASKS)[1] == ("running", "held", 0, 0)

    answers.release_all()
    assert run.stop(signal.SIGTERM) == 0
    run.leaves_nothing()
    assert "Traceback" not in run.err.read_text()


@pytest.mark.soak
def test_once_collects_the_sample(database_url: str, tmp_path: Path, runs: list[Quickstart]) -> None:
    run = Quickstart(database_url, tmp_path, "--once")
    runs.append(run)
    assert run.wait() == 0, run.err.read_text()
    assert rows(database_url, TASKS) == [("completed", "sample", BARS, 0)]
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


@pytest.mark.parametrize("option", ["--once", pytest.param("--no-collect", marks=pytest.mark.soak)])
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
