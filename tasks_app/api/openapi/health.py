"""Operations for monitoring."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema

from tasks_app.api.openapi.components import FORBIDDEN, UNAUTHENTICATED, UNAVAILABLE
from tasks_app.api.responses.common import AliveAnswer, ReadyAnswer

ALIVE = extend_schema(
    operation_id="healthz", summary="Alive", tags=["health"], auth=[], responses={200: AliveAnswer}
)
METRICS = extend_schema(
    operation_id="metrics",
    summary="Metrics for Prometheus",
    tags=["health"],
    responses={(200, "text/plain"): OpenApiTypes.STR, **UNAUTHENTICATED, **FORBIDDEN, **UNAVAILABLE},
)
READY = extend_schema(
    operation_id="readyz",
    summary="Ready for work",
    tags=["health"],
    auth=[],
    responses={200: ReadyAnswer, 503: OpenApiResponse(ReadyAnswer, "A check failed")},
)
