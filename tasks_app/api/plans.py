"""Collection plans: lists, makes, changes, deletes and runs them."""

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from tasks_app.api import openapi, serializers
from tasks_app.api.pagination import page_response
from tasks_app.api.permissions import CanExport
from tasks_app.api.request_data import get_actor, get_idempotency_key
from tasks_app.api.serializers import validated, validated_query
from tasks_app.lifecycle import payloads, plan_actions
from tasks_app.models import CollectionPlan, PlanEvent
from tasks_app.orders import plans


class PlanViewSet(ViewSet):
    """Plans by their names, and the verbs on them."""

    example = ""  # the body that a browsable page begins with

    @openapi.PLANS
    def list(self, request: Request) -> Response:
        filters = validated_query(serializers.PlanQuery, request)
        rows = CollectionPlan.objects.filter(**filters).select_related("created_by")
        return page_response(request, rows, ["name"], lambda page: [payloads.plan(row) for row in page])

    @openapi.CREATE_PLAN
    def create(self, request: Request) -> Response:
        values = validated(serializers.PlanBody, request.data)
        _require_export_permission(request, values.get("export_to", ""))
        return Response(payloads.plan(plan_actions.create(values, get_actor(request))))

    @openapi.PLAN
    def retrieve(self, request: Request, plan_id: str) -> Response:
        return Response(payloads.plan(plans.get_plan(plan_id)))

    @openapi.CHANGE_PLAN
    def partial_update(self, request: Request, plan_id: str) -> Response:
        plan = plans.get_plan(plan_id)
        values = validated(serializers.PlanChanges, request.data)
        if values != {"enabled": False}:
            _require_export_permission(request, values.get("export_to", plan.export_to))
        return Response(payloads.plan(plan_actions.change(plan.pk, values, get_actor(request))))

    @openapi.DELETE_PLAN
    def destroy(self, request: Request, plan_id: str) -> Response:
        plan = plans.get_plan(plan_id)
        payload = payloads.plan_deleted(plan)
        plan_actions.delete([plan], get_actor(request))
        return Response(payload)

    @openapi.RUN_PLAN
    def run(self, request: Request, plan_id: str) -> Response:
        plan = plans.get_plan(plan_id)
        _require_export_permission(request, plan.export_to)
        key = get_idempotency_key(request)
        return Response(payloads.plan_started(plan_actions.run(plan.pk, get_actor(request), key)))

    @openapi.PLAN_EVENTS
    def events(self, request: Request) -> Response:
        filters = validated_query(serializers.PlanEventQuery, request)
        rows = PlanEvent.objects.filter(**filters).values()
        return page_response(request, rows, ["-id"])


def _require_export_permission(request: Request, export_to: str) -> None:
    """Raises `PermissionDenied` for a plan that exports, unless the user may start exports."""
    if export_to and not request.user.has_perm(CanExport.permission):
        raise PermissionDenied(CanExport.message)
