"""The site around the pages: cookies, hosts, redirects, files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.test import Client

from tests.factories import make_user

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    r"\\evil.example",
    r"/\evil.example",
    "https:evil.example",
    "https:///evil.example",
    "javascript:alert(1)",
    "http://testserver@evil.example/",
    "\thttps://evil.example",
]
COOKIES = """
import json, sys, django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.test import Client
client = Client(SERVER_NAME="quotes.example.org")
names = ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "DEBUG"]
told = {name: getattr(settings, name) for name in names}
plain, safe = client.get("/admin/login/"), client.get("/admin/login/", secure=True)
told["plain"] = [plain.status_code, plain.headers["Location"]]
told["cookie"] = {key: safe.cookies["csrftoken"][key] for key in ("secure", "samesite")}
told["hsts"] = safe.headers["Strict-Transport-Security"]
told["probe"] = client.get("/healthz").status_code
told["foreign"] = Client(SERVER_NAME="evil.example").get("/healthz").status_code
print(json.dumps(told))
"""


def production(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "collector_site.settings",
        "DJANGO_DEBUG": "off",
        "DJANGO_SECRET_KEY": "long-and-random-" * 4,
        "DJANGO_ALLOWED_HOSTS": "quotes.example.org",
        **variables,
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_in_production_cookies_travel_by_https_alone_and_foreign_hosts_are_refused():
    done = production(COOKIES)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "DEBUG": False,
        "plain": [301, "https://quotes.example.org/admin/login/"],
        "cookie": {"secure": True, "samesite": "Lax"},
        "hsts": "max-age=31536000; includeSubDomains; preload",
        "probe": 200,
        "foreign": 400,
    }


@pytest.mark.parametrize("key", ["", "only-for-localhost"])
def test_in_production_a_key_that_everybody_knows_stops_the_program(key):
    done = production("import django; django.setup()", DJANGO_SECRET_KEY=key)
    assert done.returncode != 0
    assert "DJANGO_SECRET_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db
def test_the_session_cookie_is_out_of_reach_for_scripts_and_foreign_pages():
    make_user("ann", is_staff=True)
    cookie = sign_in(Client(), "/admin/login/").cookies["sessionid"]
    assert (bool(cookie["httponly"]), cookie["samesite"]) == (True, "Lax")


@pytest.mark.django_db
def test_signing_in_changes_the_session_so_that_a_planted_one_is_worth_nothing():
    make_user("ann", is_staff=True)
    client = Client()
    session = client.session
    session["seen"] = True
    session.save()
    client.cookies["sessionid"] = session.session_key
    sign_in(client, "/admin/login/")
    assert client.cookies["sessionid"].value != session.session_key


@pytest.mark.django_db
@pytest.mark.parametrize("target", FOREIGN)
def test_no_form_leads_to_a_foreign_place(target):
    make_user("ann", is_staff=True)
    for page in ("/admin/login/", "/api/auth/login/"):
        check_local(sign_in(Client(), page, target))
        check_local(sign_in(Client(), f"{page}?next={target}"))
    check_local(Client().post("/i18n/setlang/", {"language": "en", "next": target}))
    check_local(Client().post("/api/auth/logout/", {"next": target}))
    check_local(Client().post("/i18n/setlang/", {"language": "en"}, headers={"Referer": target}))


def check_local(answer) -> None:
    place = urlsplit(answer.headers.get("Location", "/"))
    assert (place.scheme, place.netloc) == ("", "")
    assert "evil" not in answer.headers.get("Location", "").split("?")[0]


def sign_in(client: Client, page: str, target: str = ""):
    return client.post(page, {"username": "ann", "password": "pass-word-1", "next": target})


@pytest.mark.django_db
@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "a b"]
)
@pytest.mark.parametrize("path", ["/", "/admin/", "/api/data-collection/tasks", "/api/schema"])
def test_a_foreign_host_is_refused_and_finds_its_way_into_no_link(host, path):
    answer = Client().get(path, headers={"Host": host})
    assert answer.status_code in {301, 302, 400, 401}
    assert "evil" not in str(answer.headers)
    assert b"evil" not in answer.content


@pytest.mark.parametrize(
    "path",
    [
        "../collector_site/settings.py",
        "..%2fcollector_site%2fsettings.py",
        "%2e%2e/collector_site/settings.py",
        "....//collector_site/settings.py",
        r"..\collector_site\settings.py",
        "tasks_app/../../../collector_site/settings.py",
        "tasks_app/%00",
        "/etc/passwd",
        "tasks_app/../../../../../../../etc/passwd",
        "tasks_app/",
        "",
    ],
)
def test_files_are_served_from_the_static_folders_alone(path):
    answer = Client().get(f"/static/{path}")
    assert answer.status_code in {400, 404}
    assert b"SECRET_KEY" not in answer.content
