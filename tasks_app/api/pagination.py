"""Lists in pages, by key: a plain JSON array, and the next page's address in the `Link` header."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import orjson
from django.core.exceptions import ValidationError as InvalidKey
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tasks_app.db import keyset

PAGE = 100  # rows
MAX_PAGE = 1000
INVALID_CURSOR = _("Invalid cursor. Use the one in the Link header.")


def page_response(
    request: Request,
    rows: QuerySet[Any, Any],
    ordering: Sequence[str],
    serialize: Callable[[Sequence[Any]], list[Any]] = list,
) -> Response:
    """Returns the page that `limit` (already validated) and `cursor` of the request name, in `ordering`.

    Raises `ValidationError` for a cursor that is no key of this list.
    """
    columns = keyset.order_columns(rows.model, ordering)
    try:
        position = keyset.parse_position(columns, after=request.query_params.get("cursor"))
    except InvalidKey:
        raise ValidationError({"cursor": [INVALID_CURSOR]}) from None
    page = keyset.fetch_page(rows, columns, position, int(request.query_params.get("limit", PAGE)))
    return _linked(request, serialize(page.rows), page.after)


def days_response(
    request: Request, days: Sequence[date], serialize: Callable[[Sequence[date]], list[Any]]
) -> Response:
    """Returns the page of ascending days that `limit` and `cursor` name, each of which is its own key.

    Raises `ValidationError` for a cursor that is no key of this list.
    """
    begin, size = 0, int(request.query_params.get("limit", PAGE))
    if "cursor" in request.query_params:
        try:
            (text,) = orjson.loads(request.query_params["cursor"])
            begin = bisect_right(days, date.fromisoformat(text))
        except (ValueError, TypeError):
            raise ValidationError({"cursor": [INVALID_CURSOR]}) from None
    page = days[begin : begin + size]
    after = orjson.dumps([page[-1]]).decode() if begin + size < len(days) else None
    return _linked(request, serialize(page), after)


def _linked(request: Request, rows: list[Any], after: str | None) -> Response:
    """Returns the response with the address of the page after this key."""
    response = Response(rows)
    if after:
        address = replace_query_param(request.build_absolute_uri(), "cursor", after)
        response["Link"] = f'<{address}>; rel="next"'
    return response
