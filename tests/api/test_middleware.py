"""The limit of bodies, with and without a Content-Length."""

import json
from io import BytesIO

import pytest
from django.test import RequestFactory

from tasks_app.api.middleware import BodyLimitMiddleware
from tests.api.factories import START, client_of, send
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return client_of(make_user("root", is_superuser=True))


def test_body_over_limit_is_413(client, settings):
    body = json.dumps({"start_date": "x" * settings.MAX_BODY_BYTES}).encode()
    response = send(client, body)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert str(settings.MAX_BODY_BYTES) in response.json()["detail"]


def _chunked(size):
    request = RequestFactory().post(START, content_type="application/json")
    del request.META["CONTENT_LENGTH"]
    request.META |= {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": BytesIO(b"x" * size),
    }
    return request


def test_chunked_body_over_limit_is_413(settings):
    request = _chunked(settings.MAX_BODY_BYTES + 500)
    assert BodyLimitMiddleware(lambda _: None)(request).status_code == 413
    assert request.META["wsgi.input"].tell() == settings.MAX_BODY_BYTES + 1


def test_chunked_body_within_limit_is_passed_on():
    assert BodyLimitMiddleware(lambda request: request.read())(_chunked(500)) == b"x" * 500
