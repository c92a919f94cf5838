"""The queue of orders: shows it, changes its order, takes orders out."""

from rest_framework.request import Request
from rest_framework.response import Response

from tasks_app.api import bodies, queries
from tasks_app.api.fields import validated, validated_query
from tasks_app.api.openapi import tasks as openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.request_data import get_actor
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.lifecycle import order_queue, payloads
from tasks_app.models import QueuedOrder
from tasks_app.models.priorities import Priority
from tasks_app.models.queued_orders import QueuedOrderState


class QueueViewSet(BrowsableViewSet):
    """Orders that wait until no task runs, and those that waited."""

    @openapi.QUEUE
    def list(self, request: Request) -> Response:
        query = validated_query(queries.QueueQuery, request)
        state = query.get("state", QueuedOrderState.WAITING)
        positions = order_queue.positions()
        ordering = order_queue.IN_ORDER if state == QueuedOrderState.WAITING else ("-id",)
        return page_response(
            request,
            QueuedOrder.objects.filter(state=state),
            ordering,
            lambda page: [payloads.queued_order(row, positions.get(row.pk)) for row in page],
        )

    @openapi.QUEUED_ORDER
    def retrieve(self, request: Request, order_id: str) -> Response:
        row = order_queue.get_order(order_id)
        return Response(payloads.queued_order_with_events(row, order_queue.position_of(row)))

    @openapi.MOVE_ORDER
    def partial_update(self, request: Request, order_id: str) -> Response:
        row, values = order_queue.get_order(order_id), validated(bodies.QueueChanges, request.data)
        priority = Priority.named(values["priority"]) if "priority" in values else None
        moved = order_queue.move(
            row.pk, get_actor(request), position=values.get("position"), priority=priority
        )
        return Response(payloads.queued_order(moved, order_queue.position_of(moved)))

    @openapi.WITHDRAW_ORDER
    def destroy(self, request: Request, order_id: str) -> Response:
        row = order_queue.withdraw(order_queue.get_order(order_id).pk, get_actor(request))
        return Response(payloads.queued_order(row, None))
