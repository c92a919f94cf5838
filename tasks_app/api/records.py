"""What is recorded beside bars and tasks, in pages: findings, corrections, events, the calendar."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app import reasons
from tasks_app.api import queries
from tasks_app.api.fields import validated_query
from tasks_app.api.openapi import data as openapi, tasks as task_openapi
from tasks_app.api.pagination import days_response, page_response
from tasks_app.api.responses.data import AgreementAnswer
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.market import calendar_days, calendars
from tasks_app.market.codes import canonical_or_same
from tasks_app.models import Correction, Finding, SourceAgreement, TaskEvent
from tasks_app.models.events import EventKind
from tasks_app.sources.market_time import market_today

SHARED_COLUMNS = ("id", "market", "adjust", "day", "source")  # of findings and corrections
MAX_CODES = 100  # of an event's order


class RecordViewSet(BrowsableViewSet):
    """Lists in the order of an index, the newest first; the calendar by day."""

    @openapi.FINDINGS
    def findings(self, request: Request) -> Response:
        filters = validated_query(queries.FindingQuery, request)
        rows = _of_bars(Finding.objects.all(), filters)
        return page_response(request, rows, _order(filters), lambda page: [_finding(row) for row in page])

    @openapi.CORRECTIONS
    def corrections(self, request: Request) -> Response:
        filters = validated_query(queries.BarRecordQuery, request)
        rows = _of_bars(Correction.objects.all(), filters)
        return page_response(request, rows, _order(filters), lambda page: [_correction(row) for row in page])

    @task_openapi.EVENTS
    def events(self, request: Request) -> Response:
        filters = validated_query(queries.EventQuery, request)
        rows = TaskEvent.objects.filter(**filters)
        return page_response(request, rows, ["-at", "-id"], lambda page: [_event(row) for row in page])

    @openapi.AGREEMENT
    def agreement(self, request: Request) -> Response:
        filters = validated_query(queries.AgreementQuery, request)
        rows = SourceAgreement.objects.filter(**filters)
        names = AgreementAnswer().get_fields()
        return page_response(
            request,
            rows,
            ["-month", "-id"],
            lambda page: [{name: getattr(row, name) for name in names} for row in page],
        )

    @openapi.CALENDAR
    def calendar(self, request: Request) -> Response:
        query = validated_query(queries.CalendarQuery, request)
        calendar = calendars.load_calendar(query["market"])
        year = market_today(query["market"]).year
        first, last = query.get("start", date(year, 1, 1)), query.get("end", date(year, 12, 31))
        days = calendar_days.list_days(calendar, first, last, query.get("kind", ""))
        return days_response(request, days, lambda page: calendar_days.describe_days(calendar, page))


def _of_bars(rows: QuerySet[Any], filters: dict[str, Any]) -> QuerySet[Any]:
    """Returns the findings or corrections that the filters leave, each with the item that still exists."""
    filters = dict(filters)
    if code := filters.pop("code", ""):
        filters["symbol__in"] = {code, canonical_or_same(filters["market"], code)}
    return rows.filter(**filters).select_related("item")


def _order(filters: dict[str, Any]) -> Sequence[str]:
    """Returns the order that an index has: by day where days are named without a code, else by id."""
    has_days = filters.keys() & {"day__gte", "day__lte"}
    return ["-day", "-id"] if has_days and "code" not in filters else ["-id"]


def _finding(row: Finding) -> dict[str, Any]:
    return {
        **_shared(row),
        "kind": row.kind,
        "error_code": row.code,
        "message": reasons.describe_finding(row.code, row.message, row.day, row.params),
        "values": row.values,
        "other_source": row.other_source,
        "other_values": row.other_values,
        "found_at": row.found_at,
    }


def _correction(row: Correction) -> dict[str, Any]:
    names = ("bars", "before", "after", "previous_source", "corrected_at")
    own = {name: getattr(row, name) for name in names}
    return {**_shared(row), **own, "is_replayed": row.replay_id is not None}


def _shared(row: Any) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in SHARED_COLUMNS}
    return {**own, "code": row.symbol, "task_id": row.item and str(row.item.task_id)}


def _event(row: TaskEvent) -> dict[str, Any]:
    return {
        "id": row.pk,
        "task_id": str(row.task_id),
        "kind": row.kind,
        "at": row.at,
        "user": row.user_name,
        "channel": row.channel,
        "params": _cut(row.params),
        "message": reasons.translated_warning(row.params) if row.kind == EventKind.WARNED else "",
        "request_id": row.request_id,
    }


def _cut(params: dict[str, Any]) -> dict[str, Any]:
    """Returns an event's parameters with at most a hundred of its order's codes, of up to ten thousand."""
    order = params.get("order", {})
    if len(codes := order.get("stock_codes") or ()) <= MAX_CODES:
        return params
    return {
        **params,
        "order": {**order, "stock_codes": codes[:MAX_CODES], "stock_codes_total": len(codes)},
    }
