"""Pages by key: a plain JSON array, the next page in a Link header, never an offset into the past."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection
from django.db.models import QuerySet, TextField, Value
from django.db.models.functions import Cast
from django.utils.translation import gettext_lazy as _
from rest_framework import fields
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

PAGE = 100
MAX_PAGE = 1000


class Keyset(CursorPagination):
    """A page in the order of `ordering`, whose first field a cursor's position must fit."""

    page_size = PAGE
    max_page_size = MAX_PAGE
    page_size_query_param = "limit"
    position: fields.Field[Any, Any, Any, Any]

    def answer(
        self,
        request: Request,
        queryset: QuerySet[Any, Any],
        tell: Callable[[Sequence[Any]], list[Any]] = list,
    ) -> Response:
        """The page that the request asks for, told by `tell`. Raises `ValidationError` for a bad cursor."""
        page = self.paginate_queryset(queryset, request)
        link = self.get_next_link()
        return Response(tell(page or []), headers={"Link": f'<{link}>; rel="next"'} if link else None)

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor = super().decode_cursor(request)
            if cursor is None or (cursor.position is None and cursor.offset):
                return cursor
            position: Any = str(self.position.run_validation(cursor.position))
            return cursor._replace(position=position)
        except (NotFound, ValidationError):
            raise ValidationError({"cursor": [_("This cursor is not one of ours.")]}) from None


class NewestFirst(Keyset):
    """Tasks."""

    ordering = ("-start_time", "-id")
    position = fields.DateTimeField()

    def answer(
        self,
        request: Request,
        queryset: QuerySet[Any, Any],
        tell: Callable[[Sequence[Any]], list[Any]] = list,
    ) -> Response:
        """On SQLite a time is text, in as many digits as its writer used: there the text is the key."""
        if _times_are_text():
            queryset = queryset.annotate(start_text=Cast("start_time", TextField()))
        return super().answer(request, queryset, tell)

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor is None or cursor.position is None or not _times_are_text():
            return cursor
        given = CursorPagination.decode_cursor(self, request)
        position: Any = Value(given and given.position, TextField())
        return cursor._replace(position=position)

    def _get_position_from_instance(self, instance: Any, ordering: Sequence[str]) -> str:
        if _times_are_text():
            return str(instance.start_text)
        return super()._get_position_from_instance(instance, ordering)


def _times_are_text() -> bool:
    return connection.vendor == "sqlite"


class ByPosition(Keyset):
    """Items of a task."""

    ordering = ("position",)
    position = fields.IntegerField(min_value=0, max_value=2**31 - 1)


class ByDay(Keyset):
    """Bars of a stock."""

    ordering = ("day",)
    position = fields.DateField(input_formats=["iso-8601"])
