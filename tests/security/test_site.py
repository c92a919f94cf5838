"""Cookies, hosts, redirects and static files."""

import runpy
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.test import Client

from tests.factories import make_user

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = [
    "https://evil.example/",
    "//evil.example/",
    r"/\evil.example",
    *(
        pytest.param(target, marks=pytest.mark.soak)
        for target in (
            "///evil.example/",
            r"\\evil.example",
            "https:evil.example",
            "https:///evil.example",
            "javascript:alert(1)",
            "http://testserver@evil.example/",
            "\thttps://evil.example",
        )
    ),
]
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "collector_site.settings",
    "DJANGO_DEBUG": "off",
    "DJANGO_SECRET_KEY": "long-and-random-" * 4,
    "DJANGO_ALLOWED_HOSTS": "quotes.example.org",
}


SETTINGS = str(ROOT / "collector_site" / "settings.py")
OF_REQUESTS = ("SECURE_", "SESSION_COOKIE_", "CSRF_COOKIE_", "ALLOWED_HOSTS", "DEBUG", "MIDDLEWARE")


def test_production_uses_https_and_known_hosts(monkeypatch, settings):
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    production = runpy.run_path(SETTINGS)
    for name, value in production.items():
        if name.startswith(OF_REQUESTS):
            setattr(settings, name, value)
    client = Client(SERVER_NAME="quotes.example.org")  # its middleware reads the settings of now
    plain, safe = client.get("/admin/login/"), client.get("/admin/login/", secure=True)
    assert (plain.status_code, plain.headers["Location"]) == (301, "https://quotes.example.org/admin/login/")
    cookie = safe.cookies["csrftoken"]
    assert (safe.status_code, cookie["secure"], cookie["samesite"]) == (200, True, "Lax")
    assert safe.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert client.get("/healthz").status_code == 200
    assert Client(SERVER_NAME="evil.example").get("/healthz").status_code == 400
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        assert production[name] is True
    assert production["DEBUG"] is False


@pytest.mark.parametrize("key", ["", "only-for-localhost"])
def test_production_rejects_well_known_secret_key(key, monkeypatch):
    for name, value in {**PRODUCTION, "DJANGO_SECRET_KEY": key}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="DJANGO_SECRET_KEY"):
        runpy.run_path(SETTINGS)


@pytest.mark.django_db
def test_session_cookie_is_httponly_and_lax():
    make_user("ann", is_staff=True)
    cookie = log_in(Client(), "/admin/login/").cookies["sessionid"]
    assert (bool(cookie["httponly"]), cookie["samesite"]) == (True, "Lax")


@pytest.mark.django_db
def test_login_changes_the_session_key():
    make_user("ann", is_staff=True)
    client = Client()
    session = client.session
    session["seen"] = True
    session.save()
    client.cookies["sessionid"] = session.session_key
    log_in(client, "/admin/login/")
    assert client.cookies["sessionid"].value != session.session_key


@pytest.mark.django_db
@pytest.mark.parametrize("target", FOREIGN)
def test_redirects_stay_on_this_site(target):
    make_user("ann", is_staff=True)
    for page in ("/admin/login/", "/api/auth/login/"):
        assert_local_redirect(log_in(Client(), page, target))
        assert_local_redirect(log_in(Client(), f"{page}?next={target}"))
    assert_local_redirect(Client().post("/i18n/setlang/", {"language": "en", "next": target}))
    assert_local_redirect(Client().post("/api/auth/logout/", {"next": target}))
    assert_local_redirect(Client().post("/i18n/setlang/", {"language": "en"}, headers={"Referer": target}))


def assert_local_redirect(response) -> None:
    place = urlsplit(response.headers.get("Location", "/"))
    assert (place.scheme, place.netloc) == ("", "")
    assert "evil" not in response.headers.get("Location", "").split("?")[0]


def log_in(client: Client, page: str, target: str = ""):
    return client.post(page, {"username": "ann", "password": "pass-word-1", "next": target})


@pytest.mark.django_db
@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver@evil.example", "a b"]
)
@pytest.mark.parametrize("path", ["/", "/admin/", "/api/data-collection/tasks", "/api/schema"])
def test_foreign_host_appears_in_no_response(host, path):
    response = Client().get(path, headers={"Host": host})
    assert response.status_code in {301, 302, 400, 401}
    assert "evil" not in str(response.headers)
    assert b"evil" not in response.content


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
def test_static_files_stay_in_their_folders(path):
    response = Client().get(f"/static/{path}")
    assert response.status_code in {400, 404}
    assert b"SECRET_KEY" not in response.content


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["tasks_app/stock/of/CN/a%00b/", "knox/authtoken/a%00b/history/", "tasks_app/stock/%00/change/"]
)
def test_path_with_nul_is_not_found(admin_client, path):
    assert admin_client.get(f"/admin/{path}").status_code == 404
