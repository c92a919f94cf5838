"""The sessions of a market: which are sealed, and what the others lack."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from tasks_app.api import openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.serializers import DayPath, DayQuery, DaysQuery, validated
from tasks_app.conf import ALL_MARKETS
from tasks_app.market import calendars
from tasks_app.models import MarketDay
from tasks_app.quotes import market_days, sealed_days

NAMED = 100  # securities without a bar or reason


class DayViewSet(ViewSet):
    """The days of a market."""

    @openapi.DAYS
    def days(self, request: Request, market: str) -> Response:
        query = validated(DaysQuery, request.query_params.dict())
        rows = MarketDay.objects.filter(market=_known(market), kind=query["kind"])
        return page_response(request, rows, ["-day"], lambda page: list(map(sealed_days.describe, page)))

    @openapi.DAY
    def day(self, request: Request, market: str, day: str) -> Response:
        query = validated(DayQuery, request.query_params.dict())
        market, on = _known(market), validated(DayPath, {"day": day})["day"]
        calendar = calendars.load_calendar(market)
        if on > calendar.latest_session() or on not in calendar.sessions(on, on).days:
            raise NotFound(_("The market had no session on that day, or its bars are not final yet."))
        key = {"market": market, "kind": query["kind"], "day": on}
        row = MarketDay.objects.filter(**key).first() or MarketDay(**key)
        return Response({**sealed_days.describe(row), **_missing(row)})


def _missing(row: MarketDay) -> dict[str, Any]:
    """Returns what an unsealed day lacks, as it is stored now."""
    if row.sealed_at is not None:
        return {"missing_count": 0, "missing": []}
    listing = market_days.MarketListing(row.market, row.kind)
    codes = market_days.read_day(listing, row.day).missing
    reasons = market_days.reasons_on(row.market, row.day, codes[:NAMED])
    return {
        "missing_count": len(codes),
        "missing": [
            {"code": code, "reason": reasons[code].kind.value, "message": reasons[code].describe()}
            for code in codes[:NAMED]
        ],
    }


def _known(market: str) -> str:
    if market not in ALL_MARKETS:
        raise NotFound(_("There is no such market."))
    return market
