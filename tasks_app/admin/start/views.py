"""The page that starts a collection, and the endpoints that its script calls."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors, lifecycle
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import START_TASK, VIEW_QUEUE, VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.start import initial, page
from tasks_app.admin.start.forms import OrderForm
from tasks_app.admin.tasks import actions
from tasks_app.lifecycle import order_queue
from tasks_app.market.codes import canonical_or_same
from tasks_app.models import CollectionTask, QueuedOrder, Stock
from tasks_app.models.priorities import Priority
from tasks_app.orders import code_lists, order

SEARCH_LIMIT = 20


def urls() -> list[URLPattern]:
    """Returns the paths of the page and its endpoints, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("start/", wrap(start_view), name="start"),
        path("start/estimate/", wrap(estimate_view), name="start_estimate"),
        path("start/stocks/", wrap(stocks_view), name="start_stocks"),
        path("start/file/", wrap(file_view), name="start_file"),
    ]


def start_view(request: HttpRequest) -> HttpResponse:
    """GET shows the form. POST with `start` starts the task, with `preset` or `check` it only fills in."""
    require_permission(request, START_TASK)
    if request.method != "POST":
        return _render_page(request, OrderForm(initial=initial.initial_values(request)))
    form = OrderForm(initial.apply_preset(request.POST), request.FILES)
    if form.is_valid() and "start" in request.POST and (started := _start(request, form)):
        return redirect(_page_of(request, started))
    form.keep_input()
    return _render_page(request, form)


def estimate_view(request: HttpRequest) -> HttpResponse:
    """POST of the form: returns the estimate as HTML."""
    require_permission(request, START_TASK)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    context = page.build_estimate_context(request, OrderForm(request.POST))
    return TemplateResponse(request, "admin/start/estimate.html", context)


def stocks_view(request: HttpRequest) -> HttpResponse:
    """`?market=CN&q=6005`: returns up to 20 stocks, by the start of the code or a part of the name."""
    require_permission(request, START_TASK)
    term = request.GET.get("q", "").strip()[:50]
    matches = _matching_stocks(request.GET.get("market", ""), term) if term else Stock.objects.none()
    stocks = list(matches.values("code", "name", "exchange")[: SEARCH_LIMIT + 1])
    return JsonResponse({"stocks": stocks[:SEARCH_LIMIT], "more": len(stocks) > SEARCH_LIMIT})


def file_view(request: HttpRequest) -> HttpResponse:
    """POST of a file: returns its `codes`, or the `problem` with it as a sentence."""
    require_permission(request, START_TASK)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    file = request.FILES.get("file")
    try:
        codes = code_lists.parse_file(file.read(code_lists.MAX_BYTES + 1) if file else b"")
    except errors.OrderError as error:
        return JsonResponse({"problem": str(error)})
    return JsonResponse({"codes": codes})


def _render_page(request: HttpRequest, form: OrderForm) -> HttpResponse:
    return TemplateResponse(request, "admin/start/start.html", page.build_start_context(request, form))


def _matching_stocks(market: str, term: str) -> QuerySet[Stock]:
    """Returns the market's stocks whose code begins with the term, then those whose name contains it."""
    by_code = Q(code__istartswith=term) | Q(code=canonical_or_same(market, term))
    by_name = Q(name__icontains=term)
    rank = Case(When(by_code, then=Value(0)), default=Value(1), output_field=IntegerField())
    stocks = Stock.objects.filter(by_code | by_name, market=market)
    return stocks.annotate(rank=rank).order_by("rank", "code")


def _page_of(request: HttpRequest, started: CollectionTask | QueuedOrder) -> str:
    """Returns the address of the started task or the queue, or of this page if the user may not view them."""
    if isinstance(started, QueuedOrder):
        may_view = request.user.has_perm(VIEW_QUEUE)
        return formatting.admin_url("queuedorder") if may_view else reverse("admin:start")
    return formatting.task_url(started.pk) if request.user.has_perm(VIEW_TASKS) else reverse("admin:start")


def _start(request: HttpRequest, form: OrderForm) -> CollectionTask | QueuedOrder | None:
    """Returns the started task or the queued order, or None after adding the error to the form."""
    actor, data = actions.actor_for(request.user), form.cleaned_data
    options: dict[str, Any] = {"today": order.latest_today(), "idempotency_key": data["key"] or None}
    try:
        priority = Priority.named(data["priority"] or "normal")
        if data["queue"]:
            task = order_queue.start_or_queue(form.order, actor, priority=priority, **options)
        else:
            task = lifecycle.start(form.order, actor, priority=priority, **options)
    except errors.CollectorError as error:
        form.add_collector_error(error)
        return None
    if isinstance(task, QueuedOrder):
        text = _("The order %(id)s is queued, at position %(position)s. It starts by itself.")
        position = order_queue.position_of(task) or formatting.EMPTY
        messages.success(request, text % {"id": task.pk, "position": position})
        return task
    text = _("Task %(id)s was started. It reads the stock list first.")
    if task.planned_at:
        text = ngettext(
            "Task %(id)s was started. It collects %(stocks)s stock.",
            "Task %(id)s was started. It collects %(stocks)s stocks.",
            task.total_stocks,
        )
    stocks = formatting.number(task.total_stocks)
    messages.success(request, text % {"id": formatting.short_id(task.pk), "stocks": stocks})
    if task.unknown_codes:
        messages.warning(request, page.describe_unknown_codes(task.unknown_codes))
    return task
