"""The vendor's client on the worker machines: the source "vendor", which is loaded by dotted path."""

import json
import os
from collections.abc import Sequence
from datetime import date
from typing import Any, ClassVar, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request as HttpRequest, urlopen

from tasks_app.conf import SYNTHETIC_MARKET, Conf
from tasks_app.sources.base import Bar, Request, Symbol, Transient, check_served

URL = "OPERATIONS_DRILL_VENDOR"  # the variable with the vendor's address
SECONDS = 20.0


class VendorSource:
    """Requests one stock at a time by HTTP, and tells the vendor the process that asks."""

    name: ClassVar[str] = "vendor"
    markets: ClassVar[tuple[str, ...]] = (SYNTHETIC_MARKET,)
    adjusts: ClassVar[tuple[str, ...]] = ("",)
    synthetic: ClassVar[bool] = True

    @classmethod
    def from_conf(cls, conf: Conf) -> Self:
        return cls()

    def symbols(self, market: str) -> Sequence[Symbol]:
        """Returns the vendor's list."""
        check_served(self, market)
        return [Symbol(*row) for row in self._get("list")]

    def fetch(self, request: Request) -> Sequence[Bar]:
        """Returns the bars of the requested days."""
        check_served(self, request.market, request.adjust)
        query = {"code": request.code, "start": request.start, "end": request.end}
        return [Bar(date.fromisoformat(day), *rest) for day, *rest in self._get("bars", **query)]

    def _get(self, path: str, **query: Any) -> Any:
        """Returns the vendor's answer. Raises `Transient` where it does not respond, or with an error."""
        url = f"{os.environ[URL]}/{path}?{urlencode(query)}"
        try:
            with urlopen(
                HttpRequest(url, headers={"X-Process": str(os.getpid())}), timeout=SECONDS
            ) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise Transient(f"The vendor answers with HTTP status {error.code}.") from error
        except (URLError, OSError) as error:
            raise Transient(f"The vendor does not respond: {error}.", code="connection_closed") from error
