"""Liveness and readiness probes. They need no login and reveal no secret."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import DatabaseError, connection
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks_app.api.openapi import health as openapi
from tasks_app.api.renderers import ApiJSONRenderer
from tasks_app.db import migration_state
from tasks_app.notices import lost_workers
from tasks_app.queue import dispatch


@method_decorator(never_cache, name="dispatch")
class ProbeView(APIView):
    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = (AllowAny,)
    renderer_classes = (ApiJSONRenderer,)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """JSON, whatever the request accepts."""
        return super().perform_content_negotiation(request, force=True)


class LivenessView(ProbeView):
    """This process answers. Uses neither database nor cache."""

    @openapi.ALIVE
    def get(self, request: Request) -> Response:
        return Response({"alive": True})


class ReadinessView(ProbeView):
    """Whether work can be accepted: 200 when every check succeeds, else 503; the body names each check."""

    @openapi.READY
    def get(self, request: Request) -> Response:
        results = {name: _succeeds(check) for name, check in CHECKS.items()}
        ready = all(results.values())
        if results["database"] and not results["worker"]:
            lost_workers.report()
        return Response({"ready": ready, **results}, 200 if ready else 503)


def _succeeds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except DatabaseError:
        return False


def _database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


CHECKS: dict[str, Callable[[], bool]] = {
    "database": _database_answers,
    "migrations": lambda: not migration_state.missing_migrations(),
    "queue": lambda: dispatch.waiting_jobs() >= 0,  # it can be read
    "worker": lambda: bool(dispatch.live_clusters()),
}
