"""The conditional response: which requests are answered with 304."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from tasks_app.http.conditional import conditional_response, etag_for

ETAG = etag_for("a version")
OPAQUE = ETAG.removeprefix("W/")


def respond(method="get", **headers):
    """Returns the response, and how often it was built."""
    built = []
    request = getattr(RequestFactory(), method)("/", headers=headers)
    response = conditional_response(request, ETAG, lambda: built.append(1) or HttpResponse("body"))
    return response, len(built)


def test_etag_is_weak_and_follows_the_version():
    assert ETAG.startswith('W/"')
    assert ETAG == etag_for(b"a version") != etag_for("another version")


@pytest.mark.parametrize("header", [ETAG, OPAQUE, f'W/"other", {ETAG}', f'"other",{OPAQUE}', "*"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_current_version_is_304_and_not_built(method, header):
    response, built = respond(method, **{"If-None-Match": header})
    assert (response.status_code, response.content, built) == (304, b"", 0)
    assert (response["ETag"], response["Cache-Control"]) == (ETAG, "private, no-cache")


@pytest.mark.parametrize("header", ["", 'W/"other"', OPAQUE.strip('"'), "nonsense"])
def test_other_version_is_built(header):
    response, built = respond(**{"If-None-Match": header})
    assert (response.status_code, response.content, built) == (200, b"body", 1)
    assert (response["ETag"], response["Cache-Control"]) == (ETAG, "private, no-cache")


def test_post_is_never_304():
    assert respond("post", **{"If-None-Match": ETAG})[0].status_code == 200


def test_if_match_is_ignored():
    assert respond(**{"If-Match": '"other"'})[0].status_code == 200
