"""`manage.py quickstart` as somebody runs it who has just fetched the code: real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.concurrency import own_database
from tests.concurrency.own_database import manage, on_postgresql
from tools.worker_machine import ROOT, environment, eventually, marked

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="children die with their parent on Linux only"
)
BARS = 12_154


@pytest.fixture
def empty_url(tmp_path: Path) -> Iterator[str]:
    """A database without a single table."""
    if on_postgresql():
        source = urlsplit(os.environ["DATABASE_URL"])._replace(path="/template1").geturl()
    else:
        source = f"sqlite:///{tmp_path / 'empty'}"
        (tmp_path / "empty").touch()
    with own_database.copied(source, tmp_path) as url:
        yield url


class Quickstart:
    """One run of the command, and every process that belongs to it."""

    def __init__(self, url: str, folder: Path, *options: str, **extra: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self.mark = f"quickstart-{folder.name}-{time.monotonic_ns()}"
        command = [sys.executable, str(ROOT / "manage.py"), "quickstart", *options]
        self.began = time.monotonic()
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
        eventually(lambda: self.line() or self.process.poll() is not None, 60, "READY")
        assert self.line(), self.err.read_text()
        print(f"READY after {time.monotonic() - self.began:.1f} s")
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
        eventually(lambda: not self.living(), 5, "the end of all processes")

    def child(self, words: str) -> int | None:
        """The command's own child that was started with these words, not a process of that one's."""
        for pid in sorted(self.living()):
            with suppress(OSError):  # it has just ended
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
                if words in line and parent == self.process.pid:
                    return pid
        return None

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(30)

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
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def latest(url: str) -> dict[str, Any]:
    tasks = json.loads(manage(url, "collect", "list", "--json"))
    newest: dict[str, Any] = tasks[0]
    return newest


def test_once_collects_the_sample_then_skips_it(
    empty_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    for collected in (BARS, 0):
        run = Quickstart(empty_url, tmp_path, "--once")
        runs.append(run)
        assert run.process.wait(60) == 0, run.err.read_text()
        print(f"once took {time.monotonic() - run.began:.1f} s")
        task = latest(empty_url)
        assert (task["status"], task["collected_count"]) == ("completed", collected)
        assert task["skipped_count"] == BARS - collected
        assert f"{BARS:,}" in run.out.read_text()
        assert "Traceback" not in run.err.read_text()
        run.leaves_nothing()


@pytest.mark.any_database
def test_once_continues_the_task_of_a_killed_run(
    database_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    days = ["--start-date", "2000-01-01", "--end-date", "2013-12-31"]
    manage(database_url, "collect", "start", "--source", "sample", "--market", "US", *days)
    left = latest(database_url)
    run = Quickstart(database_url, tmp_path, "--once")
    runs.append(run)
    assert run.process.wait(60) == 0, run.err.read_text()
    assert (latest(database_url)["task_id"], latest(database_url)["status"]) == (left["task_id"], "completed")


@pytest.mark.any_database
def test_once_waits_for_another_task(database_url: str, tmp_path: Path, runs: list[Quickstart]) -> None:
    manage(database_url, "collect", "start", "--source", "simulated", "--codes", "000001,000002")
    other = latest(database_url)["task_id"]
    run = Quickstart(database_url, tmp_path, "--once")
    runs.append(run)
    assert run.process.wait(60) == 0, run.err.read_text()
    assert other in run.out.read_text()
    task = latest(database_url)
    assert (task["source"], task["collected_count"]) == ("sample", BARS)


@pytest.mark.any_database
def test_interrupted_once_leaves_the_task_running(
    database_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    manage(database_url, "collect", "start", "--source", "simulated", "--codes", "000001")
    run = Quickstart(database_url, tmp_path, "--once", COLLECTOR_SIMULATED_LATENCY="60")
    runs.append(run)
    eventually(lambda: "stocks" in run.out.read_text(), 30, "a first line")
    assert run.stop(signal.SIGINT) == 1
    assert "Traceback" not in run.err.read_text()
    assert latest(database_url)["status"] == "running"
    run.leaves_nothing()


def test_ready_line_gives_access_and_sigterm_stops(
    empty_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    run = Quickstart(empty_url, tmp_path, "--port", "0")
    runs.append(run)
    access = run.ready()
    assert list(access) == ["url", "admin_url", "user", "password", "token"]
    assert access["admin_url"] == f"{access['url']}/admin/"
    assert (access["user"], len(access["password"]) >= 12) == ("admin", True)
    eventually(lambda: ask(access, "tasks")[0]["status"] == "completed", 30, "the sample collection")
    assert ask(access, "tasks")[0]["collected_count"] == BARS
    assert run.stop() == 0
    run.leaves_nothing()
    assert "Traceback" not in run.err.read_text()

    run = Quickstart(empty_url, tmp_path, "--port", "0")
    runs.append(run)
    second = run.ready()
    assert second["password"] is None
    assert second["token"] != access["token"]
    assert len(ask(second, "tasks")) == len(ask({**second, "token": access["token"]}, "tasks")) == 1
    assert run.stop(signal.SIGINT) == 0
    run.leaves_nothing()


@pytest.mark.any_database
def test_password_from_environment_without_collection(
    database_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    options = ["--port", "0", "--no-collect", "--workers", "1"]
    run = Quickstart(database_url, tmp_path, *options, DJANGO_SUPERUSER_PASSWORD="given-by-me")
    runs.append(run)
    access = run.ready()
    assert access["password"] == "given-by-me"
    assert ask(access, "tasks") == []


@pytest.mark.any_database
def test_taken_port_is_reported_before_the_start(
    empty_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = Quickstart(empty_url, tmp_path, "--port", str(taken.getsockname()[1]))
        runs.append(run)
        assert run.process.wait(30) == 1
    assert "--port" in run.err.read_text()
    assert "Traceback" not in run.err.read_text()
    assert run.out.read_text() == ""


@pytest.mark.any_database
@pytest.mark.parametrize("option", ["--once", "--no-collect"])
def test_unreachable_database_is_reported(option: str, tmp_path: Path, runs: list[Quickstart]) -> None:
    run = Quickstart("postgresql://ann:s3cret@127.0.0.1:1/quotes", tmp_path, option, "--port", "0")
    runs.append(run)
    assert run.process.wait(30) == 1
    said = run.err.read_text()
    assert "postgresql://ann@127.0.0.1:1/quotes does not respond" in said
    assert "s3cret" not in said
    assert "Traceback" not in said


@pytest.mark.any_database
@linux_only
def test_killed_quickstart_leaves_no_orphans(
    database_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    run = Quickstart(database_url, tmp_path, "--port", "0")
    runs.append(run)
    run.ready()
    assert len(run.living()) > 5
    run.stop(signal.SIGKILL)
    eventually(lambda: not run.living(), 20, "the end of all processes")


@pytest.mark.any_database
@linux_only
@pytest.mark.parametrize("words", ["manage.py worker", "-m gunicorn"])
def test_killed_child_is_restarted(
    words: str, database_url: str, tmp_path: Path, runs: list[Quickstart]
) -> None:
    run = Quickstart(database_url, tmp_path, "--port", "0")
    runs.append(run)
    access = run.ready()
    victim = run.child(words)
    assert victim
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: run.child(words) not in (None, victim), 20, "another one")
    assert isinstance(ask(access, "tasks"), list)
    assert run.stop() == 0
    run.leaves_nothing()


@pytest.mark.any_database
def test_ctrl_c_ends_watching_only(database_url: str) -> None:
    manage(database_url, "collect", "start", "--source", "simulated", "--codes", "000001")
    command = [sys.executable, str(ROOT / "manage.py"), "collect", "watch"]
    with subprocess.Popen(
        command,
        env=environment(database_url),
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and so would all that this test starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as watching:
        try:
            assert watching.stdout
            assert "0/1 stocks" in watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            rest, _ = watching.communicate(timeout=20)
        finally:
            watching.kill()
    assert watching.returncode == 1
    task = latest(database_url)
    assert task["status"] == "running"
    assert f"collect cancel {task['task_id'][:8]}" in rest
