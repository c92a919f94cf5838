"""The WSGI application, called as a server calls it."""

from io import BytesIO

import django.utils.cache
import pytest
from django.http import StreamingHttpResponse
from django.test.client import RequestFactory

from collector_site.middleware import StripHeadBodyMiddleware
from collector_site.wsgi import Utf8Request, application


@pytest.mark.parametrize("charset", ["hex", "base64", "rot13", "utf-16", "nonsense"])
def test_charset_without_text_codec_is_ignored(charset):
    content_type = f"application/json; charset={charset}"
    environ = RequestFactory()._base_environ(
        PATH_INFO="/healthz", QUERY_STRING="a=%E4%B8%AD", CONTENT_TYPE=content_type
    )
    environ["wsgi.input"] = BytesIO()
    request = Utf8Request(environ)
    assert (request.GET["a"], request.content_type) == ("中", "application/json")
    assert application.request_class is Utf8Request


def call_wsgi(method, path, **environ):
    """Returns status, headers and body. Django's test client would drop the body of HEAD itself."""
    started = {}
    request = RequestFactory()._base_environ(
        REQUEST_METHOD=method, PATH_INFO=path, **{"wsgi.input": BytesIO(), **environ}
    )
    response = application(
        request, lambda status, headers: started.update(status=status, headers=dict(headers))
    )
    return int(started["status"][:3]), started["headers"], b"".join(response)


@pytest.mark.django_db
@pytest.mark.usefixtures("own_cache")  # /readyz depends on heartbeats, which end after three seconds
@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/api/data-collection/tasks", "/api/x", "/static/no"]
)
def test_head_has_headers_of_get_and_no_body(path, monkeypatch):
    monkeypatch.setattr(django.utils.cache, "http_date", lambda _: "of both")  # of `Expires`, in seconds
    same = {"HTTP_X_REQUEST_ID": "of-both-requests"}
    status, headers, body = call_wsgi("GET", path, **same)
    assert (bool(body), call_wsgi("HEAD", path, **same)) == (True, (status, headers, b""))


def test_head_does_not_start_a_stream():
    begun = []
    response = StreamingHttpResponse(begun.append(n) or b"x" for n in range(3))
    assert b"".join(StripHeadBodyMiddleware(lambda request: response)(RequestFactory().head("/"))) == b""
    assert not begun


@pytest.mark.django_db
def test_foreign_host_is_logged_in_one_line(caplog):
    assert call_wsgi("GET", "/healthz", HTTP_HOST="evil.example")[0] == 400
    (record,) = (record for record in caplog.records if record.name == "django.security.DisallowedHost")
    assert "evil.example" in record.getMessage()
    assert record.exc_info is None
