"""`/metrics`: Prometheus' text, for a token of its own or for users with the permission."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.utils.crypto import constant_time_compare
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from prometheus_client.exposition import choose_encoder
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request
from rest_framework.views import APIView

from tasks_app.api.authentication import SessionAuthentication, TokenAuthentication
from tasks_app.api.health import ProbeView
from tasks_app.api.openapi import health as openapi
from tasks_app.api.permissions import HasAppPermission
from tasks_app.metrics.collector import DatabaseCollector
from tasks_app.notices import lost_workers
from tasks_app.queue import dispatch

SCRAPER = "scraper"  # as `request.auth`: the token of the setting, which belongs to no user


class ScraperAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` with COLLECTOR_METRICS_TOKEN. It opens nothing but the metrics."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        expected = settings.COLLECTOR.metrics_token
        scheme, _space, token = get_authorization_header(request).partition(b" ")
        if not expected or scheme.lower() != b"bearer":
            return None
        return (AnonymousUser(), SCRAPER) if constant_time_compare(token, expected) else None

    def authenticate_header(self, request: Request) -> str:
        """Returns what a 401 asks for."""
        return "Bearer"


class CanReadMetrics(HasAppPermission):
    permission = "tasks_app.view_metrics"
    message = _("You lack the permission to read the metrics.")

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.auth == SCRAPER or super().has_permission(request, view)


@method_decorator(never_cache, name="dispatch")
class MetricsView(ProbeView):
    """What `metrics.collector` reads, as text for Prometheus or as OpenMetrics, whichever is accepted."""

    authentication_classes: Sequence[Any] = (
        ScraperAuthentication,
        TokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Sequence[Any] = (CanReadMetrics,)

    @openapi.METRICS
    def get(self, request: Request) -> HttpResponse:
        if not dispatch.live_clusters():
            lost_workers.report()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return HttpResponse(encode(DatabaseCollector()), content_type=content_type)
