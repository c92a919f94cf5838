"""Users write before workers on SQLite."""

import threading

import pytest
from django.db import connection, connections

from tasks_app.db import sqlite_priority
from tests.fakes.clock import Clock

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite needs it")


@pytest.fixture
def file_database(monkeypatch, tmp_path):
    """Pretends that the database is this file; nothing connects to it."""
    monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "db.sqlite3"))


class UserWrite(threading.Thread):
    """Holds the lock from `start()` until `done` is set; connection settings are per thread."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.database, self.started_writing, self.done = name, threading.Event(), threading.Event()

    def run(self) -> None:
        connection.settings_dict["NAME"] = self.database
        with sqlite_priority.interactive_write():
            self.started_writing.set()
            self.done.wait()


@pytest.fixture
def user(file_database):
    user = UserWrite(connection.settings_dict["NAME"])
    user.start()
    assert user.started_writing.wait(60)
    yield user
    user.done.set()
    user.join()


def test_worker_waits_for_the_user(user, monkeypatch):
    class UserClock(Clock):
        def sleep(self, seconds):
            super().sleep(seconds)
            if self.elapsed > 0.2:
                user.done.set()
                user.join()

    monkeypatch.setattr(sqlite_priority, "time", clock := UserClock())
    sqlite_priority.yield_to_interactive()
    assert user.done.is_set()
    assert clock.elapsed == pytest.approx(0.2, abs=2 * sqlite_priority.RETRY_SECONDS)


def test_worker_waits_at_most_a_second(user, monkeypatch):
    monkeypatch.setattr(sqlite_priority, "time", clock := Clock())
    sqlite_priority.yield_to_interactive()
    assert not user.done.is_set()
    assert clock.elapsed == pytest.approx(1.0, abs=2 * sqlite_priority.RETRY_SECONDS)


def test_worker_does_not_wait_without_a_user(file_database):
    sqlite_priority.yield_to_interactive()
    with sqlite_priority.interactive_write():
        pass
    sqlite_priority.yield_to_interactive()


def test_user_in_a_transaction_does_not_wait(user, monkeypatch):
    monkeypatch.setattr(connections["default"], "in_atomic_block", True)
    with sqlite_priority.interactive_write():
        assert user.is_alive()


def test_path_containing_memory_is_still_a_file(monkeypatch, tmp_path):
    (tmp_path / "memory").mkdir()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "memory" / "db.sqlite3"))
    with sqlite_priority.interactive_write():
        pass
    assert (tmp_path / "memory" / "db.sqlite3-turn").exists()


def test_in_memory_database_needs_no_lock(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(connection.settings_dict, "NAME", "file:memorydb_default?mode=memory&cache=shared")
    with sqlite_priority.interactive_write():
        sqlite_priority.yield_to_interactive()
    assert not list(tmp_path.iterdir())
