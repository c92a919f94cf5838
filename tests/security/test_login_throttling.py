"""Password guessing is slowed down, and no guessed password is stored."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.conf import settings as site_settings
from django.contrib import admin
from django.core.serializers import serialize
from django.db.models import F
from django.test import Client, RequestFactory

from collector_site.login_throttling import NO_ADDRESS, client_address
from tests.factories import make_user

pytestmark = pytest.mark.django_db
ADMIN, API = "/admin/login/", "/api/auth/login/"
PASSWORD = "pass-word-1"
FAILURE_LIMIT = site_settings.AXES_FAILURE_LIMIT


@pytest.fixture(autouse=True)
def limit(settings):
    """The third failure locks, not the tenth: what follows does not depend on the number."""
    settings.AXES_FAILURE_LIMIT = 3


@pytest.fixture(autouse=True)
def ann():
    return make_user("ann", is_staff=True, is_superuser=True)


def log_in(password=PASSWORD, page=ADMIN, name="ann", **meta):
    return Client(**meta).post(page, {"username": name, "password": password, "next": "/admin/"})


def fail_logins(times=3, **how):
    return [log_in(f"fail_logins-{n}", **how).status_code for n in range(times)]


@pytest.mark.parametrize("page", [ADMIN, API])
def test_tenth_failure_locks_even_correct_password(page, settings):
    settings.AXES_FAILURE_LIMIT = FAILURE_LIMIT
    assert fail_logins(10, page=page) == [200] * 9 + [429]
    response = log_in(page=page)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "900")
    assert "Wait 15 minutes, then try again." in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    assert "sessionid" not in response.cookies


def test_login_pages_count_together():
    fail_logins(1)
    assert fail_logins(2, page=API)[-1] == 429
    assert log_in().status_code == 429


def test_lock_is_per_name_and_address():
    make_user("bob", is_staff=True)
    fail_logins()
    assert log_in(name="bob").status_code == 302
    assert log_in(REMOTE_ADDR="192.0.2.7").status_code == 302


def test_other_browser_does_not_evade_the_lock():
    for n in range(3):
        log_in("fail_logins", HTTP_USER_AGENT=f"browser {n}")
    assert log_in(HTTP_USER_AGENT="a new one").status_code == 429


def test_unknown_name_is_locked_alike():
    assert fail_logins(name="nobody") == [200, 200, 429]


def test_lock_ends_after_15_minutes():
    fail_logins()
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14))
    assert log_in().status_code == 429
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=2))
    assert log_in().status_code == 302


def test_login_resets_the_failures():
    fail_logins(2)
    assert log_in().status_code == 302
    assert not AccessAttempt.objects.exists()
    assert fail_logins(2) == [200] * 2


def test_lockout_page_needs_no_script():
    fail_logins()
    assert b"<script" not in log_in().content


def test_passwords_are_neither_stored_nor_logged(caplog):
    caplog.set_level("DEBUG")
    log_in("hunter2-secret")
    log_in("hunter2-secret", name="typed-password-as-name")
    assert "hunter2" not in serialize("json", AccessAttempt.objects.all()) + caplog.text
    assert "typed-password-as-name" not in caplog.text
    assert "127.0.0.1" in caplog.text


def test_attempts_are_not_in_the_admin():
    assert not [model for model in admin.site._registry if model._meta.app_label == "axes"]


def test_forwarded_address_needs_configured_proxies(settings):
    for n in range(3):
        log_in("fail_logins", HTTP_X_FORWARDED_FOR=f"192.0.2.{n}")
    assert log_in(HTTP_X_FORWARDED_FOR="192.0.2.99").status_code == 429
    settings.PROXIES = 1
    assert log_in(HTTP_X_FORWARDED_FOR="192.0.2.99").status_code == 302


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "192.0.2.1", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "made-up, 192.0.2.1", "192.0.2.1"),
        (2, "made-up, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (2, "192.0.2.1", "127.0.0.1"),
        (1, "nonsense", NO_ADDRESS),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (1, "::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_client_address(settings, proxies, forwarded, address):
    settings.PROXIES = proxies
    meta = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert client_address(RequestFactory().get("/", **meta)) == address


def test_client_without_address_logs_in_and_is_locked():
    assert fail_logins(REMOTE_ADDR="") == [200, 200, 429]
    AccessAttempt.objects.all().delete()
    assert log_in(REMOTE_ADDR="").status_code == 302
