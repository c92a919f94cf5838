"""A browser that has signed in as the quickstart's user, and an open task page that keeps itself fresh."""

import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.product import Access

LOGIN = "/admin/login/"
# A second product on the same database does not tell the password again, so it is given.
PASSWORD = "only-for-benchmarks-1"  # noqa: S105
SETTINGS = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}


@dataclass
class Page:
    """One open task page: its version, and the parts that it has."""

    task_id: str
    etag: str = ""
    have: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of its refresh."""
        have = ",".join(f"{name}.{digest}" for name, digest in self.have.items())
        return f"/admin/tasks_app/collectiontask/{self.task_id}/live/?{urlencode({'have': have})}"

    @property
    def headers(self) -> dict[str, str]:
        return {"If-None-Match": self.etag} if self.etag else {}

    def take(self, headers: Any, body: bytes) -> None:
        self.etag = headers["etag"]
        if body:
            answer = json.loads(body)
            self.have.update({name: digest for name, (digest, _) in answer["parts"].items()})
            if "cells" in answer:
                self.have["cells"] = answer["cells"][0]


class Browser:
    """One kept connection; `cookie` is the session's."""

    def __init__(self, access: Access) -> None:
        place = urlsplit(access["url"])
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port)
        self.cookie = self._sign_in(access)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[float, Any, bytes]:
        """The seconds that it took, the answer and its body, which is good, unchanged or empty."""
        began = time.perf_counter()
        self.connection.request("GET", path, headers={"Cookie": self.cookie, **(headers or {})})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status in {200, 204, 302, 304}, (path, answer.status)
        return time.perf_counter() - began, answer, body

    def _sign_in(self, access: Access) -> str:
        self.connection.request("GET", LOGIN)
        answer = self.connection.getresponse()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', answer.read().decode())
        assert token
        form = {
            "csrfmiddlewaretoken": token[1],
            "username": access["user"],
            "password": PASSWORD,
            "next": "/admin/",
        }
        headers = {
            "Cookie": answer.headers["Set-Cookie"].split(";")[0],
            "Content-Type": "application/x-www-form-urlencoded",
            "Referer": access["url"],
        }
        self.connection.request("POST", LOGIN, urlencode(form), headers)
        answer = self.connection.getresponse()
        answer.read()
        cookies = answer.headers.get_all("Set-Cookie") or []
        return next(cookie.split(";")[0] for cookie in cookies if cookie.startswith("sessionid"))
