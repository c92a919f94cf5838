"""The stored bars of one stock, in pages of JSON or as one stream of CSV."""

import re
from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from tasks_app.api import openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.renderers import ApiJSONRenderer, CSVRenderer
from tasks_app.api.serializers import CODE, QuoteQuery, validated
from tasks_app.conf import MARKETS
from tasks_app.market.codes import spellings
from tasks_app.models import Stock
from tasks_app.quotes import csv_export


class QuoteViewSet(ViewSet):
    """The stored bars of one stock, by rising day. or as a file."""

    renderer_classes = (ApiJSONRenderer, BrowsableAPIRenderer, CSVRenderer)

    @openapi.QUOTES
    def bars(self, request: Request, market: str, code: str) -> HttpResponseBase:
        filters = validated(QuoteQuery, request.query_params.dict())
        code = _stored(market, code)
        rows = csv_export.bar_rows(market, code, **filters)
        if isinstance(request.accepted_renderer, CSVRenderer):
            return _csv(request, rows, f"{market}-{code}.csv")
        return page_response(request, rows, ["day"])

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Only bars are told in CSV; whatever else there is to say, errors above all, in JSON."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(answer, Response) and isinstance(answer.accepted_renderer, CSVRenderer):
            answer.accepted_renderer, answer.accepted_media_type = (
                ApiJSONRenderer(),
                ApiJSONRenderer.media_type,
            )
        return answer


def _csv(request: Request, rows: QuerySet[Any, dict[str, Any]], name: str) -> HttpResponseBase:
    """All rows that a file may hold; one page of them for who asks for pages."""
    if not {"limit", "cursor"} & request.query_params.keys():
        return csv_export.download_response(rows, name)
    page = page_response(request, rows, ["day"])
    answer = csv_export.csv_response(page.data, name)
    if "Link" in page:
        answer["Link"] = page["Link"]
    return answer


def _stored(market: str, code: str) -> str:
    """The code as it is stored: as it was given, else as an order would take it. Raises `NotFound`."""
    if market in MARKETS and re.fullmatch(CODE, code):
        stocks = Stock.objects.filter(market=market, code__in=spellings(code))
        if found := set(stocks.values_list("code", flat=True)):
            return code if code in found else found.pop()
    raise NotFound(_("There is no such stock."))
