"""Settings come from the environment, typed, and a bad one stops the program by its name."""

import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from environs import Env, EnvError

from tasks_app import checks, conf

ROOT = Path(__file__).resolve().parents[2]


def read(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return conf.read(Env())


def test_the_defaults_stand_in_the_class(monkeypatch):
    for name in list(os.environ):
        if name.startswith("COLLECTOR_"):
            monkeypatch.delenv(name)
    assert conf.read(Env()) == conf.Conf()


def test_values_are_read_with_their_types(monkeypatch):
    read_back = read(
        monkeypatch,
        COLLECTOR_LEASE="20.5",
        COLLECTOR_FAN_OUT="4",
        COLLECTOR_SOURCES="mine=my.module:Mine, other=o:O",
        COLLECTOR_SIMULATED_STOCKS="12",
        COLLECTOR_SIMULATED_HANG_RATE="0.5",
    )
    assert (read_back.lease, read_back.fan_out) == (20.5, 4)
    assert read_back.sources == (("mine", "my.module:Mine"), ("other", "o:O"))
    assert (read_back.simulated.stocks, read_back.simulated.hang_rate) == (12, 0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COLLECTOR_LEASE", "soon"),
        ("COLLECTOR_LEASE", "0"),
        ("COLLECTOR_FAN_OUT", "0"),
        ("COLLECTOR_FAN_OUT", "1.5"),
        ("COLLECTOR_WORKERS", "-1"),
        ("COLLECTOR_SOURCES", "mine"),
        ("COLLECTOR_SOURCES", "mine=no_colon"),
        ("COLLECTOR_SIMULATED_FAILURE_RATE", "1.1"),
        ("COLLECTOR_SIMULATED_BARS", "many"),
    ],
)
def test_a_malformed_value_is_an_error_that_names_the_variable(monkeypatch, name, value):
    with pytest.raises(EnvError, match=name):
        read(monkeypatch, **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("COLLECTOR_LEASE", "soon", "COLLECTOR_LEASE"),
        ("DATABASE_URL", "nonsense://", "DATABASE_URL"),
        ("DJANGO_DEBUG", "off", "DJANGO_SECRET_KEY"),
        ("DJANGO_DEBUG", "perhaps", "DJANGO_DEBUG"),
    ],
)
def test_a_bad_environment_stops_the_program_in_one_line(name, value, said):
    environment = {**os.environ, name: value}
    environment.pop("DJANGO_SECRET_KEY", None)
    environment["DJANGO_SETTINGS_MODULE"] = "collector_site.settings"
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lease_shorter_than_three_heartbeats_is_an_error(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, lease=2, heartbeat=1)
    assert [error.id for error in checks.check_times()] == ["collector.E001"]


@pytest.mark.parametrize("sources", [(("mine", "no.such:Thing"),), (("mine", "tests.make:Nothing"),)])
def test_a_source_that_does_not_load_is_an_error(settings, sources):
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=sources)
    assert [error.id for error in checks.check_sources()] == ["collector.E002"]


def test_a_default_source_that_is_not_there_is_an_error(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, default_source="nowhere")
    assert [error.id for error in checks.check_sources()] == ["collector.E003"]


def test_retry_is_longer_than_a_job_can_take(settings):
    q = settings.Q_CLUSTER
    assert q["retry"] > q["timeout"] * (2 + (q["queue_limit"] + 1) / q["workers"])
    assert q["timeout"] > settings.COLLECTOR.slice_seconds + settings.COLLECTOR.fetch_timeout


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_readme_lists_every_setting_with_its_default(page):
    text = (ROOT / page).read_text()
    names = [f"COLLECTOR_{f.name.upper()}" for f in fields(conf.Conf) if f.name != "simulated"]
    names += [f"COLLECTOR_SIMULATED_{f.name.upper()}" for f in fields(conf.Simulated)]
    missing = [name for name in names if not re.search(rf"`{name}`", text)]
    assert not missing
