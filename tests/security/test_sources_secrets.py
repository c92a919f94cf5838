"""The secrets of sources are masked by value: in stored messages, in the log, on error pages and in mails."""

import logging

import pytest
from django.test import RequestFactory
from django.views.debug import get_exception_reporter_class

from collector_site.error_reporting import MaskSecretsFilter
from tasks_app import conf, source_settings
from tasks_app.engine.answers import to_source_error
from tasks_app.reasons import sanitize_message
from tasks_app.source_settings import MASK
from tasks_app.sources.base import Transient

pytestmark = pytest.mark.any_database
SECRET = "vendor<'s>-s3cret"


@pytest.fixture(autouse=True)
def known_secret(monkeypatch):
    monkeypatch.setattr(source_settings, "_secrets", {})
    source_settings.remember_secret(SECRET)


def test_stored_message_is_masked():
    assert sanitize_message(f"GET /?token={SECRET}") == f"GET /?token={MASK}"
    assert SECRET[:5] not in sanitize_message("x" * 490 + SECRET)


def test_error_of_a_source_is_masked():
    assert str(to_source_error(Transient(f"The token {SECRET} is busy."))) == f"The token {MASK} is busy."


def test_log_is_masked():
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "asked %s", (SECRET,), exc_info)
    assert MaskSecretsFilter().filter(record)
    text = logging.Formatter().format(record)
    assert MASK in text
    assert SECRET[-6:] not in text


@pytest.mark.parametrize("kind", ["get_traceback_html", "get_traceback_text"])
def test_error_page_and_mail_are_masked(settings, kind):
    harmless_name = SECRET
    request = RequestFactory().get("/", {"q": harmless_name}, WHATEVER=f"Basic {harmless_name}")
    try:
        raise ValueError(f"It says {harmless_name}, {[harmless_name]}.")
    except ValueError as error:
        reporter = get_exception_reporter_class(request)(request, ValueError, error, error.__traceback__)
    text = getattr(reporter, kind)()
    assert MASK in text
    assert SECRET[-6:] not in text


def test_secret_of_the_environment_is_known_from_the_start(monkeypatch):
    from environs import Env

    monkeypatch.setenv("COLLECTOR_ANYTHING_API_KEY", "another-s3cret")
    read = conf.read(Env())
    assert sanitize_message("another-s3cret") == MASK
    assert "another-s3cret" not in repr(read)
