"""A signed-in browser session, and an open task page that refreshes itself."""

import http.client
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.harness import Access

LOGIN = "/admin/login/"
# quickstart shows a random password only once per database, so it is set here.
PASSWORD = "only-for-benchmarks-1"  # noqa: S105
SETTINGS = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}


@dataclass
class TaskPage:
    """An open task page: the ETag and the digests of the parts that it shows."""

    task_id: str
    etag: str = ""
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The address of its refresh."""
        digests = ",".join(f"{name}.{digest}" for name, digest in self.digests.items())
        return f"/admin/tasks_app/collectiontask/{self.task_id}/live/?{urlencode({'have': digests})}"

    @property
    def headers(self) -> dict[str, str]:
        return {"If-None-Match": self.etag} if self.etag else {}

    def update(self, headers: Any, body: bytes) -> None:
        self.etag = headers["etag"]
        if body:
            answer = json.loads(body)
            self.digests.update({name: digest for name, (digest, _) in answer["parts"].items()})
            if "cells" in answer:
                self.digests["cells"] = answer["cells"][0]


class Browser:
    """A keep-alive connection with a session `cookie`."""

    def __init__(self, access: Access) -> None:
        address = urlsplit(access["url"])
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port)
        self.cookie = self._sign_in(access)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[float, Any, bytes]:
        """Returns seconds, response and body; the status must be 200, 204, 302 or 304."""
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
