"""The files of an installation: settings, units, nginx, containers. What a tool can check, it checks."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
import yaml
from environs import Env

from tasks_app import conf
from tasks_app.source_settings import Setting, declared, variable_of
from tasks_app.sources import registry

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy"
ENVIRONMENT = (FOLDER / "collector.env.example").read_text()
UNITS = sorted(path.name for path in (FOLDER / "systemd").iterdir())
SET = dict(re.findall(r"^([A-Z_]+)=(.*)$", ENVIRONMENT, re.MULTILINE))
QUICKSTART = {"DJANGO_SUPERUSER_PASSWORD"}  # of whoever tries it out, not of an installation
DEFAULTS = dict(re.findall(r"^#([A-Z_]+)=(.*)$", ENVIRONMENT, re.MULTILINE))


def variables_read() -> set[str]:
    """Returns the variables of an installation that its code names where it reads the environment."""
    code = [path for folder in ("collector_site", "tasks_app") for path in (ROOT / folder).rglob("*.py")]
    reads = r'\b(?:env\.\w+\(|environ\.get\(|environ\[)\s*"([A-Z]+_[A-Z_]+)"'
    return {name for path in code for name in re.findall(reads, path.read_text())} - QUICKSTART


def source_settings() -> dict[str, Setting]:
    """Returns the settings that the built-in sources declare, by variable."""
    sources = {name: registry.load(path) for name, path in registry.BUILT_IN.items()}
    return {
        variable_of(name, setting.name): setting
        for name, source in sources.items()
        for setting in declared(source)
    }


def test_environment_file_names_every_variable_once_and_no_other():
    names = re.findall(r"^#?([A-Z_]+)=", ENVIRONMENT, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {"DJANGO_SECRET_KEY", "DATABASE_URL", "REDIS_URL"} <= variables_read()
    own = conf.VARIABLES - {"COLLECTOR_SIMULATED"}
    assert set(names) == own | variables_read() | source_settings().keys()


def set_environment(monkeypatch, variables):
    """Sets these variables, and unsets all other settings of ours that the machine may have."""
    for name in [name for name in os.environ if name.startswith("COLLECTOR_")]:
        monkeypatch.delenv(name)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)


def test_environment_file_has_the_defaults(monkeypatch):
    set_environment(monkeypatch, DEFAULTS)
    assert replace(conf.read(Env()), environment=()) == conf.Conf()


def test_environment_file_has_the_defaults_of_the_sources():
    settings = source_settings()
    assert settings
    for variable, setting in settings.items():
        text = DEFAULTS[variable]
        assert (setting.parse(text) if text else "") == setting.default, variable


PRODUCTION = {**DEFAULTS, **SET, "DATABASE_URL": "sqlite:////tmp/unused"}
KEY = "x9Kq-" * 4 + "abcdefghijklmnopqrstuvwxyz-0123456789-ABCDEFG"
# The pages are checked before anything else imports them, as the checks of the URLs do, which come next.
CHECK = f"""
import sys, django
django.setup()
from datetime import date
from django.contrib import admin
from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.filebased import FileBasedCache
from django.core.management import call_command
assert not admin.site._registry, "the pages are imported by every process"
checked = []
original = admin.ModelAdmin.check
admin.ModelAdmin.check = lambda self, **options: checked.append(self.model) or original(self, **options)
checks.run_checks(tags=[checks.Tags.admin])
assert admin.site._registry.keys() <= set(checked)
assert len(checked) > 5
call_command("check", deploy=True, fail_level="WARNING")
from tasks_app.engine import slice
from tasks_app.market import calendars
caches["exchange_sessions"] = FileBasedCache("{ROOT}/.cache/exchange_sessions", {{}})
assert len(calendars.Calendar("CN", {{}}).sessions(date(2024, 1, 1), date(2024, 12, 31)).days) == 242
assert "collector_site.urls" in sys.modules
assert "pandas" not in sys.modules
"""


def test_environment_file_needs_a_key(monkeypatch):
    assert SET["DJANGO_SECRET_KEY"] == ""  # nobody may copy one
    set_environment(monkeypatch, PRODUCTION)
    with pytest.raises(SystemExit, match="DJANGO_SECRET_KEY"):
        runpy.run_path(str(ROOT / "collector_site/settings.py"))


def test_environment_file_passes_the_checks_for_production():
    """The checks reach every page, which only the URLs import. Nothing of the service imports pandas."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    unreachable = {"REDIS_URL": "redis://127.0.0.1:1/0"}  # which is no bad setting
    own = {"DJANGO_SECRET_KEY": KEY, "DJANGO_SETTINGS_MODULE": "collector_site.settings", **unreachable}
    command = [sys.executable, "-c", CHECK]
    environment = {**kept, **PRODUCTION, **own}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name, tmp_path):
    """With this Python in place of the installation's programs, which systemd looks for."""
    unit = (FOLDER / "systemd" / name).read_text()
    programs = re.findall(r"/srv/collector/\.venv/bin/\w+", unit)
    assert programs
    for program in programs:
        unit = unit.replace(program, sys.executable)
    (tmp_path / name).write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if name in line]) == (0, [])


@pytest.mark.skipif(not shutil.which("nginx", path="/usr/sbin:/usr/bin"), reason="nginx is not installed")
def test_nginx_accepts_the_configuration(tmp_path):
    certificate = trustme.CA().issue_cert("quotes.example.org")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    site = (FOLDER / "nginx.conf").read_text()
    site = site.replace("/etc/ssl/collector/fullchain.pem", str(chain))
    site = site.replace("/etc/ssl/collector/privkey.pem", str(key))
    main = tmp_path / "main.conf"
    main.write_text(
        f"pid {tmp_path}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{site}\n}}\n"
    )
    command = [str(shutil.which("nginx", path="/usr/sbin:/usr/bin")), "-t", "-c", str(main)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "[warn]" in done.stderr) == (0, False), done.stderr


def test_nginx_waits_longer_than_the_application_streams():
    site = (FOLDER / "nginx.conf").read_text()
    streams = site[site.index("# Bulk reads") : site.index("# Uploaded files")]
    seconds = int(re.findall(r"proxy_read_timeout (\d+)s", streams)[0])
    assert seconds > conf.Conf().bulk_read_seconds
    megabytes = max(map(int, re.findall(r"client_max_body_size (\d+)m", site)))
    assert megabytes > conf.Conf().csv_upload_mb


def test_compose_file_fits_the_image():
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"database", "cache", "migrate", "web", "worker"}
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"])
    for name in ("migrate", "web", "worker"):
        assert (FOLDER / services[name]["build"]["context"] / services[name]["build"]["dockerfile"]).exists()
        environment = services[name]["environment"]
        assert {"DATABASE_URL", "REDIS_URL"} == set(environment) <= set(SET)
    commands = {path.stem for path in (ROOT / "tasks_app/management/commands").iterdir()} | {"migrate"}
    assert {services[name]["command"][2] for name in ("migrate", "worker")} <= commands
    copied = re.findall(r"^COPY (.+) \S+$", (FOLDER / "Containerfile").read_text(), re.MULTILINE)
    copied = " ".join(copied).split()
    assert {"manage.py", "gunicorn.conf.py", "collector_site", "tasks_app", "templates"} <= set(copied)
    assert all(any(ROOT.glob(name)) for name in copied)
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    assert set(copied) <= sent
