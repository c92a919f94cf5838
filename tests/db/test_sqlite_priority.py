"""People write before workers on SQLite."""

import threading
import time

import pytest
from django.db import connection, connections

from tasks_app.db import sqlite_priority

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite needs turns")


@pytest.fixture
def file_database(monkeypatch, tmp_path):
    """As if the database were this file; nothing connects to it."""
    monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "db.sqlite3"))


class Person(threading.Thread):
    """Is ahead from `start()` until `done` is set; the settings are a thread's own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.database, self.there, self.done = name, threading.Event(), threading.Event()

    def run(self) -> None:
        connection.settings_dict["NAME"] = self.database
        with sqlite_priority.interactive_write():
            self.there.set()
            self.done.wait(10)


@pytest.fixture
def person(file_database):
    person = Person(connection.settings_dict["NAME"])
    person.start()
    assert person.there.wait(10)
    yield person
    person.done.set()
    person.join()


def test_a_worker_waits_until_the_person_is_done(person):
    threading.Timer(0.2, person.done.set).start()
    sqlite_priority.yield_to_interactive()
    assert person.done.is_set()


def test_a_worker_waits_no_longer_than_a_second(person):
    began = time.monotonic()
    sqlite_priority.yield_to_interactive()
    assert not person.done.is_set()
    assert time.monotonic() - began >= sqlite_priority.LONGEST_SECONDS


def test_a_worker_goes_on_at_once_when_nobody_is_ahead(file_database):
    sqlite_priority.yield_to_interactive()
    with sqlite_priority.interactive_write():
        pass
    sqlite_priority.yield_to_interactive()


def test_within_a_transaction_nobody_waits_for_a_turn(person, monkeypatch):
    monkeypatch.setattr(connections["default"], "in_atomic_block", True)
    with sqlite_priority.interactive_write():
        assert person.is_alive()


def test_a_database_whose_path_speaks_of_memory_is_a_file_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "memory").mkdir()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "memory" / "db.sqlite3"))
    with sqlite_priority.interactive_write():
        pass
    assert (tmp_path / "memory" / "db.sqlite3-turn").exists()


def test_a_database_in_memory_needs_no_turns(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(connection.settings_dict, "NAME", "file:memorydb_default?mode=memory&cache=shared")
    with sqlite_priority.interactive_write():
        sqlite_priority.yield_to_interactive()
    assert not list(tmp_path.iterdir())
