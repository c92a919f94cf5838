"""Collection plans: lists them."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from tasks_app.api import openapi, serializers
from tasks_app.api.pagination import page_response
from tasks_app.api.serializers import validated
from tasks_app.lifecycle import payloads
from tasks_app.models import CollectionPlan
from tasks_app.orders import plans


class PlanViewSet(ViewSet):
    """Plans by their names."""

    @openapi.PLANS
    def list(self, request: Request) -> Response:
        filters = validated(serializers.PlanQuery, request.query_params.dict())
        rows = CollectionPlan.objects.filter(**filters).select_related("created_by")
        return page_response(request, rows, ["name"], lambda page: [payloads.plan(row) for row in page])

    @openapi.PLAN
    def retrieve(self, request: Request, plan_id: str) -> Response:
        return Response(payloads.plan(plans.get_plan(plan_id)))
