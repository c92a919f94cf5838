"""The stored bars of one stock, in pages of JSON or as one stream of CSV."""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import F, QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from tasks_app.api import schema
from tasks_app.api.pagination import ByDay
from tasks_app.api.renderers import Csv, Json
from tasks_app.api.serializers import CODE, QuoteQuery, checked
from tasks_app.conf import MARKETS
from tasks_app.models import DailyBar, Stock

BEFORE = ("market", "code", "adjust")
AFTER = (
    "day",
    "open",
    "high",
    "low",
    "close",
    "prev_close",
    "volume",
    "amount",
    "amplitude",
    "change",
    "change_pct",
    "turnover",
    "source",
    "collected_at",
)
MAX_ROWS = 100_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Quotes(ViewSet):
    """The stored bars of one stock, by rising day. `?format=csv` sends all of them."""

    renderer_classes = (Json, BrowsableAPIRenderer, Csv)

    @schema.QUOTES
    def bars(self, request: Request, market: str, code: str) -> HttpResponseBase:
        filters = checked(QuoteQuery, request.query_params.dict())
        _require_stock(market, code)
        bars = DailyBar.objects.filter(market=market, symbol=code, **filters)
        rows = bars.values(*AFTER, "market", "adjust", code=F("symbol"))
        if isinstance(request.accepted_renderer, Csv):
            return _csv(rows.order_by("day"), f"{market}-{code}.csv")
        return ByDay().answer(request, rows)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Only bars are told in CSV; whatever else there is to say, errors above all, in JSON."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(answer, Response) and isinstance(answer.accepted_renderer, Csv):
            answer.accepted_renderer, answer.accepted_media_type = Json(), Json.media_type
        return answer


def _require_stock(market: str, code: str) -> None:
    well_formed = market in MARKETS and re.fullmatch(CODE, code)
    if not well_formed or not Stock.objects.filter(market=market, code=code).exists():
        raise NotFound(_("There is no such stock."))


class _Line:
    """A file for csv.writer that keeps nothing: what is written is handed back."""

    def write(self, text: str) -> str:
        return text


def _csv(rows: QuerySet[Any, dict[str, Any]], name: str) -> StreamingHttpResponse:
    """At most MAX_ROWS rows, streamed: memory does not grow with them."""
    columns = (*BEFORE, *AFTER)
    told = ([safe(row[column]) for column in columns] for row in rows[:MAX_ROWS].iterator(chunk_size=1000))
    answer = StreamingHttpResponse(_lines(columns, told), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _lines(columns: Iterable[str], rows: Iterable[list[Any]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow(row)


def safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a leading '. Numbers stay numbers."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value.isoformat() if hasattr(value, "isoformat") else value
