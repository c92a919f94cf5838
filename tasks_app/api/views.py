"""Tasks and the stock list. `urls` says which permission each path needs; `lifecycle` does the work."""

import re
from typing import Any

from django.conf import settings
from django.db.models import F
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_202_ACCEPTED

from tasks_app import lifecycle
from tasks_app.api import bodies, queries
from tasks_app.api.fields import unknown_fields, validated, validated_query
from tasks_app.api.openapi import data as data_openapi, tasks as openapi
from tasks_app.api.pagination import page_response
from tasks_app.api.request_data import get_actor, get_idempotency_key, parse_task_id
from tasks_app.api.responses.data import StockAnswer
from tasks_app.api.responses.tasks import ItemAnswer
from tasks_app.api.viewsets import BrowsableViewSet
from tasks_app.conf import SYNTHETIC_MARKET
from tasks_app.errors import ItemNotFound
from tasks_app.lifecycle import attempts, chains, order_queue, payloads, selectors
from tasks_app.market import codes
from tasks_app.market.codes import SPELLING
from tasks_app.models import CollectionItem, CollectionTask, QueuedOrder, Stock
from tasks_app.models.priorities import Priority
from tasks_app.orders import forecasts, order as orders
from tasks_app.orders.order import Order
from tasks_app.quotes import coverage, summary
from tasks_app.quotes.coverage import Coverage
from tasks_app.reasons import translated_reason
from tasks_app.sources import registry

# `status` is the column `state`; `task_id` is in the items of a whole chain.
ITEM_COLUMNS = [name for name in ItemAnswer().get_fields() if name not in ("status", "task_id")]
STORED = {"first_day", "last_day", "bars", "behind"}  # of its series
STOCK_COLUMNS = [name for name in StockAnswer().get_fields() if name not in STORED]


class TaskViewSet(BrowsableViewSet):
    """Start, watch, list, cancel, retry, pause and resume collections."""

    @openapi.START
    def start(self, request: Request) -> Response:
        values = validated(bodies.StartBody, request.data)
        may_queue, priority = values.pop("queue", False), Priority.named(values.pop("priority", "normal"))
        order = Order(**values)
        orders.require_usable_source(order, settings.COLLECTOR)
        options: dict[str, Any] = {
            "today": orders.latest_today(),
            "idempotency_key": get_idempotency_key(request),
        }
        actor = get_actor(request)
        if not may_queue:
            task = lifecycle.start(order, actor, priority=priority, **options)
        else:
            result = order_queue.start_or_queue(order, actor, priority=priority, **options)
            if isinstance(result, QueuedOrder):
                body = payloads.order_queued(result, order_queue.position_of(result))
                return Response(body, HTTP_202_ACCEPTED)
            task = result
        return Response(payloads.task_started(task, unknown_fields(bodies.StartBody, request.data)))

    @openapi.ESTIMATE
    def estimate(self, request: Request) -> Response:
        values = validated(bodies.StartBody, request.data)
        order = Order(**{name: value for name, value in values.items() if name not in bodies.OF_A_START})
        orders.require_usable_source(order, settings.COLLECTOR)
        order = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
        return Response(payloads.order_forecast(forecasts.forecast(order, settings.COLLECTOR)))

    @openapi.STATUS
    def status(self, request: Request, task_id: str) -> Response:
        task = lifecycle.get_task(parse_task_id(task_id))
        return Response(payloads.task_statuses([task])[0])

    @openapi.LIST
    def list(self, request: Request) -> Response:
        filters = validated_query(queries.TaskQuery, request)
        tasks = CollectionTask.objects.filter(**filters)
        lifecycle.get_running_task()  # which ends it if no worker will
        return page_response(request, tasks, ["-start_time", "-id"], payloads.task_statuses)

    @openapi.CANCEL
    def cancel(self, request: Request, task_id: str) -> Response:
        task = lifecycle.cancel(parse_task_id(task_id), get_actor(request))
        return Response(payloads.task_cancelled(task))

    @openapi.PAUSE
    def pause(self, request: Request, task_id: str) -> Response:
        task = lifecycle.pause(parse_task_id(task_id), get_actor(request))
        return Response(payloads.task_paused(task))

    @openapi.RESUME
    def resume(self, request: Request, task_id: str) -> Response:
        task = lifecycle.resume(parse_task_id(task_id), get_actor(request))
        return Response(payloads.task_paused(task))

    @openapi.CURRENT
    def current(self, request: Request) -> Response:
        return Response(payloads.current_task(lifecycle.get_running_task()))

    @openapi.ITEMS
    def items(self, request: Request, task_id: str) -> Response:
        filters = validated_query(queries.ItemQuery, request)
        of_chain = filters.pop("chain")
        task = selectors.get_task(parse_task_id(task_id))
        if code := filters.pop("code", ""):
            filters["code__in"] = {code, codes.canonical_or_same(task.market, code)}
        if of_chain:
            items = chains.items_of(task).filter(**filters)
            rows = items.values("task_id", *ITEM_COLUMNS, status=F("state"))
            return page_response(request, rows, ["task", "position"])
        items = CollectionItem.objects.filter(task=task, **filters)
        return page_response(request, items.values(*ITEM_COLUMNS, status=F("state")), ["position"])

    @openapi.ATTEMPTS
    def attempts(self, request: Request, task_id: str, code: str) -> Response:
        task = selectors.get_task(parse_task_id(task_id))
        spellings = {code, codes.canonical_or_same(task.market, code)} if re.fullmatch(SPELLING, code) else ()
        item = CollectionItem.objects.filter(task=task, code__in=spellings).only("attempt_log").first()
        if item is None:
            raise ItemNotFound(task_id=task_id, stock=code)
        return Response([attempts.describe(one) for one in attempts.read(item.attempt_log)])

    @openapi.ERRORS
    def errors(self, request: Request, task_id: str) -> Response:
        of_chain = validated_query(queries.ChainQuery, request)["chain"]
        task = selectors.get_task(parse_task_id(task_id))
        groups = chains.error_groups(task) if of_chain else selectors.error_groups(task.pk)
        for group in groups:  # recorded in English; a code of ours has a sentence in the reader's language
            group["message"] = translated_reason(group["error_code"]) or group["message"]
        return Response(groups)

    @openapi.RETRY
    def retry(self, request: Request, task_id: str) -> Response:
        from_query = validated_query(bodies.RetryBody, request)
        params = from_query | validated(bodies.RetryBody, request.data)
        task = lifecycle.retry(parse_task_id(task_id), get_actor(request), params.get("error_code", ""))
        return Response(payloads.task_started(task, unknown_fields(bodies.RetryBody, request.data)))


class StockViewSet(BrowsableViewSet):
    """The stock list, with which stocks' full history is stored."""

    @data_openapi.STOCKS
    def stock_list(self, request: Request) -> Response:
        query = validated_query(queries.StockQuery, request)
        stocks = Stock.objects.filter(market=query.get("market") or _default_market()).order_by("code")
        if "kind" in query:
            stocks = stocks.filter(kind=query["kind"])
        if query["only_uncompleted"]:
            stocks = stocks.filter(full_collection_completed=False)
        listed = list(stocks.only(*STOCK_COLUMNS, "delisted_on")[: query["limit"]])
        summaries = summary.summarize(listed)
        rows = [_stock(stock, summaries[stock.pk]) for stock in listed]
        return Response(
            {"total": stocks.count(), "stocks": rows, "only_uncompleted": query["only_uncompleted"]}
        )

    @data_openapi.COVERAGE
    def coverage(self, request: Request) -> Response:
        query = validated_query(queries.CoverageQuery, request)
        rows = coverage.cached_coverage(query.pop("kind", ""))
        return Response([_coverage(row) for row in rows if vars(row).items() >= query.items()])


def _default_market() -> str:
    conf = settings.COLLECTOR
    return SYNTHETIC_MARKET if registry.traits(conf.default_source, conf).is_synthetic else "CN"


def _stock(stock: Stock, stored: summary.Summary) -> dict[str, Any]:
    own = {name: getattr(stock, name) for name in STOCK_COLUMNS}
    days = {"first_day": stored.first, "last_day": stored.last}
    return {**own, **days, "bars": stored.bars, "behind": stored.behind}


def _coverage(row: Coverage) -> dict[str, Any]:
    return {**vars(row), "behind_by": dict(row.behind_by)}
