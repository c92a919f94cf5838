"""The WSGI application, as a server calls it."""

from io import BytesIO

import pytest
from django.http import StreamingHttpResponse
from django.test.client import RequestFactory

from collector_site.middleware import StripHeadBodyMiddleware
from collector_site.wsgi import Utf8Request, application


@pytest.mark.parametrize("charset", ["hex", "base64", "rot13", "utf-16", "nonsense"])
def test_a_charset_that_is_no_text_encoding_does_not_break_the_request(charset):
    content_type = f"application/json; charset={charset}"
    environ = RequestFactory()._base_environ(
        PATH_INFO="/healthz", QUERY_STRING="a=%E4%B8%AD", CONTENT_TYPE=content_type
    )
    environ["wsgi.input"] = BytesIO()
    request = Utf8Request(environ)
    assert (request.GET["a"], request.content_type) == ("中", "application/json")
    assert application.request_class is Utf8Request


def call(method, path, **environ):
    """Status, headers and body, which Django's test client would cut itself."""
    told = {}
    request = RequestFactory()._base_environ(
        REQUEST_METHOD=method, PATH_INFO=path, **{"wsgi.input": BytesIO(), **environ}
    )
    answer = application(request, lambda status, headers: told.update(status=status, headers=dict(headers)))
    return int(told["status"][:3]), told["headers"], b"".join(answer)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/api/data-collection/tasks", "/api/x", "/static/no"]
)
def test_an_answer_to_head_has_no_body_and_the_headers_of_get(path):
    status, headers, body = call("GET", path)
    assert (bool(body), call("HEAD", path)) == (True, (status, headers, b""))


def test_a_stream_that_head_asks_for_is_not_begun():
    begun = []
    answer = StreamingHttpResponse(begun.append(n) or b"x" for n in range(3))
    assert b"".join(StripHeadBodyMiddleware(lambda request: answer)(RequestFactory().head("/"))) == b""
    assert not begun


@pytest.mark.django_db
def test_a_foreign_host_costs_one_line_of_the_log(caplog):
    assert call("GET", "/healthz", HTTP_HOST="evil.example")[0] == 400
    (record,) = (record for record in caplog.records if record.name == "django.security.DisallowedHost")
    assert "evil.example" in record.getMessage()
    assert record.exc_info is None
