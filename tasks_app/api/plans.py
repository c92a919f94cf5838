"""Collection plans: lists, makes, changes, deletes and runs them."""

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api import bodies, queries
from tasks_app.api.fields import validated, validated_query
from tasks_app.api.openapi import plans as openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.permissions import CanExport
from tasks_app.api.request_data import get_actor, get_idempotency_key
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.lifecycle import payloads, plan_actions, plan_runs
from tasks_app.models import CollectionPlan, PlanEvent
from tasks_app.models.plan_runs import StepKind
from tasks_app.orders import plan_steps, plans


class PlanViewSet(BrowsableViewSet):
    """Plans by their names, and the verbs on them."""

    @openapi.PLANS
    def list(self, request: Request) -> Response:
        filters = validated_query(queries.PlanQuery, request)
        rows = CollectionPlan.objects.filter(**filters).select_related("created_by").prefetch_related("steps")
        return page_response(request, rows, ["name"], lambda page: [payloads.plan(row) for row in page])

    @openapi.CREATE_PLAN
    def create(self, request: Request) -> Response:
        values = validated(bodies.PlanBody, request.data)
        _require_export_permission(request, values.get("export_to", "") or _exports(values.get("steps", ())))
        return Response(payloads.plan(plan_actions.create(values, get_actor(request))))

    @openapi.PLAN
    def retrieve(self, request: Request, plan_id: str) -> Response:
        return Response(payloads.plan(plans.get_plan(plan_id)))

    @openapi.CHANGE_PLAN
    def partial_update(self, request: Request, plan_id: str) -> Response:
        plan = plans.get_plan(plan_id)
        values = validated(bodies.PlanChanges, request.data)
        if values != {"enabled": False}:
            kept = [plan_steps.values_of(step) for step in plan.steps.all()]
            folder = values.get("export_to", plan.export_to) or _exports(values.get("steps", kept))
            _require_export_permission(request, folder)
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
        _require_export_permission(request, "".join(plan_steps.export_folders(plan)))
        key = get_idempotency_key(request)
        return Response(payloads.plan_started(plan_actions.run(plan.pk, get_actor(request), key)))

    @openapi.PLAN_RUNS
    def runs(self, request: Request, plan_id: str) -> Response:
        filters = validated_query(queries.PlanRunQuery, request)
        rows = plan_runs.history(plans.get_plan(plan_id).pk).filter(**filters)
        return page_response(request, rows, ["-id"], lambda page: [payloads.plan_run(run) for run in page])

    @openapi.PLAN_EVENTS
    def events(self, request: Request) -> Response:
        filters = validated_query(queries.PlanEventQuery, request)
        rows = PlanEvent.objects.filter(**filters).values()
        return page_response(request, rows, ["-id"])


def _exports(steps: Iterable[Mapping[str, Any]]) -> str:
    """Returns the folder of one of the steps; "" if none exports."""
    folders = (step.get("export_to", "") for step in steps if step["kind"] == StepKind.EXPORT)
    return next(filter(None, folders), "")


def _require_export_permission(request: Request, export_to: str) -> None:
    """Raises `PermissionDenied` for a plan that exports, unless the user may start exports."""
    if export_to and not request.user.has_perm(CanExport.permission):
        raise PermissionDenied(CanExport.message)
