"""Settings: read from the environment, typed; a malformed one stops the program and is named."""

import os
import re
import runpy
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from environs import Env, EnvError

from tasks_app import checks, conf, source_settings
from tasks_app.sources import registry
from tasks_app.sources.simulated.source import SimulatedSource
from tasks_app.workers import worker_process
from tests.fakes.scripted_sources import First

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = str(ROOT / "collector_site" / "settings.py")


def read(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return conf.read(Env())


def test_defaults_stand_in_the_class(monkeypatch):
    for name in list(os.environ):
        if name.startswith("COLLECTOR_"):
            monkeypatch.delenv(name)
    assert conf.read(Env()) == conf.Conf()


def test_values_have_their_types(monkeypatch):
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


def test_origins_are_parsed(monkeypatch):
    read_back = read(monkeypatch, COLLECTOR_CORS_ORIGINS="https://a.example, http://localhost:3000")
    assert read_back.cors_origins == ("https://a.example", "http://localhost:3000")


def test_rates_caps_and_fallbacks_are_parsed(monkeypatch):
    read_back = read(
        monkeypatch,
        COLLECTOR_RATES="mine=0.5, other=3",
        COLLECTOR_DAILY_CAPS="mine=5000",
        COLLECTOR_FALLBACKS="CN=akshare > baostock>csv, HK=akshare",
    )
    assert read_back.rates == (("mine", 0.5), ("other", 3.0))
    assert read_back.daily_caps == (("mine", 5000),)
    assert read_back.fallbacks == (("CN", ("akshare", "baostock", "csv")), ("HK", ("akshare",)))


@pytest.mark.parametrize(
    ("settings", "rate", "daily"),
    [
        ({}, 2.0, 100),
        ({"rates": (("mine", 0.5),), "daily_caps": (("mine", 7),)}, 0.5, 7),
        ({"rates": (("other", 0.5),)}, 2.0, 100),
        ({"no_throttle": True, "rates": (("mine", 0.5),)}, 0.0, 0),
    ],
)
def test_settings_override_declared_limits(monkeypatch, settings, rate, daily):
    monkeypatch.setattr(First, "rate", 2.0)
    monkeypatch.setattr(First, "daily", 100)
    registry.traits.cache_clear()
    limits = registry.limits(
        "mine", conf.Conf(sources=(("mine", "tests.fakes.scripted_sources:First"),), **settings)
    )
    registry.traits.cache_clear()
    assert (limits.rate, limits.daily, limits.time_zone) == (rate, daily, "Asia/Shanghai")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fallbacks", (("CN", ("simulated", "nowhere")),)),
        ("rates", (("nowhere", 1.0),)),
        ("daily_caps", (("nowhere", 1),)),
    ],
)
def test_unknown_source_in_setting_is_an_error(settings, setting, value):
    settings.COLLECTOR = replace(settings.COLLECTOR, **{setting: value})
    (error,) = checks.check_chains()
    assert (error.id, f"COLLECTOR_{setting.upper()}" in error.msg) == ("collector.E004", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COLLECTOR_LEASE", "soon"),
        ("COLLECTOR_LEASE", "0"),
        ("COLLECTOR_LEASE", "1e300"),
        ("COLLECTOR_FETCH_TIMEOUT", "1e300"),
        ("COLLECTOR_FETCH_TIMEOUT", "inf"),
        ("COLLECTOR_FETCH_TIMEOUT", "nan"),
        ("COLLECTOR_BACKOFF_MAX", "1e9"),
        ("COLLECTOR_MAX_ATTEMPTS", "9" * 30),
        ("COLLECTOR_WORKERS", "1001"),
        ("COLLECTOR_SIMULATED_LOG", "/no/such/folder/log"),
        ("COLLECTOR_SIMULATED_LOG", "/"),
        ("COLLECTOR_SIMULATED_SEED", "1" * 20),
        ("COLLECTOR_CSV_VOLUME_UNIT", "hands"),
        ("COLLECTOR_SOURCES", "mine=a:A, mine=b:B"),
        ("COLLECTOR_SOURCES", "x" * 33 + "=a:A"),
        ("COLLECTOR_RATES", "mine=1,mine=2"),
        ("COLLECTOR_RATES", "mine=" + "9" * 400),
        ("COLLECTOR_DAILY_CAPS", "mine=1,mine=1"),
        ("COLLECTOR_FALLBACKS", "CN=a>b,CN=c"),
        ("COLLECTOR_FALLBACKS", "CN=a>b>a"),
        ("COLLECTOR_FAN_OUT", "0"),
        ("COLLECTOR_FAN_OUT", "1.5"),
        ("COLLECTOR_WORKERS", "-1"),
        ("COLLECTOR_SOURCES", "mine"),
        ("COLLECTOR_SOURCES", "mine=no_colon"),
        ("COLLECTOR_SIMULATED_FAILURE_RATE", "1.1"),
        ("COLLECTOR_SIMULATED_BARS", "many"),
        ("COLLECTOR_RATES", "mine"),
        ("COLLECTOR_RATES", "mine=-1"),
        ("COLLECTOR_DAILY_CAPS", "mine=0.5"),
        ("COLLECTOR_FALLBACKS", "CN"),
        ("COLLECTOR_FALLBACKS", "CN=a>>b"),
        ("COLLECTOR_FALLBACKS", "XX=a>b"),
        ("COLLECTOR_NO_THROTTLE", "perhaps"),
        ("COLLECTOR_BREAKER_AFTER", "0"),
        ("COLLECTOR_CORS_ORIGINS", "quant.example.com"),
        ("COLLECTOR_CORS_ORIGINS", "https://quant.example.com/app"),
        ("COLLECTOR_LANGUAGE", "fr"),
        ("COLLECTOR_RETENTION_DAYS", "-1"),
        ("COLLECTOR_RETENTION_DAYS", "36501"),
        ("COLLECTOR_RETENTION_DAYS", "a month"),
    ],
)
def test_malformed_value_names_the_variable(monkeypatch, name, value):
    with pytest.raises(EnvError, match=name):
        read(monkeypatch, **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("COLLECTOR_LEASE", "soon", "COLLECTOR_LEASE"),
        ("DATABASE_URL", "nonsense://", "DATABASE_URL"),
        ("DATABASE_URL", "mysql://x/y", "DATABASE_URL"),
        ("DATABASE_URL", "sqlite://:memory:", "DATABASE_URL"),
        ("DATABASE_URL", "postgresql://host/", "DATABASE_URL"),
        ("REDIS_URL", "foo", "REDIS_URL"),
        ("REDIS_URL", "redis://host:port/0", "REDIS_URL"),
        ("DJANGO_TIME_ZONE", "Mars/X", "DJANGO_TIME_ZONE"),
        ("DJANGO_HSTS_SECONDS", "-1", "DJANGO_HSTS_SECONDS"),
        ("DJANGO_DEBUG", "off", "DJANGO_SECRET_KEY"),
        ("DJANGO_DEBUG", "perhaps", "DJANGO_DEBUG"),
    ],
)
def test_bad_environment_stops_with_one_line(name, value, message, monkeypatch):
    monkeypatch.delenv("DJANGO_SECRET_KEY", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(SETTINGS)
    assert message in stop.value.code
    assert len(stop.value.code.splitlines()) == 1


def test_program_says_no_more_than_what_stops_it():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "collector_site.settings", "REDIS_URL": "foo"}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "REDIS_URL" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_lease_below_three_heartbeats_is_an_error(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, lease=2, heartbeat=1)
    assert [error.id for error in checks.check_times()] == ["collector.E001"]


@pytest.mark.parametrize("sources", [(("mine", "no.such:Thing"),), (("mine", "tests.factories:Nothing"),)])
def test_source_that_fails_to_load_is_an_error(settings, sources):
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=sources)
    assert [error.id for error in checks.check_sources()] == ["collector.E002"]


class Shapeless:
    """A class with only part of the source protocol."""

    name = "shapeless"
    markets = "US"

    def fetch(self, request): ...


def test_incomplete_source_class_is_an_error(settings):
    paths = (("mine", f"{__name__}:Shapeless"), ("other", f"{__name__}:ROOT"))
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=paths)
    first, second = checks.check_sources()
    assert first.msg.startswith("COLLECTOR_SOURCES: mine: ")
    known = "markets (some of 'CN', 'HK', 'US', 'SIM'), adjusts (some of '', 'qfq', 'hfq', 'split')"
    assert first.msg.endswith(f"it lacks {known}, from_conf(), symbols().")
    assert second.msg.endswith("it lacks a class.")
    assert {"mine", "other"}.isdisjoint(registry.available(settings.COLLECTOR))


class Explicit(First):
    """A source whose from_conf names its class."""

    @classmethod
    def from_conf(cls, conf):
        return Explicit()


def test_source_has_the_name_it_is_registered_by():
    paths = (
        ("one", "tests.fakes.scripted_sources:First"),
        ("two", "tests.fakes.scripted_sources:First"),
        ("own", f"{__name__}:Explicit"),
    )
    known = conf.Conf(sources=paths)
    for name, _ in paths:
        assert registry.available(known)[name].name == registry.get_source(name, known).name == name
    assert First.name == "first"


@pytest.mark.parametrize("value", ["-1", "many", "nan", "1e300"])
def test_malformed_setting_of_a_source_is_an_error_at_the_start(settings, value):
    own = (("COLLECTOR_AKSHARE_RATE", value),)
    settings.COLLECTOR = replace(settings.COLLECTOR, environment=own)
    (error,) = checks.check_source_settings()
    assert (error.id, error.msg.startswith(f"COLLECTOR_AKSHARE_RATE: “{value}” is not")) == (
        "collector.E005",
        True,
    )


@pytest.mark.parametrize(
    ("setting", "variable"),
    [
        ({"environment": (("COLLECTOR_SIMULATED_PER_HOUR", "3"),)}, "COLLECTOR_SIMULATED_PER_HOUR"),
        ({"daily_caps": (("simulated", 3),)}, "COLLECTOR_DAILY_CAPS"),
    ],
)
def test_quota_below_the_cost_of_a_request_is_an_error(settings, monkeypatch, setting, variable):
    monkeypatch.setattr(SimulatedSource, "cost", {"day": 4}, raising=False)
    registry.traits.cache_clear()
    settings.COLLECTOR = replace(settings.COLLECTOR, no_throttle=False, **setting)
    (error,) = checks.check_source_settings()
    message = "a quota of 3 lets no request of simulated through that takes 4 permits"
    assert (error.id, error.msg) == (
        "collector.E005",
        f"{variable}: {message}: give at least 4, or 0 for no limit.",
    )
    assert registry.why_unusable("simulated", settings.COLLECTOR) == error.msg
    registry.traits.cache_clear()


def test_unknown_default_source_is_an_error(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, default_source="nowhere")
    assert [error.id for error in checks.check_sources()] == ["collector.E003"]


def test_retry_is_longer_than_any_job(settings):
    q = settings.Q_CLUSTER
    assert q["retry"] > q["timeout"] + worker_process.GRACE_SECONDS + worker_process.SAVE_SECONDS
    assert q["timeout"] > settings.COLLECTOR.slice_seconds + settings.COLLECTOR.fetch_timeout


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_readme_lists_every_setting_and_default(page):
    rows = re.findall(r"^\| `(COLLECTOR_\w+)` \|.*\| ([^|]+) \|$", (ROOT / page).read_text(), re.MULTILINE)
    settings = {
        f"COLLECTOR_{f.name.upper()}": f.default
        for f in fields(conf.Conf)
        if f.metadata.get("internal") is None and f.name != "simulated"
    }
    settings |= {f"COLLECTOR_SIMULATED_{f.name.upper()}": f.default for f in fields(conf.Simulated)}
    for name, path in registry.BUILT_IN.items():
        source = registry.load(path)
        limits = {each.name for each in source_settings.LIMIT_SETTINGS}
        shown = [each for each in source_settings.declared(source) if each.name not in limits or each.default]
        shown = [each for each in shown if not each.name.startswith("per_")]
        settings |= {source_settings.variable_of(name, each.name): each.default for each in shown}
    documented = dict(rows)
    assert not settings.keys() - documented.keys()
    for name, default in settings.items():
        if default and isinstance(default, int | float):
            assert documented[name].startswith(f"`{default:g}`"), name
        elif default:
            assert documented[name] == f"`{default}`"
        else:  # no default: a dash or a word
            assert not documented[name].startswith("`") or documented[name] == "`0`", name
