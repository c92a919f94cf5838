"""Probes: alive, and ready. They need no login and tell no secret."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks_app.api import openapi
from tasks_app.api.renderers import ApiJSONRenderer, JSONOnlyNegotiation
from tasks_app.queue import dispatch


@method_decorator(never_cache, name="dispatch")
class ProbeView(APIView):
    authentication_classes: Sequence[Any] = ()
    permission_classes = (AllowAny,)
    renderer_classes = (ApiJSONRenderer,)
    content_negotiation_class = JSONOnlyNegotiation


class LivenessView(ProbeView):
    """This process answers. Asks nothing of anybody else."""

    @openapi.ALIVE
    def get(self, request: Request) -> Response:
        return Response({"alive": True})


class ReadinessView(ProbeView):
    """Work can be taken on: 200 when all is well, else 503 and what is missing."""

    @openapi.READY
    def get(self, request: Request) -> Response:
        found = {name: _holds(check) for name, check in CHECKS.items()}
        ready = all(found.values())
        return Response({"ready": ready, **found}, 200 if ready else 503)


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except DatabaseError:
        return False


def _database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


@cache
def _latest_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _migrated() -> bool:
    return _latest_migrations() <= MigrationRecorder(connection).applied_migrations().keys()


def _queue_is_readable() -> bool:
    return dispatch.waiting_jobs() >= 0


def _a_worker_lives() -> bool:
    return bool(dispatch.clusters())


CHECKS: dict[str, Callable[[], bool]] = {
    "database": _database_answers,
    "migrations": _migrated,
    "queue": _queue_is_readable,
    "worker": _a_worker_lives,
}
