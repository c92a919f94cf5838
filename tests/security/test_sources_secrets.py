"""The secrets of sources are masked by value: in stored messages, in the log, on error pages and in mails."""

import json
import logging
from html import escape
from pprint import pformat
from urllib.parse import quote, quote_plus

import pytest
from django.test import RequestFactory
from django.views.debug import get_exception_reporter_class

from tasks_app import conf, logs, source_settings
from tasks_app.engine.answers import to_source_error
from tasks_app.reasons import bounded_repr, sanitize_message
from tasks_app.source_settings import MASK
from tasks_app.sources.base import Transient

SECRET = "vendor<'s>-s3cret"


@pytest.fixture(autouse=True)
def known_secret(monkeypatch):
    monkeypatch.setattr(source_settings, "_secrets", {})
    source_settings.remember_secret(SECRET)


def test_stored_message_is_masked():
    assert sanitize_message(f"GET /?token={SECRET}") == f"GET /?token={MASK}"
    assert SECRET[:5] not in sanitize_message("x" * 490 + SECRET)


AWKWARD = "uid=ab\"1/é+'<x>&; sid=%7c\\2 漢 tail-of-it"
FORMS = {
    "address": quote(AWKWARD),
    "whole address": quote(AWKWARD, safe=""),
    "of requests": quote(AWKWARD, safe="!#$%&'()*+,/:;=?@[]~"),
    "form": quote_plus(AWKWARD),
    "small hexadecimal": quote(AWKWARD, safe="").replace("%C3%A9", "%c3%a9"),
    "JSON": json.dumps(AWKWARD),
    "JSON in UTF-8": json.dumps(AWKWARD, ensure_ascii=False),
    "JSON with slashes": json.dumps(AWKWARD).replace("/", r"\/"),
    "Python": repr(AWKWARD),
    "bytes of Python": repr(AWKWARD.encode()),
    "page": escape(AWKWARD),
    "page of Python": escape(repr(AWKWARD)),
    "several lines": pformat({"Cookie": AWKWARD}, width=40),
    "page of several lines": escape(pformat({"Cookie": AWKWARD}, width=40)),
    "bytes as Latin-1": AWKWARD.encode().decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_secret_is_masked_however_it_is_written(form):
    source_settings.remember_secret(AWKWARD)
    masked = source_settings.mask(f"before {form} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert MASK in masked
    for part in ("uid", "sid", "tail"):
        assert part not in masked


def test_other_texts_are_not_masked():
    source_settings.remember_secret(AWKWARD)
    for text in (AWKWARD[:-1], AWKWARD.replace("/", "|"), AWKWARD.replace(" ", "\n"), "tail"):
        assert source_settings.mask(text) == text


def test_no_half_of_a_secret_is_left_where_a_long_value_is_cut():
    secret = "0123456789abcdef" * 4
    source_settings.remember_secret(secret)
    for value in (
        secret,
        f"{secret} or another",
        secret.encode(),
        [secret],
        {"key": secret},
        Exception(secret),
    ):
        assert "0123" not in bounded_repr(value)
        assert "cdef" not in bounded_repr(value)


def test_error_of_a_source_is_masked():
    assert str(to_source_error(Transient(f"The token {SECRET} is busy."))) == f"The token {MASK} is busy."


@pytest.mark.parametrize("format_", logs.FORMATS)
def test_log_is_masked(format_):
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "f", 1, "asked %s", (SECRET,), exc_info)
    record.url = f"https://vendor.example/?token={SECRET}"
    with logs.bind(plan=SECRET):
        text = logs.formatter(format_).format(record)
    assert text.count(MASK) >= 3
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
