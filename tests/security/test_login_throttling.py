"""Guessing a password is slowed down, and the guesses leave no password behind."""

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.core.serializers import serialize
from django.db.models import F
from django.test import Client, RequestFactory

from collector_site.login_throttling import NO_ADDRESS, client_address
from tests.factories import make_user

pytestmark = pytest.mark.django_db
ADMIN, API = "/admin/login/", "/api/auth/login/"
RIGHT = "pass-word-1"


@pytest.fixture(autouse=True)
def ann():
    return make_user("ann", is_staff=True, is_superuser=True)


def sign_in(password=RIGHT, page=ADMIN, name="ann", **meta):
    return Client(**meta).post(page, {"username": name, "password": password, "next": "/admin/"})


def guess(times=10, **how):
    return [sign_in(f"guess-{n}", **how).status_code for n in range(times)]


@pytest.mark.parametrize("page", [ADMIN, API])
def test_the_tenth_failure_locks_whatever_comes_next_even_the_right_password(page):
    assert guess(page=page) == [200] * 9 + [429]
    answer = sign_in(page=page)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "900")
    assert "Wait 15 minutes, then try again." in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert "sessionid" not in answer.cookies


def test_both_pages_count_together():
    guess(5)
    assert guess(5, page=API)[-1] == 429
    assert sign_in().status_code == 429


def test_the_lock_is_for_one_name_from_one_address():
    make_user("bob", is_staff=True)
    guess()
    assert sign_in(name="bob").status_code == 302
    assert sign_in(REMOTE_ADDR="192.0.2.7").status_code == 302


def test_another_browser_at_the_same_address_is_no_way_around():
    for n in range(10):
        sign_in("guess", HTTP_USER_AGENT=f"browser {n}")
    assert sign_in(HTTP_USER_AGENT="a new one").status_code == 429


def test_a_name_that_nobody_has_is_locked_as_well_and_so_tells_nothing():
    assert guess(name="nobody") == [200] * 9 + [429]


def test_after_a_quarter_of_an_hour_one_may_try_again_however_often_it_was_tried_meanwhile():
    guess()
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=14))
    assert sign_in().status_code == 429
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=2))
    assert sign_in().status_code == 302


def test_signing_in_forgives_what_failed_before():
    guess(9)
    assert sign_in().status_code == 302
    assert not AccessAttempt.objects.exists()
    assert guess(9) == [200] * 9


def test_the_sentence_is_a_page_without_the_theme_whose_scripts_its_place_need_not_allow():
    guess()
    assert b"<script" not in sign_in().content


def test_passwords_leave_no_trace_in_the_tables_or_the_log(caplog):
    caplog.set_level("DEBUG")
    sign_in("hunter2-secret")
    sign_in("hunter2-secret", name="typed-password-as-name")
    assert "hunter2" not in serialize("json", AccessAttempt.objects.all()) + caplog.text
    assert "typed-password-as-name" not in caplog.text
    assert "127.0.0.1" in caplog.text


def test_the_tables_of_attempts_are_not_on_the_staff_pages():
    assert not [model for model in admin.site._registry if model._meta.app_label == "axes"]


def test_a_forwarded_address_counts_only_where_proxies_are_configured(settings):
    for n in range(10):
        sign_in("guess", HTTP_X_FORWARDED_FOR=f"192.0.2.{n}")
    assert sign_in(HTTP_X_FORWARDED_FOR="192.0.2.99").status_code == 429
    settings.PROXIES = 1
    assert sign_in(HTTP_X_FORWARDED_FOR="192.0.2.99").status_code == 302


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
def test_the_clients_address(settings, proxies, forwarded, address):
    settings.PROXIES = proxies
    meta = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert client_address(RequestFactory().get("/", **meta)) == address


def test_a_client_without_an_address_as_behind_a_unix_socket_can_sign_in_and_is_locked():
    assert guess(REMOTE_ADDR="") == [200] * 9 + [429]
    AccessAttempt.objects.all().delete()
    assert sign_in(REMOTE_ADDR="").status_code == 302
