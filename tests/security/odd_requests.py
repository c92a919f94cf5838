"""Makes odd requests to every path of the site, at random, but the same ones for the same seed.

Paths come from the site's URL configuration; query parameters from the OpenAPI schema, the admin's code and
the links of its pages; form fields from the pages. So a new path, parameter or field is included by itself.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, urlsplit

import tasks_app.admin
from tests.security.url_paths import ALL

METHODS = (*["GET"] * 6, *["POST"] * 4, "HEAD", "OPTIONS", "OPTIONS", "PUT", "PATCH", "DELETE")
ODD_TEXTS = (
    *("", " ", "0", "-0", "-1", "1", "1.5", "01", "1_000", "٣", "²", "true", "null", "nan", "-inf", "1e999"),
    *(str(2**31), str(2**63), str(-(2**63) - 1), str(2**64), "9" * 400, "9" * 5000),
    *(
        "2024-02-30",
        "2024-13-01",
        "2024-00-00",
        "0000-00-00",
        "0001-01-01",
        "9999-12-31",
        "10000-01-01",
        "2024-W60-9",
    ),
    *(
        "2024-01-01T25:00:00",
        "2024-01-01T00:00:00+99:99",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ),
    *("\0", "a\0b", "\ud800", "a\udcffb", "\ufeff", "😀", "é" * 3000, "a" * 9000, "\r\nX-Odd: 1", "\u202e"),
    *(
        "[]",
        "{}",
        "[1,2]",
        '["a"]',
        "[null]",
        '"',
        "'",
        "' OR 1=1 --",
        "%",
        "%s",
        "%00",
        "../../etc/passwd",
        "<script>",
    ),
    *(
        "00000000-0000-4000-8000-000000000000",
        "{00000000-0000-4000-8000-000000000000}",
        "0" * 32,
        "CN",
        "hfq",
        "end",
    ),
)
ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        1e300,
        2**31,
        2**63,
        2**64,
        -(2**63) - 1,
        10**300,
        [],
        {},
        [[]],
        [None],
        [{}],
    ),
    *({"a": {"b": [1]}}, ["\0"], {"$ne": 1}, *ODD_TEXTS),
)
ODD_BODIES = (
    *(
        b"",
        b" ",
        b"{",
        b"}",
        b"[]",
        b"null",
        b"1",
        b'"a"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"NaN",
        b"{'a': 1}",
    ),
    *(b'{"a": NaN}', b'{"start_date": "\xed\xa0\x80"}', b'{"start_date": "\\ud800"}', b'{"a": "\\u0000"}'),
    *(
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"market": ' + b"9" * 5000 + b"}",
        b'{"market": 1e99999}',
        b"\0" * 100,
    ),
    *(b'{"market": "US", "market": 1, "market": []}', b"start_date=2024-01-01", b"--x\r\n\r\n{}\r\n--x--"),
    *(b'{"start_date": "2024-01-01"', b"{" + b'"a": 1, ' * 20_000 + b'"b": 2}', b"x" * 1_100_000),
)
CONTENT_TYPES = (
    *(
        "application/json",
        "application/json; charset=utf-16",
        "application/json; charset=nonsense",
        "text/plain",
        "",
    ),
    *(
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "a/b/c",
        "é",
        ";",
    ),
)
ORDER: Mapping[str, Any] = {
    "start_date": "2024-01-01",
    "end_date": "2024-01-31",
    "market": "CN",
    "source": "simulated",
    "adjust": "",
    "stock_codes": ["000001"],
    "test_mode": False,
    "full_collection_mode": False,
    "force_update": False,
    "fallbacks": [],
    "error_code": "",
}
HEADERS = {
    "HTTP_ACCEPT": (
        "text/html",
        "application/json",
        "text/csv",
        "*/*",
        "",
        "a",
        "text/html;q=x",
        "application/json;v=" + "9" * 99,
    ),
    "HTTP_ACCEPT_LANGUAGE": ("zh-CN", "en", "xx", "", "é", "zh-" * 300, "en;q=9e99"),
    "HTTP_AUTHORIZATION": (
        "Token",
        "Token ",
        "Token a b",
        "Bearer \xff",
        "Token " + "a" * 9000,
        "Basic !",
        "Token \0",
    ),
    "HTTP_IF_NONE_MATCH": ("*", '"a"', 'W/"', "é", ",", '"' * 999),
    "HTTP_IDEMPOTENCY_KEY": ("a", "", "é", "a" * 300, " "),
    "HTTP_ORIGIN": ("null", "http://[", "https://example.org", "é"),
    "HTTP_REFERER": ("http://[", "é", "//"),
    "HTTP_RANGE": ("bytes=0-", "bytes=9-1", "x"),
    "HTTP_COOKIE": ("sessionid=\0", "django_language=" + "é" * 40, "messages=x", "a=b; ;; =", "csrftoken=1"),
    "HTTP_X_FORWARDED_FOR": (
        "a",
        "1.2.3.4, ::1, é",
    ),
}
KEY_PARAMETERS = ("after", "before", "cursor")
GROUP = re.compile(r"<[^>]+>|\(\?P<\w+>[^()]*\)")
READ_PARAMETER = re.compile(r"GET(?:\.get|\.getlist|\.pop)?[(\[]\s*[\"'](\w+)[\"']")


@dataclass(frozen=True)
class OddRequest:
    """One request. `path` and `query` are percent-encoded, `headers` as in a WSGI environment."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False

    def __str__(self) -> str:
        details = (
            f"{self.content_type!r} {self.body[:200]!r} {self.headers}" if self.body or self.headers else ""
        )
        return f"{self.method} {self.path[:300]}?{self.query[:600]} {details}"


@dataclass(frozen=True)
class Vocabulary:
    """What requests are made of, apart from odd values.

    `paths` are an existing address for each route; `parameters` and `fields` the names of query parameters
    and form fields; `keys` are the values of some rows in the order of their lists, which name pages.
    """

    paths: Mapping[str, str]
    parameters: Sequence[str]
    fields: Sequence[str]
    keys: Sequence[Sequence[Any]]


def routes() -> list[str]:
    """Returns the routes of the site."""
    return [route for _, route in ALL]


def parameters_in_source() -> set[str]:
    """Returns the names of query parameters that the admin's code reads, and of its functions' arguments.

    The latter, because a query that is passed on as keywords must not collide with them.
    """
    texts = [file.read_text() for file in Path(tasks_app.admin.__path__[0]).rglob("*.py")]
    arguments = (
        node.arg for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.arg)
    )
    return {*arguments, *(name for text in texts for name in READ_PARAMETER.findall(text))}


def parameters_in_schema(schema: Mapping[str, Any]) -> set[str]:
    """Returns the names of all parameters of an OpenAPI schema."""
    operations = (one for path in schema["paths"].values() for one in path.values())
    return {each["name"] for operation in operations for each in operation.get("parameters", ())}


def names_in_page(page: str) -> tuple[set[str], set[str]]:
    """Returns the names of a page's form fields, and of the parameters of its links."""
    fields = set(re.findall(r"<(?:input|select|textarea)[^>]*\sname=\"([^\"]+)\"", page))
    links = [urlsplit(unescape(link)).query for link in re.findall(r'href="([^"]*\?[^"]*)"', page)]
    return fields, {name for link in links for name, _ in parse_qsl(link, keep_blank_values=True)}


def odd_requests(words: Vocabulary, seed: int, count: int) -> Iterator[OddRequest]:
    """Yields `count` requests to every route in turn: OPTIONS, all parameters at once, then random ones.

    A count that would not reach beyond the first random one of each is spread over these three rounds.
    """
    by_route = routes()
    rounds = 3 * len(by_route)
    for number in range(count) if count > rounds else range(0, rounds, -(-rounds // count)):
        random, route = Random(f"{seed}/{number}"), by_route[number % len(by_route)]
        if number < len(by_route):
            yield OddRequest("OPTIONS", words.paths[route])
        elif number < 2 * len(by_route):
            yield OddRequest("GET", words.paths[route], _query(random, words, words.parameters))
        else:
            yield _random_request(random, words, route)


def _random_request(random: Random, words: Vocabulary, route: str) -> OddRequest:
    method = random.choice(METHODS)
    body, content_type = b"", ""
    if method in {"POST", "PUT", "PATCH", "DELETE"}:
        body, content_type = _body(random, words, is_api=route.startswith("api"))
    names = [random.choice(words.parameters) for _ in range(random.choice((0, 1, 1, 2, 3, 20)))]
    if random.random() < 0.2:
        names.append(random.choice(KEY_PARAMETERS))
    chosen = random.sample(sorted(HEADERS), random.choice((0, 0, 0, 1, 3)))
    return OddRequest(
        method=method,
        path=words.paths[route] if random.random() < 0.7 else _odd_path(random, route),
        query=_query(random, words, names),
        body=body,
        content_type=content_type,
        headers={name: random.choice(HEADERS[name]) for name in chosen},
        anonymous=random.random() < 0.05,
    )


def _odd_path(random: Random, route: str) -> str:
    plain = route.removeprefix("^").removesuffix("$")
    path = GROUP.sub(lambda _: _encode(random.choice(ODD_TEXTS)[:300]).replace("/", "%2F"), plain)
    return "/" + re.sub(r"[\\^$()?*|\[\]]", "", path)


def _query(random: Random, words: Vocabulary, names: Sequence[str]) -> str:
    return "&".join(
        f"{_encode(_odd_name(random, name))}={_encode(_value(random, words, name))}" for name in names
    )


def _odd_name(random: Random, name: str) -> str:
    suffixes = ("__in", "__exact", "__isnull", "__gte", "__year", "[]", "__nothing", "__id__exact")
    return name + random.choice(suffixes) if random.random() < 0.1 else name


def _value(random: Random, words: Vocabulary, name: str) -> str:
    if name in KEY_PARAMETERS and random.random() < 0.9:
        return _odd_key(random, random.choice(words.keys))
    return str(random.choice(ODD_TEXTS))


def _odd_key(random: Random, key: Sequence[Any]) -> str:
    """Returns a page's key, mostly with a value replaced, added or left out."""
    values = list(key)
    if random.random() < 0.8:
        values[random.randrange(len(values))] = random.choice(ODD_VALUES)
    if random.random() < 0.1:
        values = values[:-1] if random.random() < 0.5 else [*values, 1]
    return json.dumps(
        values, ensure_ascii=random.random() < 0.5, separators=random.choice((None, (",", ":")))
    )


def _body(random: Random, words: Vocabulary, *, is_api: bool) -> tuple[bytes, str]:
    if random.random() < 0.15:
        return random.choice(ODD_BODIES), random.choice(CONTENT_TYPES)
    if is_api:
        order = dict(ORDER)
        for name in random.sample(sorted(ORDER), random.choice((0, 1, 2))):
            order[name] = random.choice(ODD_VALUES)
        return json.dumps(order).encode(), "application/json"
    names = [random.choice(words.fields) for _ in range(random.choice((0, 2, 6, 12)))]
    pairs = "&".join(f"{_encode(name)}={_encode(_value(random, words, name))}" for name in names)
    return pairs.encode(), "application/x-www-form-urlencoded"


def _encode(text: str) -> str:
    """Percent-encodes a text; lone surrogates become bytes that are no UTF-8."""
    return quote_from_bytes(text.encode(errors="surrogatepass"), safe="")
