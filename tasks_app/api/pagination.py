"""Lists in pages, by key: a plain JSON array, and the next page's address in the `Link` header."""

from collections.abc import Callable, Sequence
from typing import Any

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
        raise ValidationError({"cursor": [_("Invalid cursor. Use the one in the Link header.")]}) from None
    page = keyset.fetch_page(rows, columns, position, int(request.query_params.get("limit", PAGE)))
    response = Response(serialize(page.rows))
    if page.after:
        address = replace_query_param(request.build_absolute_uri(), "cursor", page.after)
        response["Link"] = f'<{address}>; rel="next"'
    return response
