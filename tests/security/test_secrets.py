"""No secret in errors, logs, probes, documents and tables."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf.global_settings import PASSWORD_HASHERS as DEFAULT_HASHERS
from django.contrib.auth.hashers import get_hasher
from django.core.serializers import serialize
from django.test import Client
from knox.models import AuthToken

from tasks_app.lifecycle import selectors
from tasks_app.source_settings import MASK
from tests.api.factories import BASE
from tests.factories import make_user

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = str(ROOT / "collector_site" / "settings.py")
KEY, PASSWORD, CACHE, TOKEN = "k3y-" * 16, "pg-s3cret-word", "redis-s3cret-word", "t0ken" * 12
VENDOR = "s3cr3t"  # the shortest that is masked, as a client of a source may say it in a warning
SECRETS = (KEY, PASSWORD, CACHE, TOKEN, VENDOR)
# Database and cache are unavailable. Each request's META holds the environment, as under runserver.
REQUEST_SCRIPT = f"""
import json, os, sys, warnings, django
django.setup()
warnings.warn(f"asked with {{os.environ['COLLECTOR_ANY_TOKEN']}}")
from django.test import Client
client = Client(SERVER_NAME="localhost", headers={{"Authorization": "Token {TOKEN}"}})
client.raise_request_exception = False
client.cookies["sessionid"] = "{TOKEN}"
responses = {{}}
for method, path in json.loads(sys.argv[1]):
    response = getattr(client, method)(path, secure=True, **os.environ)
    responses[f"{{method}} {{path}}"] = [response.status_code, response.content.decode()]
print(json.dumps(responses))
"""
REQUESTS = [
    ("get", "/admin/"),
    ("post", "/admin/login/"),
    ("get", "/nowhere"),
    ("get", f"{BASE}/tasks"),
    ("get", "/readyz"),
    ("get", "/healthz"),
    ("get", "/api/docs"),
]


def request_failing_site(debug: str) -> tuple[dict[str, tuple[int, str]], str]:
    """Returns the responses by request, and the log, while database and cache are unavailable."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "collector_site.settings",
        "DJANGO_DEBUG": debug,
        "DJANGO_SECRET_KEY": KEY,
        "COLLECTOR_ANY_TOKEN": VENDOR,
        "DJANGO_LOG_LEVEL": "DEBUG",
        "DATABASE_URL": f"postgresql://someone:{PASSWORD}@127.0.0.1:1/none",
        "REDIS_URL": f"redis://:{CACHE}@127.0.0.1:1/0",
    }
    command = [sys.executable, "-W", "always", "-c", REQUEST_SCRIPT, json.dumps(REQUESTS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


# In production, test_unexpected_error_hides_token_and_cookie reads the pages of the suite.
@pytest.mark.parametrize("debug", ["on", pytest.param("off", marks=pytest.mark.soak)])
def test_failing_site_reveals_no_secret(debug):
    responses, log = request_failing_site(debug)
    leaks = {
        request: [secret for secret in SECRETS if secret in page] for request, (_, page) in responses.items()
    }
    assert not {request: secrets for request, secrets in leaks.items() if secrets}
    assert not [secret for secret in SECRETS if secret in log]
    assert f"asked with {MASK}" in log
    statuses = {request: status for request, (status, _) in responses.items()}
    assert statuses["get /admin/"] == 500
    assert statuses[f"get {BASE}/tasks"] == statuses["get /readyz"] == 503
    assert statuses["get /healthz"] == statuses["get /api/docs"] == 200
    assert "Traceback" not in responses["get /admin/"][1]  # but the log has it
    assert "Traceback" in log
    ready = json.loads(responses["get /readyz"][1])
    assert ready == dict.fromkeys(("ready", "database", "migrations", "queue", "worker"), False)


@pytest.mark.parametrize("url", ["nonsense://u:pg-s3cret-word@h/x", "postgresql://u:pg-s3cret-word@h:x/x"])
def test_malformed_database_url_hides_password(url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(SETTINGS)
    assert "DATABASE_URL" in stop.value.code
    assert PASSWORD not in stop.value.code


@pytest.mark.django_db
@pytest.mark.parametrize("media_type", ["text/html", "application/json"])
def test_unexpected_error_hides_token_and_cookie(monkeypatch, settings, caplog, media_type):
    def fails():
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(selectors, "get_running_task", fails)
    user = make_user()
    token = AuthToken.objects.create(user)[1]
    client = Client(raise_request_exception=False, headers={"Accept": media_type})
    client.force_login(user)
    session = client.cookies["sessionid"].value
    page = client.get(f"{BASE}/current-task", headers={"Authorization": f"Token {token}"})
    assert page.status_code == 500
    assert "RuntimeError" in caplog.text
    for text in (page.content.decode(), caplog.text):
        assert token not in text
        assert session not in text
        assert settings.SECRET_KEY not in text
    if media_type == "text/html":
        assert page["X-Request-ID"] in page.content.decode()
    else:
        assert page.json() == {
            "detail": "Something went wrong here; it was logged.",
            "code": "error",
            "request_id": page["X-Request-ID"],
        }


@pytest.mark.django_db
def test_token_is_stored_as_digest_only():
    stored, token = AuthToken.objects.create(make_user())
    tables = "".join(serialize("json", model._default_manager.all()) for model in apps.get_models())
    assert stored.digest in tables
    assert token not in tables
    assert len(token) == 64
    assert token[len(stored.token_key) :] not in tables  # which is public
    assert len(token) - len(stored.token_key) >= 40  # at least 160 bits stay secret


def test_password_hash_has_600_000_iterations(settings):
    """The suite's own hasher is a cheap one."""
    settings.PASSWORD_HASHERS = runpy.run_path(SETTINGS).get("PASSWORD_HASHERS", DEFAULT_HASHERS)
    hasher = get_hasher()
    assert hasher.algorithm == "pbkdf2_sha256"
    assert hasher.iterations >= 600_000


@pytest.mark.django_db
def test_failed_token_is_not_logged(caplog):
    caplog.set_level("DEBUG")
    Client().get(f"{BASE}/tasks", headers={"Authorization": f"Token {TOKEN}"})
    assert TOKEN not in caplog.text
