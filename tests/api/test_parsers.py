"""Bodies: what can't be read is a 400 that says why."""

import pytest

from tests.api.factories import START, client_of, send
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return client_of(make_user("root", is_superuser=True))


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[]", "object"),
        (b"3", "object"),
        (b"null", "object"),
        (b'"x"', "object"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'{"market": "\\ud800"}', "surrogate"),
        (b'{"stock_codes": ["\\ud800"]}', "surrogate"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'{"source": "a\\u0000b"}', "NUL"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[" * 400_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b"", "required"),
        (b"{}", "required"),
    ],
)
def test_unreadable_body_is_rejected(client, body, part):
    response = send(client, body)
    assert response.status_code == 400
    assert part in response.json()["detail"]


def test_byte_order_mark_is_accepted(client):
    assert send(client, b"\xef\xbb\xbf{}").json()["code"] == "invalid"


@pytest.mark.parametrize("charset", ["hex", "utf-16", "rot13", "nonsense"])
def test_charset_is_ignored(client, charset):
    response = send(client, b'{"start_date": "x"}', content_type=f"application/json; charset={charset}")
    assert response.json()["errors"].keys() == {"start_date", "end_date"}


def test_short_content_length_cuts_the_body(client):
    body = b'{"start_date": "2024-01-01"}'
    response = client.generic("POST", START, body, content_type="application/json", CONTENT_LENGTH="5")
    assert (response.status_code, response.json()["code"]) == (400, "parse_error")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"a": 1,}', "请求体不是 JSON：第 1 行第 9 列。"),
        (b'{"a": NaN}', "请求体不是 JSON：其中有数字无法读取。"),
    ],
)
def test_body_error_in_chinese(client, body, detail):
    assert send(client, body, **{"Accept-Language": "zh-CN"}).json()["detail"] == detail
