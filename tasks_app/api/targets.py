"""Targets, and what became of their sessions. Read-only: targets are made on the admin's pages."""

from django.db.models import Prefetch
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api.fields import validated_query
from tasks_app.api.openapi import plans as openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.queries import TargetQuery, TargetSessionQuery
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.models import Target
from tasks_app.targets import payloads, selectors


class TargetViewSet(BrowsableViewSet):
    """Targets by name, and the sessions of one, the newest first."""

    @openapi.TARGETS
    def list(self, request: Request) -> Response:
        filters = validated_query(TargetQuery, request)
        newest = Prefetch("sessions", selectors.newest_sessions(), to_attr="newest")
        rows = Target.objects.filter(**filters).prefetch_related(newest)
        return page_response(
            request, rows, ["name"], lambda page: [payloads.describe_target(row) for row in page]
        )

    @openapi.TARGET_SESSIONS
    def sessions(self, request: Request, target_id: str) -> Response:
        filters = validated_query(TargetSessionQuery, request)
        rows = selectors.get_target(target_id).sessions.filter(**filters)
        return page_response(
            request, rows, ["-session"], lambda page: [payloads.describe_session(row) for row in page]
        )
