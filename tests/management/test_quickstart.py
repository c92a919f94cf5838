"""`manage.py quickstart`: what it does itself; tests/concurrency starts all its programs."""

import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from knox.crypto import hash_token
from knox.models import AuthToken
from rich.console import Console

from tasks_app import lifecycle
from tasks_app.management import bootstrap, kept_token, progress_view, web_server
from tasks_app.management.commands import quickstart
from tasks_app.management.commands.quickstart import ACTOR, SAMPLE, Command
from tasks_app.models import ApiToken, AuditEvent, CollectionTask
from tasks_app.orders import order
from tasks_app.orders.order import Order
from tests.factories import make_task, make_user
from tools.in_process import work
from tools.worker_machine import PATIENCE, eventually

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def token_file(tmp_path: Path, settings: Any) -> Path:
    settings.QUICKSTART_TOKEN_FILE = tmp_path / "token"
    return tmp_path / "token"


@pytest.fixture
def command() -> Command:
    """The command, after it has begun."""
    out = StringIO()
    command = Command(stdout=out)
    command.console = Console(file=out, width=200)
    return command


def printed(command: Command) -> str:
    return command.console.file.getvalue()


def collect(command: Command) -> CollectionTask:
    """Returns the ended sample collection; the slices run in this process."""
    return command.collect(progress_view.TaskWatcher(command.console, on_poll=work))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Order:
    """The last weeks of the sample, in place of all of it, which tests/concurrency collects."""
    last_weeks = replace(SAMPLE, start_date=date(2013, 2, 1))
    monkeypatch.setattr(quickstart, "SAMPLE", last_weeks)
    return last_weeks


def test_once_continues_the_task_of_a_killed_run(command: Command, short: Order) -> None:
    left = lifecycle.start(short, ACTOR, today=order.latest_today())
    ended = collect(command)
    assert (ended.pk, ended.status) == (left.pk, "completed")


@pytest.mark.usefixtures("short")
def test_once_waits_for_another_task(command: Command) -> None:
    other = make_task(stock_codes=("000001", "000002"))
    ended = collect(command)
    other.refresh_from_db()
    assert (other.status, ended.source, ended.collected_count) == ("completed", "sample", 100)
    assert str(other.pk) in printed(command)


def test_two_processes_serve_the_site() -> None:
    with web_server.listen("127.0.0.1", 0) as listener:
        assert "--workers=2" in web_server.gunicorn_command(listener)


def test_first_start_begins_the_sample_collection_once(command: Command) -> None:
    with web_server.listen("127.0.0.1", 0) as listener:
        command.prepare(listener, no_collect=True)
        assert not CollectionTask.objects.exists()
        command.prepare(listener, no_collect=False)
        command.prepare(listener, no_collect=False)
    assert order.order_from_task(CollectionTask.objects.get()) == SAMPLE


def test_later_start_keeps_password_and_token(command: Command) -> None:
    with web_server.listen("127.0.0.1", 0) as listener:
        first, second = (command.prepare(listener, no_collect=True) for _ in range(2))
    assert User.objects.get().check_password(first["password"])
    assert second["password"] is None
    assert first["token"] == second["token"]
    assert AuthToken.objects.count() == 1
    headers = {"Authorization": f"Token {second['token']}"}
    assert Client().get("/api/data-collection/tasks", headers=headers).status_code == 200
    command.announce(second)
    assert "as before" in printed(command)


def test_first_start_leaves_a_record_of_its_user_and_token(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_server.listen("127.0.0.1", 0) as listener:
        monkeypatch.setattr(command, "run", lambda: command.prepare(listener, no_collect=True))
        for _ in range(2):
            command.handle()
    token = AuthToken.objects.get()
    columns = ("verb", "subject", "channel", "object_id", "object_name", "detail")
    assert list(AuditEvent.objects.order_by("pk").values_list(*columns)) == [
        ("created", "user", "command", str(User.objects.get().pk), "admin", ""),
        (
            "created",
            "authtoken",
            "command",
            token.token_key,
            f"admin {token.token_key[:8]}",
            "quickstart (operate)",
        ),
    ]


def test_token_is_kept_for_its_user_only(token_file: Path) -> None:
    user = make_user("admin", is_superuser=True)
    secret = kept_token.keep_token(user)
    assert token_file.read_text() == f"{secret}\n"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert kept_token.keep_token(make_user("other")) != secret


def spoil_revoke(path: Path) -> None:
    AuthToken.objects.all().delete()


def spoil_expiry(path: Path) -> None:
    AuthToken.objects.update(expiry=timezone.now())


def spoil_scope(path: Path) -> None:
    ApiToken.objects.update(scope="read")


def spoil_text(path: Path) -> None:
    path.write_text("no\0token")


def spoil_mode(path: Path) -> None:
    path.chmod(0o644)


@pytest.mark.parametrize("spoil", [spoil_revoke, spoil_expiry, spoil_scope, spoil_text, spoil_mode])
def test_token_that_no_longer_works_is_replaced(token_file: Path, spoil: Callable[[Path], None]) -> None:
    user = make_user("admin", is_superuser=True)
    first = kept_token.keep_token(user)
    spoil(token_file)
    second = kept_token.keep_token(user)
    assert second != first
    assert kept_token.keep_token(user) == second
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_token_is_given_even_if_it_can_not_be_kept(
    token_file: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    token_file.touch()
    settings.QUICKSTART_TOKEN_FILE = token_file / "below-a-file"
    secret = kept_token.keep_token(make_user("admin"))
    assert AuthToken.objects.get(digest=hash_token(secret)).details.name == "quickstart"
    assert "can't be kept" in caplog.text
    assert secret not in caplog.text


def test_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "given-by-me")
    user, password = bootstrap.ensure_admin()
    assert password == "given-by-me"
    assert user.check_password("given-by-me")


def test_taken_port_is_reported_before_the_start(own_signals: None) -> None:
    out = StringIO()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CommandError, match="--port"):
        call_command("quickstart", "--port", str(taken.getsockname()[1]), stdout=out)
    assert out.getvalue() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which signals a program takes")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stop_before_the_beginning_is_clean(signum: signal.Signals) -> None:
    command = [sys.executable, "manage.py", "quickstart", "--no-collect", "--port", "0"]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, stderr=subprocess.PIPE) as process:
        status = Path(f"/proc/{process.pid}/status")
        eventually(lambda: _takes(status.read_text(), signal.SIGTERM), what="its handler")
        process.send_signal(signum)
        assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (0, b"")


def _takes(status: str, signum: int) -> bool:
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signum - 1) & 1)


def test_addresses_that_lead_to_https_are_told(command: Command, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    command.announce(dict.fromkeys(("url", "admin_url", "user", "password", "token"), "x"))
    assert "DJANGO_HTTPS=off" in printed(command)
