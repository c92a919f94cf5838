"""The coverage page: what is stored by market and source, and by month as a heat map, from which an area of
missing days is marked and collected."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors, lifecycle
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import START_TASK, VIEW_STOCKS, VIEW_TASKS
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.coverage import area as areas, cells
from tasks_app.admin.coverage.forms import AreaForm, WindowForm
from tasks_app.admin.dashboard import stored_data
from tasks_app.admin.tasks import actions
from tasks_app.market import boards
from tasks_app.models import Series
from tasks_app.models.quotes import Market
from tasks_app.orders import order as orders
from tasks_app.quotes import coverage, heat_map, month_counts
from tasks_app.quotes.heat_map import Listed, Months, Row
from tasks_app.sentences import join_sentences
from tasks_app.sources.market_time import market_today

PAGE = 25  # stocks
SHOWN = 36  # months, unless the address says otherwise


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("coverage/", admin.site.admin_view(coverage_view), name="coverage")]


def coverage_view(request: HttpRequest) -> HttpResponse:
    """GET shows the page. POST of an area says what it would cost, with `start` it is collected.

    With `part` only that answer is returned, for the page's script.
    """
    require_permission(request, VIEW_STOCKS)
    if request.method != "POST":
        return _render(request, None, {})
    require_permission(request, START_TASK)
    form = _area_form(request, _window(request), request.POST)
    answer: dict[str, Any] = {"running": lifecycle.get_running_task()}
    if form.is_valid():
        try:
            area = areas.find_area(form.cleaned_data)
            answer |= areas.describe(area)
            if "start" in request.POST and area.order:
                return _start(request, area.order)
        except errors.CollectorError as error:
            answer |= {"problem": str(error)}
    else:
        answer |= {"problem": join_sentences(*(text for texts in form.errors.values() for text in texts))}
    if "part" in request.POST:
        return TemplateResponse(request, "admin/coverage/answer.html", answer)
    return _render(request, form, answer)


def _start(request: HttpRequest, order: orders.Order) -> HttpResponse:
    """Starts the order as the start page does. Raises `CollectorError`, also while a task is running."""
    task = lifecycle.start(order, actions.actor_for(request.user), today=orders.latest_today())
    messages.success(
        request,
        ngettext(
            "Task %(id)s was started: it collects the missing days of %(stocks)s stock.",
            "Task %(id)s was started: it collects the missing days of %(stocks)s stocks.",
            task.total_stocks,
        )
        % {"id": formatting.short_id(task.pk), "stocks": formatting.number(task.total_stocks)},
    )
    may_view = request.user.has_perm(VIEW_TASKS)
    return redirect(formatting.task_url(task.pk) if may_view else reverse("admin:coverage"))


def _window(request: HttpRequest) -> WindowForm:
    """Returns the form of what is shown: what the address says, completed by the market with most stocks."""
    stored = max(coverage.cached_coverage(), key=lambda row: row.stocks - row.empty, default=None)
    market = request.GET.get("market", "")
    if market not in Market.values:
        market = stored.market if stored else Market.CN.value
    until = _newest_month(market, request.GET.get("adjust", ""))
    given = {name: request.GET[name] for name in ("adjust", "since", "until") if request.GET.get(name)}
    default = {name: f"{month_counts.first_day_of(month):%Y-%m}" for name, month in _last_months(until)}
    form = WindowForm({"market": market, "adjust": "", **default, **given})
    if not form.is_valid():
        form.fallback = WindowForm({"market": market, "adjust": "", **default})  # type: ignore[attr-defined]
        form.fallback.is_valid()  # type: ignore[attr-defined]
    return form


def _newest_month(market: str, adjust: str) -> int:
    """Returns the last month that is shown: this one, unless all bars are older than what is shown then."""
    today = month_counts.month_of(market_today(market))
    series = Series.objects.filter(market=market, adjust=adjust, bars__gt=0)
    last_day = series.aggregate(last=Max("last_day"))["last"]
    newest = month_counts.month_of(last_day) if last_day else today
    return newest if newest <= today - SHOWN else today


def _last_months(until: int) -> Sequence[tuple[str, int]]:
    return ("since", until - SHOWN + 1), ("until", until)


def _shown(window: WindowForm) -> dict[str, Any]:
    """Returns the valid data of the window; those of the default one where the address is malformed."""
    return dict(getattr(window, "fallback", window).cleaned_data)


def _area_form(request: HttpRequest, window: WindowForm, data: Any = None) -> AreaForm:
    shown = _shown(window)
    market = data.get("market", "") if data is not None else shown["market"]
    market = market if market in Market.values else shown["market"]
    names = {heat_map.board(market, stock) for stock in heat_map.stocks_of(market)}
    choices = [(name, boards.label_of(name)) for name in boards.in_order(list(names))]
    board = request.GET.get("board", "")
    initial = {**shown, "boards": [board] if board in names else []}
    return AreaForm(data, boards=choices, market=market, initial=initial)


def _render(request: HttpRequest, form: AreaForm | None, answer: dict[str, Any]) -> HttpResponse:
    window, title = _window(request), _("Coverage")
    shown = _shown(window)
    months = Months(shown["market"], shown["since"], shown["until"])
    columns = cells.columns(months.first, months.last)
    board = request.GET.get("board", "")
    rows, after = _rows(request, shown, board, months)
    is_cn = shown["market"] == Market.CN
    query = {"market": shown["market"], "adjust": shown["adjust"]}
    query |= {name: column.name for name, column in (("since", columns[0]), ("until", columns[-1]))}
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "stored": stored_data.describe_coverage(coverage.cached_coverage()),
        "window": window,
        "years": cells.years(columns),
        "columns": columns,
        "rows": [_describe(row, columns, query, is_board=not board) for row in rows],
        "board": boards.label_of(board) if board else "",
        "board_word": _("Board") if is_cn else _("exchange"),
        "all_boards_word": _("All boards") if is_cn else _("All exchanges"),
        "all_boards": f"?{urlencode(query)}",
        "first_page": f"?{urlencode({**query, 'board': board})}" if request.GET.get("after") else "",
        "next_page": f"?{urlencode({**query, 'board': board, 'after': after})}" if after else "",
        "session": months.latest.isoformat(),
        "may_start": request.user.has_perm(START_TASK),
        "form": form or _area_form(request, window),
        **answer,
        "legend": [
            ("full", "100", _("all expected bars")),
            ("high", "95", _("90% and more")),
            ("half", "70", _("50% and more")),
            ("low", "20", _("less than 50%")),
            ("zero", "0", _("none of them")),
            ("none", "·", _("no bars expected")),
            (
                "high hm-open",
                "95",
                _("framed: some days are still to be collected. Days that no source has do not count"),
            ),
        ],
    }
    return TemplateResponse(request, "admin/coverage/coverage.html", context)


def _rows(request: HttpRequest, shown: dict[str, Any], board: str, months: Months) -> tuple[list[Row], str]:
    """Returns the boards, or a page of a board's stocks with the code after which the next one begins."""
    market, adjust = shown["market"], shown["adjust"]
    if not board:
        return heat_map.by_board(market, adjust, months), ""
    after = request.GET.get("after", "")
    stocks: list[Listed] = [one for one in heat_map.stocks_of(market, board) if one.code > after]
    more = stocks[PAGE - 1].code if len(stocks) > PAGE else ""
    return heat_map.by_stock(market, adjust, stocks[:PAGE], months), more


def _describe(
    row: Row, columns: Sequence[cells.Column], query: dict[str, str], *, is_board: bool
) -> dict[str, Any]:
    to_board = f"?{urlencode({**query, 'board': row.key})}"
    address = to_board if is_board else reverse("admin:tasks_app_stock_of", args=[query["market"], row.key])
    return {
        "key": row.key,
        "head": cells.head(row, address, is_board=is_board),
        "cells": cells.render(row, columns, is_board=is_board),
    }
