"""The search that Ctrl+K opens on every page: stocks, tasks, plans, sources and the pages of the side bar."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from tasks_app.admin.access.permissions import VIEW_SOURCES, VIEW_TASKS
from tasks_app.admin.common import formatting, side_bar
from tasks_app.lifecycle import selectors
from tasks_app.market import codes, synthetic
from tasks_app.models import CollectionPlan, CollectionTask, Stock
from tasks_app.sources import registry

MOST = 8  # of one kind
MAX_LENGTH = 100


class Result(NamedTuple):
    """A line of the results, as the theme's template shows it."""

    title: str
    description: str
    link: str
    icon: str


def search_view(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    """Returns the results for `?s=` as HTML: what the user may view, stocks with exactly this code first."""
    term = request.GET.get("s", "").strip()[:MAX_LENGTH].replace("\0", "")
    kinds = (_stocks, _tasks, _pages, _plans, _sources) if term else ()
    results = list(chain.from_iterable(find(request, term) for find in kinds))
    return TemplateResponse(request, "unfold/helpers/command_results.html", {"results": results})


def _stocks(request: HttpRequest, term: str) -> Iterator[Result]:
    if not request.user.has_perm("tasks_app.view_stock"):
        return
    stocks = Stock.objects.order_by("market", "code")
    exact = stocks.filter(code__in=codes.codes_of_any_market(term))[:MOST]
    similar = stocks.filter(Q(code__istartswith=term) | Q(name__icontains=term))[:MOST]
    found = {stock.pk: stock for stock in (*exact, *similar)}
    for stock in islice(found.values(), MOST):
        title = f"{stock.code} {stock.name}".strip()
        link = formatting.admin_url("stock", "change", stock.pk)
        yield Result(title, f"{_('Stock')} · {synthetic.mark(stock.market)}", link, "candlestick_chart")


def _tasks(request: HttpRequest, term: str) -> Iterator[Result]:
    ends = selectors.id_range(term)
    if ends is None or not request.user.has_perm(VIEW_TASKS):
        return
    tasks = CollectionTask.objects.filter(id__range=ends).defer(*selectors.HEAVY_COLUMNS)
    for task in tasks.order_by("-start_time")[:MOST]:
        what = " · ".join(
            [_("Task"), synthetic.mark(task.market), task.source, str(task.get_result_display())]
        )
        yield Result(formatting.short_id(task.pk), what, formatting.task_url(task.pk), "checklist")


def _pages(request: HttpRequest, term: str) -> Iterator[Result]:
    """Yields the side bar's pages whose title, in the reader's language, contains the term."""
    for section in side_bar.sections(request):
        for item in section["items"]:
            if term.casefold() in str(item["title"]).casefold():
                yield Result(str(item["title"]), _("Page"), item["link"], item["icon"])


def _plans(request: HttpRequest, term: str) -> Iterator[Result]:
    if request.user.has_perm("tasks_app.view_collectionplan"):
        for plan in CollectionPlan.objects.filter(name__icontains=term).order_by("name")[:MOST]:
            link = formatting.admin_url("collectionplan", "change", plan.pk)
            yield Result(plan.name, _("Plan"), link, "event_repeat")


def _sources(request: HttpRequest, term: str) -> Iterator[Result]:
    if request.user.has_perm(VIEW_SOURCES):
        for name in registry.paths(settings.COLLECTOR):
            if term.casefold() in name.casefold():
                yield Result(name, _("Source"), reverse("admin:source", args=[name]), "dns")
