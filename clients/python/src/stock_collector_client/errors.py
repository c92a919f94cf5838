"""Error responses as exceptions."""

from typing import Any

import httpx


class CollectorError(Exception):
    """The server refused a request. `str()` is its sentence.

    `status` is the HTTP status, `code` the stable code for machines ("" without one), `errors` the errors of
    fields by name, `retry_after` the seconds after which a busy server may be asked again, or None.
    """

    def __init__(
        self,
        sentence: str,
        *,
        status: int,
        code: str = "",
        errors: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.errors = status, code, errors or {}
        self.retry_after = retry_after


class Unauthorized(CollectorError):
    """401: no token, or one that is not valid."""


class Forbidden(CollectorError):
    """403: the user lacks the permission."""


class NotFound(CollectorError):
    """404: there is no such thing."""


KINDS: dict[int, type[CollectorError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}


def raise_for_error(response: httpx.Response) -> None:
    """Raises `CollectorError` unless the response is a success. The body must have been read."""
    if response.is_success:
        return
    try:
        body = response.json()
    except ValueError:  # a proxy's page
        body = None
    if not isinstance(body, dict):
        body = {}
    sentence = str(body.get("detail") or f"HTTP {response.status_code} {response.reason_phrase}")
    kind = KINDS.get(response.status_code, CollectorError)
    raise kind(
        sentence,
        status=response.status_code,
        code=str(body.get("code", "")),
        errors=body.get("errors"),
        retry_after=_retry_after(response),
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Returns the seconds in the response's Retry-After; None without one, or where it is a date."""
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isascii() and seconds.isdigit() else None
