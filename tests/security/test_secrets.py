"""What is secret stays so: in errors, logs, probes, documents and tables."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.core.serializers import serialize
from django.test import Client
from knox.models import AuthToken

from tasks_app.lifecycle import selectors
from tests.api.factories import BASE
from tests.factories import make_user

ROOT = Path(__file__).resolve().parents[2]
KEY, PASSWORD, CACHE, TOKEN = "k3y-" * 16, "pg-s3cret-word", "redis-s3cret-word", "t0ken" * 12
SECRETS = (KEY, PASSWORD, CACHE, TOKEN)
# The database and the cache are away. The environment is in each request's META, as runserver has it.
ASK = f"""
import json, os, sys, django
django.setup()
from django.test import Client
client = Client(SERVER_NAME="localhost", headers={{"Authorization": "Token {TOKEN}"}})
client.raise_request_exception = False
client.cookies["sessionid"] = "{TOKEN}"
told = {{}}
for method, path in json.loads(sys.argv[1]):
    answer = getattr(client, method)(path, secure=True, **os.environ)
    told[f"{{method}} {{path}}"] = [answer.status_code, answer.content.decode()]
print(json.dumps(told))
"""
ASKED = [
    ("get", "/admin/"),
    ("post", "/admin/login/"),
    ("get", "/nowhere"),
    ("get", f"{BASE}/tasks"),
    ("get", "/readyz"),
    ("get", "/healthz"),
    ("get", "/api/schema"),
    ("get", "/api/docs"),
]


def site_in_trouble(debug: str) -> tuple[dict[str, tuple[int, str]], str]:
    """What the site answers, and what it logs, when database and cache are away."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "collector_site.settings",
        "DJANGO_DEBUG": debug,
        "DJANGO_SECRET_KEY": KEY,
        "DJANGO_LOG_LEVEL": "DEBUG",
        "DATABASE_URL": f"postgresql://someone:{PASSWORD}@127.0.0.1:1/none",
        "REDIS_URL": f"redis://:{CACHE}@127.0.0.1:1/0",
    }
    command = [sys.executable, "-c", ASK, json.dumps(ASKED)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.parametrize("debug", ["on", "off"])
def test_a_site_in_trouble_tells_no_secret_to_the_page_or_the_log(debug):
    told, log = site_in_trouble(debug)
    leaks = {asked: [secret for secret in SECRETS if secret in page] for asked, (_, page) in told.items()}
    assert not {asked: found for asked, found in leaks.items() if found}
    assert not [secret for secret in SECRETS if secret in log]
    statuses = {asked: status for asked, (status, _) in told.items()}
    assert statuses["get /admin/"] == 500
    assert statuses[f"get {BASE}/tasks"] == statuses["get /readyz"] == 503
    assert statuses["get /healthz"] == statuses["get /api/docs"] == statuses["get /api/schema"] == 200
    assert ("Traceback" in told["get /admin/"][1]) == (debug == "on")
    ready = json.loads(told["get /readyz"][1])
    assert ready == dict.fromkeys(("ready", "database", "migrations", "queue", "worker"), False)


@pytest.mark.parametrize("url", ["nonsense://u:pg-s3cret-word@h/x", "postgresql://u:pg-s3cret-word@h:x/x"])
def test_a_malformed_address_of_the_database_is_refused_without_repeating_its_password(url):
    command = [sys.executable, "manage.py", "check"]
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
def test_an_error_nobody_foresaw_shows_neither_token_nor_cookie(monkeypatch, settings, caplog, debug):
    def fails():
        raise RuntimeError("unforeseen")

    settings.DEBUG = debug
    monkeypatch.setattr(selectors, "get_running_task", fails)
    user = make_user()
    token = AuthToken.objects.create(user)[1]
    client = Client(raise_request_exception=False, headers={"Accept": "text/html"})
    client.force_login(user)
    session = client.cookies["sessionid"].value
    page = client.get(f"{BASE}/current-task", headers={"Authorization": f"Token {token}"})
    assert page.status_code == 500
    assert "RuntimeError" in caplog.text
    for text in (page.content.decode(), caplog.text):
        assert token not in text
        assert session not in text
        assert settings.SECRET_KEY not in text
    assert debug or page.json() == {"detail": "Something went wrong here; it was logged.", "code": "error"}


@pytest.mark.django_db
def test_a_token_is_nowhere_in_the_database_but_as_its_digest():
    stored, token = AuthToken.objects.create(make_user())
    tables = "".join(serialize("json", model._default_manager.all()) for model in apps.get_models())
    assert stored.digest in tables
    assert token not in tables
    assert len(token) == 64
    assert token[len(stored.token_key) :] not in tables  # the beginning is its public name
    assert len(token) - len(stored.token_key) >= 40  # 160 bits and more stay unknown


@pytest.mark.django_db
def test_passwords_are_hashed_slowly_outside_the_tests():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "collector_site.settings"}
    ask = (
        "import django; django.setup(); from django.contrib.auth.hashers import *; print(make_password('x'))"
    )
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found = re.match(r"pbkdf2_sha256\$(\d+)\$", done.stdout)
    assert found
    assert int(found[1]) >= 600_000


@pytest.mark.django_db
def test_the_log_of_failed_tokens_does_not_hold_them(caplog):
    caplog.set_level("DEBUG")
    Client().get(f"{BASE}/tasks", headers={"Authorization": f"Token {TOKEN}"})
    assert TOKEN not in caplog.text
