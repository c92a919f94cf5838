"""What a worker machine tells of itself: one row, kept fresh, and deleted when the machine is gone."""

import logging
import os
import socket
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from tasks_app.db import functions
from tasks_app.diagnostics import versions
from tasks_app.models import WorkerMachine
from tasks_app.workers import machine_report
from tasks_app.workers.process_state import shared_states

pytestmark = pytest.mark.django_db


def test_machine_has_one_row_that_is_kept_fresh():
    machine_report.store(os.getpid(), shared_states(2))
    WorkerMachine.objects.update(seen_at=Now() - timedelta(hours=1))
    machine_report.store(os.getpid(), shared_states(3))
    row = WorkerMachine.objects.get()
    assert (row.host, row.pid, row.workers) == (socket.gethostname(), os.getpid(), 3)
    assert row.versions == versions.versions()
    assert WorkerMachine.objects.filter(seen_at__gt=Now() - timedelta(minutes=5)).exists()


def test_rows_of_machines_that_are_gone_are_deleted():
    machine_report.store(os.getpid(), shared_states(1))
    WorkerMachine.objects.update(pid=1, seen_at=Now() - timedelta(days=2))
    machine_report.store(os.getpid(), shared_states(1))
    assert WorkerMachine.objects.get().pid == os.getpid()


def test_database_that_is_away_is_logged(monkeypatch, caplog):
    def refuse(*_):
        raise OperationalError("connection refused\nIs it running?")

    monkeypatch.setattr(machine_report, "clock_offset", refuse)
    with caplog.at_level(logging.WARNING, "tasks_app.worker"):
        machine_report.store(os.getpid(), shared_states(1))
    assert "the machine is not reported: connection refused" in caplog.text


def test_clock_offset_is_this_machines_against_the_databases(monkeypatch):
    assert abs(functions.clock_offset()) < 60
    real = time.time
    monkeypatch.setattr(functions.time, "time", lambda: real() + 3600)
    expected = 0.0 if connection.vendor == "sqlite" else 3600.0  # SQLite has no clock of its own
    assert abs(functions.clock_offset() - expected) < 60
