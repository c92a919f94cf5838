"""The sessions of a market: which are sealed, and what the others lack."""

from datetime import date
from threading import BoundedSemaphore
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api.fields import validated, validated_query
from tasks_app.api.openapi import data as openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.queries import DayPath, DayQuery, DaysQuery
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.conf import ALL_MARKETS
from tasks_app.market import calendars
from tasks_app.models import MarketDay
from tasks_app.quotes import market_days, sealed_days

NAMED = 100  # securities without a bar or reason
MAX_WAITING = 2  # requests at once in this process, each of which holds a thread: half of quickstart's
_waiting = BoundedSemaphore(MAX_WAITING)


class TooManyWaiting(APIException):
    """All requests that may wait in this process do."""

    status_code = 429
    default_code = "too_many_waiting"
    default_detail = _("Too many requests wait for a day. Try again in a few seconds, or ask without “wait”.")
    wait = 5  # seconds; sent as Retry-After


class DayViewSet(BrowsableViewSet):
    """The days of a market."""

    @openapi.DAYS
    def days(self, request: Request, market: str) -> Response:
        query = validated_query(DaysQuery, request)
        rows = MarketDay.objects.filter(market=_known(market), kind=query["kind"])
        return page_response(request, rows, ["-day"], lambda page: list(map(sealed_days.describe, page)))

    @openapi.DAY
    def day(self, request: Request, market: str, day: str) -> Response:
        query = validated_query(DayQuery, request)
        market, on = _known(market), validated(DayPath, {"day": day})["day"]
        calendar = calendars.load_calendar(market)
        if on > calendar.latest_session() or on not in calendar.sessions(on, on).days:
            raise NotFound(_("The market had no session on that day, or its bars are not final yet."))
        row = _wait(market, query["kind"], on, query["wait"])
        return Response({**sealed_days.describe(row), **_missing(row)})


def _wait(market: str, kind: str, day: date, seconds: int) -> MarketDay:
    """Returns the day once it is sealed, or after these seconds. Raises `TooManyWaiting`."""
    if not seconds:
        return sealed_days.wait_until_sealed(market, kind, day, 0)
    if not _waiting.acquire(blocking=False):
        raise TooManyWaiting
    try:
        return sealed_days.wait_until_sealed(market, kind, day, seconds)
    finally:
        _waiting.release()


def _missing(row: MarketDay) -> dict[str, Any]:
    """Returns what an unsealed day lacks, as it is stored now."""
    if row.sealed_at is not None:
        return {"unsealed_reason": None, "missing_count": 0, "missing": []}
    contents = market_days.read_day(market_days.MarketListing(row.market, row.kind), row.day)
    codes = contents.missing
    reasons = market_days.reasons_on(row.market, row.day, codes[:NAMED])
    return {
        "unsealed_reason": contents.unsealed_reason.value,
        "missing_count": len(codes),
        "missing": [
            {"code": code, "reason": reasons[code].kind.value, "message": reasons[code].describe(row.market)}
            for code in codes[:NAMED]
        ],
    }


def _known(market: str) -> str:
    if market not in ALL_MARKETS:
        raise NotFound(_("There is no such market."))
    return market
