"""The request class of the WSGI application."""

from io import BytesIO

import pytest
from django.test.client import RequestFactory

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
