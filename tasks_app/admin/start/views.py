"""The page that starts a collection, and what it asks the server while it is filled in."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Case, IntegerField, Q, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors, lifecycle
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import START_TASK, VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.start import initial, page
from tasks_app.admin.start.forms import OrderForm
from tasks_app.admin.tasks import actions
from tasks_app.models import CollectionTask, Stock
from tasks_app.orders import code_lists, order

SEARCH_LIMIT = 20


def urls() -> list[URLPattern]:
    """The paths of this page, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("start/", wrap(start_view), name="start"),
        path("start/estimate/", wrap(estimate_view), name="start_estimate"),
        path("start/stocks/", wrap(stocks_view), name="start_stocks"),
        path("start/file/", wrap(file_view), name="start_file"),
    ]


def start_view(request: HttpRequest) -> HttpResponse:
    """GET shows the form; POST with `start` starts, with `preset` or `check` only fills in and counts."""
    require_permission(request, START_TASK)
    if request.method != "POST":
        return _page(request, OrderForm(initial=initial.initial_values(request)))
    form = OrderForm(initial.apply_preset(request.POST), request.FILES)
    if form.is_valid() and "start" in request.POST and (task := _start(request, form)):
        may_look = request.user.has_perm(VIEW_TASKS)
        return redirect(formatting.task_url(task.pk) if may_look else "admin:start")
    form.keep()
    return _page(request, form)


def estimate_view(request: HttpRequest) -> HttpResponse:
    """POST the form: what it would mean, as a piece of the page."""
    require_permission(request, START_TASK)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    context = page.build_estimate_context(request, OrderForm(request.POST))
    return TemplateResponse(request, "admin/start/estimate.html", context)


def stocks_view(request: HttpRequest) -> HttpResponse:
    """`?market=CN&q=6005`: up to 20 stocks whose code begins so, then those whose name contains it."""
    require_permission(request, START_TASK)
    term = request.GET.get("q", "").strip()[:50]
    found = list(_found(request.GET.get("market", ""), term)[: SEARCH_LIMIT + 1]) if term else []
    stocks = [{"code": s.code, "name": s.name, "exchange": s.exchange} for s in found[:SEARCH_LIMIT]]
    return JsonResponse({"stocks": stocks, "more": len(found) > SEARCH_LIMIT})


def file_view(request: HttpRequest) -> HttpResponse:
    """POST a file: its `codes`, or the `problem` with it in a sentence."""
    require_permission(request, START_TASK)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        return JsonResponse({"codes": code_lists.parse_file(_content(request))})
    except errors.OrderError as error:
        return JsonResponse({"problem": str(error)})


def _page(request: HttpRequest, form: OrderForm) -> HttpResponse:
    return TemplateResponse(request, "admin/start/start.html", page.build_start_context(request, form))


def _content(request: HttpRequest) -> bytes:
    """The posted file, one byte beyond the limit at most. Raises `EmptyList` when there is none."""
    file = request.FILES.get("file")
    if file is None:
        raise code_lists.EmptyList()
    return bytes(file.read(code_lists.MAX_BYTES + 1))


def _found(market: str, term: str) -> Any:
    """Stocks of the market by how their code begins, then by a part of their name."""
    begins, holds = Q(code__istartswith=term), Q(name__icontains=term)
    rank = Case(When(begins, then=Value(0)), default=Value(1), output_field=IntegerField())
    stocks = Stock.objects.filter(begins | holds, market=market)
    return stocks.annotate(rank=rank).order_by("rank", "code")


def _start(request: HttpRequest, form: OrderForm) -> CollectionTask | None:
    """The started task, which a message tells; None, and the reason in the form, when it is refused."""
    key = form.cleaned_data["key"] or None
    by = actions.actor_for(request.user)
    try:
        task = lifecycle.start(form.order, by, today=order.latest_today(), idempotency_key=key)
    except errors.CollectorError as error:
        form.refuse(error)
        return None
    messages.success(request, _started(task))
    if task.unknown_codes:
        messages.warning(request, page.describe_unknown_codes(task.unknown_codes))
    return task


def _started(task: CollectionTask) -> str:
    if task.planned_at is None:
        return _("Task %(id)s was started. It reads the list of stocks first.") % {
            "id": formatting.short_id(task.pk)
        }
    text = ngettext(
        "Task %(id)s was started. It collects %(stocks)s stock.",
        "Task %(id)s was started. It collects %(stocks)s stocks.",
        task.total_stocks,
    )
    return text % {"id": formatting.short_id(task.pk), "stocks": formatting.number(task.total_stocks)}
