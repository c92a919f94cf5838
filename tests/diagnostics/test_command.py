"""`manage.py doctor`: what it prints, and its exit codes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfoNotFoundError

import pytest
from django.core.management import call_command

from tasks_app.diagnostics import installation, settings_values
from tasks_app.sources import traits
from tests.diagnostics.faults import FAULTS

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def doctor(*arguments: str) -> tuple[int, str]:
    """Returns the exit code and what was printed."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    return 0, out.getvalue()


def as_json() -> Any:
    return json.loads(doctor("--json")[1])


def test_well_installation_exits_with_0(site):
    code, text = doctor()
    assert code == 0
    assert "All is well." in text
    assert "Active workers: 2 on here." in text


def test_warning_exits_with_1_and_fault_with_2(site):
    FAULTS["backups_unknown"](site)
    assert doctor()[0] == 1
    FAULTS["no_workers"](site)
    code, text = doctor("--quiet")
    assert code == 2
    assert "Faults: 1, warnings: 1." in text
    assert "[no_workers · docs/runbook.md#collectornoworkers]" in text
    assert "✓" not in text


def test_database_that_is_away_is_a_fault_and_the_rest_is_examined(site):
    FAULTS["database_unreachable"](site)
    code, text = doctor()
    assert code == 2
    assert "does not respond: connection refused" in text
    assert "not examined: it needs the database" in text
    assert "The newest backup is" in text


@pytest.mark.soak  # test_faults has the finding; a whole program, the drills of the doctor
@pytest.mark.any_database  # of SQLite
def test_file_that_is_no_database_is_told_as_damaged(tmp_path):
    file = tmp_path / "d.sqlite3"
    file.write_bytes(b"\xff" * 8192)
    command = [sys.executable, "manage.py", "doctor", "--json"]
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{file}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["areas"][0]["findings"][0]["code"] == "database_damaged"


@pytest.mark.any_database  # known before any query
def test_missing_time_zones_are_told_although_no_source_loads(site, monkeypatch):
    for module in (installation, traits):
        monkeypatch.setattr(module, "ZoneInfo", Mock(side_effect=ZoneInfoNotFoundError))
    site.conf(lease=15.5)  # sources are read once for the same settings
    printed = as_json()
    found = {each["code"] for area in printed["areas"] for each in area["findings"]}
    assert {"time_zone_data_missing", "source_unusable"} <= found
    assert not {"check_failed", "source_broken"} & found
    assert printed["settings"]


@pytest.mark.any_database  # an error ends the transaction of the test on PostgreSQL
def test_missing_tables_are_told_once(site):
    from django.db import connection

    if connection.vendor != "sqlite":
        pytest.skip("an error ends the transaction of the test")
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_q_ormq")
    found = {area["name"]: area for area in as_json()["areas"]}
    assert found["queue"]["skipped"] is True
    assert found["workers"]["skipped"] is False


def test_json_has_findings_versions_and_settings(site):
    FAULTS["backups_unknown"](site)
    printed = as_json()
    assert (printed["result"], printed["warnings"], printed["faults"]) == ("warning", 1, 0)
    (found,) = next(area["findings"] for area in printed["areas"] if area["name"] == "backups")
    assert found["code"] == "backups_unknown"
    assert found["see"] == "docs/operations.md#backups"
    assert printed["versions"]["django"].startswith("5.")
    assert {"variable": "COLLECTOR_LEASE", "value": "15.0", "origin": "default"} in printed["settings"]


@pytest.mark.any_database  # masked in Python
def test_secrets_are_masked(site, monkeypatch):
    monkeypatch.setenv(
        "DATABASE_URL", "postgresql://ann:pass-word@db.example.org/quotes?sslpassword=other-word"
    )
    monkeypatch.setenv("REDIS_URL", "redis://:third-word@cache.example.org/0")
    monkeypatch.setenv("COLLECTOR_METRICS_TOKEN", "fourth-word-of-many")
    monkeypatch.setenv("DJANGO_SECRET_KEY", "fifth-word")
    _code, text = doctor("--json")
    shown = {each["variable"]: each for each in json.loads(text)["settings"]}
    assert "-word" not in text
    assert shown["DATABASE_URL"]["value"] == (
        "postgresql://ann:********@db.example.org/quotes?sslpassword=********"
    )
    assert shown["DATABASE_URL"]["origin"] == "environment"
    assert shown["REDIS_URL"]["value"] == "redis://:********@cache.example.org/0"


@pytest.mark.any_database  # masked in Python
@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:////srv/db.sqlite3", "sqlite:////srv/db.sqlite3"),
        ("postgresql://ann@db/quotes?sslmode=require", "postgresql://ann@db/quotes?sslmode=require"),
        ("redis://u:p%40w@h:6379/0", "redis://u:********@h:6379/0"),
        ("postgresql://[oops", "********"),
        ("", ""),
    ],
)
def test_addresses_are_shown_without_passwords(address, shown):
    assert settings_values.masked_url(address) == shown


@pytest.mark.any_database  # read without a query
def test_settings_of_sources_tell_their_origin(site):
    text = doctor("--show-settings")[1]
    (line,) = [line for line in text.splitlines() if line.startswith("COLLECTOR_AKSHARE_RATE")]
    assert line.split() == ["COLLECTOR_AKSHARE_RATE", "0.25", "default"]


@pytest.mark.any_database  # told before any query
def test_malformed_setting_is_a_fault(tmp_path):
    command = [sys.executable, "manage.py", "doctor"]
    environment = {**os.environ, "COLLECTOR_LEASE": "long", "DATABASE_URL": f"sqlite:///{tmp_path}/d.sqlite3"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "COLLECTOR_LEASE" in done.stderr
