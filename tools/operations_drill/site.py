"""The site as its users see it: the API with a token, and the pages after signing in."""

import re
import time
from typing import Any

import httpx

from tools.nginx_drill import NAME, PASSWORD, PATIENCE

API = "/api/data-collection/"
RULE = {"rules-TOTAL_FORMS": "1", "rules-INITIAL_FORMS": "0", "rules-0-severity": "2"}


class Site:
    """A user of the site, signed in as the superuser."""

    def __init__(self, address: str, token: str) -> None:
        self.client = httpx.Client(base_url=address, headers={"Host": NAME}, verify=False, timeout=PATIENCE)  # noqa: S501
        self.headers = {"Authorization": f"Bearer {token}"}

    def ready(self) -> int:
        """Returns the status of /readyz, 0 while nothing answers."""
        try:
            return self.client.get("/readyz").status_code
        except httpx.TransportError:
            return 0

    def api(self, path: str, body: Any = None, method: str = "") -> Any:
        """Returns the JSON of a response. Raises `AssertionError` for an error."""
        method = method or ("GET" if body is None else "POST")
        answer = self.client.request(method, API + path, json=body, headers=self.headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def sign_in(self) -> None:
        self._post("/admin/login/", {"username": "admin", "password": PASSWORD, "next": "/admin/"})

    def add(self, model: str, **values: str) -> None:
        """Fills in the form of a new object, and saves it."""
        self._post(f"/admin/tasks_app/{model}/add/", values)

    def _post(self, path: str, values: dict[str, str]) -> None:
        time.sleep(0.1)
        form = self.client.get(path).text
        csrf = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert csrf, f"{path} has no form: {form[:500]}"
        body = {**values, "csrfmiddlewaretoken": csrf[0]}
        answer = self.client.post(path, data=body, headers={"Referer": f"https://{NAME}{path}"})
        errors = re.findall(r'class="[^"]*(?:errorlist|text-red)[^"]*"[^>]*>(.*?)</', answer.text, re.S)
        assert answer.status_code == 302, f"{path}: {answer.status_code} {errors}"
