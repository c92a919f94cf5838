"""The bars of one stock, as pages of JSON or as a stream of CSV; its factors and corporate actions."""

import re
from typing import Any

from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api.fields import validated_query
from tasks_app.api.openapi import data as openapi
from tasks_app.api.pagination import days_response, page_response
from tasks_app.api.queries import AsOfQuery, ChangeQuery, GapQuery, QuoteQuery
from tasks_app.api.renderers import ApiJSONRenderer, CSVRenderer
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.conf import ALL_MARKETS
from tasks_app.history import change_feed, versions
from tasks_app.market.codes import SPELLING, find_stored
from tasks_app.models import Stock
from tasks_app.quotes import adjusted_prices, adjustment_payloads, csv_export
from tasks_app.quotes.gaps import Gap, read_gaps


class QuoteViewSet(BrowsableViewSet):
    """The stored bars of one stock, in date order."""

    renderer_classes = (ApiJSONRenderer, BrowsableAPIRenderer, CSVRenderer)

    @openapi.QUOTES
    def bars(self, request: Request, market: str, code: str) -> HttpResponseBase:
        filters = validated_query(QuoteQuery, request)
        code, adjust, wanted = _stored_code(market, code), filters.pop("adjust"), filters.pop("basis", "")
        moment = versions.moment_of(text) if (text := filters.pop("as_of", "")) else None
        basis = adjusted_prices.StockPrices(market, code, moment).basis(adjust, wanted)
        if basis is None:
            raise NotFound(_("There are no unadjusted bars with adjustment factors of this stock."))
        is_csv, name = isinstance(request.accepted_renderer, CSVRenderer), f"{market}-{code}.csv"
        is_whole = is_csv and not {"limit", "cursor"} & request.query_params.keys()
        if moment is not None:
            known = csv_export.known_rows(market, code, basis, moment, **filters)
            versions.require_kept(moment)
            if is_whole:
                return csv_export.csv_response(csv_export.on_basis(known, basis, moment), name)
            by_day = {row["day"]: row for row in known}
            page = days_response(
                request,
                list(by_day),
                lambda days: list(csv_export.on_basis(map(by_day.__getitem__, days), basis, moment)),
            )
        else:
            rows = csv_export.bar_rows(market, code, basis, **filters)
            if is_whole:
                return csv_export.download_response(rows, name, basis)
            page = page_response(request, rows, ["day"], lambda page: list(csv_export.on_basis(page, basis)))
        if not is_csv:
            return page
        response = csv_export.csv_response(page.data, name)
        if "Link" in page:
            response["Link"] = page["Link"]
        return response

    @openapi.GAPS
    def gaps(self, request: Request, market: str, code: str) -> Response:
        query = validated_query(GapQuery, request)
        stock = Stock.objects.get(market=market, code=_stored_code(market, code))
        found = read_gaps(stock, query["adjust"], query.get("start"), query.get("end"))
        return Response([_gap(market, gap) for gap in found[: query["limit"]]])

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Streams of bars are the only CSV; anything else, errors above all, is JSON."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if isinstance(response, Response) and isinstance(response.accepted_renderer, CSVRenderer):
            response.accepted_renderer = ApiJSONRenderer()
            response.accepted_media_type = ApiJSONRenderer.media_type
        return response


class ChangeViewSet(BrowsableViewSet):
    """The changes of stored data, by number."""

    @openapi.CHANGES
    def changes(self, request: Request) -> Response:
        query = validated_query(ChangeQuery, request)
        return Response(change_feed.changes_since(query["since"], query["limit"], query.get("market", "")))


class AdjustmentViewSet(BrowsableViewSet):
    """The adjustment factors and corporate actions of one stock."""

    @openapi.FACTORS
    def factors(self, request: Request, market: str, code: str) -> Response:
        code, moment = _stored_code(market, code), _moment(request)
        return Response(adjustment_payloads.factor_tables(market, code, moment))

    @openapi.ACTIONS
    def actions(self, request: Request, market: str, code: str) -> Response:
        code, moment = _stored_code(market, code), _moment(request)
        return Response(adjustment_payloads.action_tables(market, code, moment))


def _moment(request: Request) -> versions.Moment | None:
    text = validated_query(AsOfQuery, request).get("as_of", "")
    return versions.moment_of(text) if text else None


def _gap(market: str, gap: Gap) -> dict[str, Any]:
    reason = gap.reason
    return {
        "first_day": gap.first,
        "last_day": gap.last,
        "days": len(gap.days),
        "reason": reason.kind.value,
        "message": reason.describe(market),
        "source": reason.source or None,
        "requested_on": reason.asked_on,
        "bound": reason.bound,
    }


def _stored_code(market: str, code: str) -> str:
    """Returns the code under which the stock is stored, whatever its spelling.

    Raises `NotFound` for an unknown stock.
    """
    may_exist = market in ALL_MARKETS and re.fullmatch(SPELLING, code)
    stored = find_stored(market, code) if may_exist else None
    if stored is None:
        raise NotFound(_("There is no such stock."))
    return stored
