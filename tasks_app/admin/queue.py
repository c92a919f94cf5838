"""The queue of orders: the next ones first, with actions that move and withdraw them."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, gettext_lazy, ngettext, pgettext_lazy

from tasks_app import errors
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import REORDER_QUEUE, WITHDRAW_ORDER
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.changelist import ReadOnlyAdmin
from tasks_app.admin.common.columns import cell, timestamp
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.tasks.actions import actor_for
from tasks_app.admin.tasks.columns import MODES, shorten_codes
from tasks_app.lifecycle import order_queue
from tasks_app.market import synthetic
from tasks_app.models import QueuedOrder
from tasks_app.models.queued_orders import QueuedOrderState
from tasks_app.sentences import list_words

STYLES = {
    QueuedOrderState.WAITING: ("info", "schedule"),
    QueuedOrderState.STARTED: ("good", "play_arrow"),
    QueuedOrderState.WITHDRAWN: ("plain", "block"),
    QueuedOrderState.REFUSED: ("bad", "error"),
}
ALL = "all"  # a parameter of the address: also orders that wait no more
WAITING = {"state__exact": QueuedOrderState.WAITING.value}


def _state(row: QueuedOrder) -> SafeString:
    return formatting.badge(*STYLES[QueuedOrderState(row.state)], row.get_state_display())


def _scope(row: QueuedOrder, with_codes: bool = True) -> SafeString:
    days: SafeString | str = formatting.date_range(row.values["start_date"], row.values["end_date"])
    if row.continues_id and with_codes:
        days = format_html("{} · {}", days, _codes(row))
    return formatting.two_lines(f"{synthetic.mark(row.market)} · {row.source}", days)


def _queued(row: QueuedOrder) -> SafeString | str:
    at = formatting.timestamp(row.queued_at, seconds=False)
    by = _("queued by %(user)s") % {"user": row.user_name}
    return formatting.two_lines(at, by) if row.user_name else at


def _result(row: QueuedOrder) -> Any:
    """Returns the task that it became, or why it was refused."""
    if row.task_id:
        return formatting.task_link(row.task_id)
    if row.error_code:
        return formatting.two_lines(row.error_message, row.error_code)
    return formatting.EMPTY


def _codes(row: QueuedOrder) -> SafeString | str:
    if row.continues_id:
        return format_html(_("the rest of task {}"), formatting.task_link(row.continues_id))
    codes = row.values["stock_codes"]
    return shorten_codes(codes) if codes else _("the whole market")


def _modes(row: QueuedOrder) -> str:
    return list_words(name for mode, name in MODES.items() if row.values[mode]) or formatting.EMPTY


def _events(row: QueuedOrder) -> SafeString:
    events = row.events.order_by("id")
    return format_html_join(
        "",
        "<div>{} {} · {} {}</div>",
        (
            (
                formatting.timestamp(each.at),
                each.get_kind_display(),
                each.get_channel_display(),
                each.user_name,
            )
            for each in events
        ),
    )


@admin.register(QueuedOrder)
class QueuedOrderAdmin(ReadOnlyAdmin[QueuedOrder]):
    """Queued orders to view, move and withdraw; only `lifecycle.order_queue` changes them."""

    all_query = f"?{ALL}=1"
    actions = ["move_first", "move_up", "move_down", "withdraw_selected"]
    explanation = gettext_lazy("An order waits here while another task runs, and then starts by itself.")
    list_display = ["number", "status", "position", "importance", "scope", "queued", "result"]
    labelled = ("position", "importance", "scope", "queued", "result")  # on a phone
    list_filter = ["state", "priority"]
    ordering = order_queue.IN_ORDER
    fieldsets = [
        (
            pgettext_lazy("request", "Order"),
            {"fields": ["status", "position", "importance", "order_scope", "codes", "modes", "result"]},
        ),
        (gettext_lazy("History"), {"fields": ["queued", "left_at", "events"]}),
    ]

    number = cell(gettext_lazy("order"), lambda row: f"#{row.pk}")
    status = cell(gettext_lazy("status"), _state)
    position = cell(gettext_lazy("position"), lambda row: order_queue.position_of(row) or formatting.EMPTY)
    importance = cell(gettext_lazy("priority"), lambda row: row.get_priority_display())
    scope = cell(gettext_lazy("scope"), _scope)
    queued = cell(gettext_lazy("queued at"), _queued)
    result = cell(gettext_lazy("result"), _result)
    started = cell(gettext_lazy("started task"), _result)
    order_scope = cell(gettext_lazy("scope"), lambda row: _scope(row, with_codes=False))
    codes = cell(gettext_lazy("stock codes"), _codes)
    modes = cell(gettext_lazy("modes"), _modes)
    left_at = timestamp(gettext_lazy("left the queue at"), "ended_at", seconds=False)
    events = cell(gettext_lazy("events"), _events)

    def has_reorder_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(REORDER_QUEUE)

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(WITHDRAW_ORDER)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Begins with the waiting orders. Refuses actions with an error: Django would drop one silently."""
        needed = dict.fromkeys(self.actions, REORDER_QUEUE) | {"withdraw_selected": WITHDRAW_ORDER}
        for action in request.POST.getlist("action"):
            if action in needed:
                require_permission(request, needed[action])
        if ALL in request.GET:
            query = request.GET.copy()
            del query[ALL]
            request.GET = query  # type: ignore[assignment]
        elif request.method == "GET" and not request.GET and self.has_view_permission(request):
            return redirect(formatting.admin_url("queuedorder", **WAITING))
        return super().changelist_view(request, {"title": _("Queued orders"), **(extra_context or {})})

    def get_fieldsets(self, request: HttpRequest, obj: QueuedOrder | None = None) -> Any:
        """Says of an order that became a task that it did."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not obj.task_id:
            return fieldsets
        return [
            (name, {"fields": ["started" if field == "result" else field for field in options["fields"]]})
            for name, options in fieldsets
        ]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        title = _("Order #%(number)s") % {"number": context["original"].pk}
        context["title"] = title
        context["breadcrumbs"] = [
            Breadcrumb(_("Queued orders"), formatting.admin_url("queuedorder", **WAITING)),
            Breadcrumb(title),
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(permissions=["reorder"], description=gettext_lazy("Move to the front"))
    def move_first(self, request: HttpRequest, queryset: QuerySet[QueuedOrder]) -> None:
        _move(request, reversed(queryset.order_by(*order_queue.IN_ORDER)), lambda place: 1)

    @admin.action(permissions=["reorder"], description=gettext_lazy("Move up"))
    def move_up(self, request: HttpRequest, queryset: QuerySet[QueuedOrder]) -> None:
        _move(request, queryset.order_by(*order_queue.IN_ORDER), lambda place: max(place - 1, 1))

    @admin.action(permissions=["reorder"], description=gettext_lazy("Move down"))
    def move_down(self, request: HttpRequest, queryset: QuerySet[QueuedOrder]) -> None:
        _move(request, reversed(queryset.order_by(*order_queue.IN_ORDER)), lambda place: place + 1)

    @admin.action(permissions=["withdraw"], description=gettext_lazy("Withdraw selected orders"))
    def withdraw_selected(self, request: HttpRequest, queryset: QuerySet[QueuedOrder]) -> HttpResponse | None:
        """Asks for confirmation, then withdraws the selected orders and says what became of each."""
        rows = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            return self._confirm_withdrawal(request, rows)
        for row in rows:
            try:
                order_queue.withdraw(row.pk, actor_for(request.user))
            except errors.CollectorError as error:
                messages.warning(request, str(error))
            else:
                messages.success(request, _("The order %(order)s was withdrawn.") % {"order": row.pk})
        return None

    def _confirm_withdrawal(self, request: HttpRequest, rows: list[QueuedOrder]) -> HttpResponse:
        many = len(rows)
        question = ngettext("Withdraw %(many)d order?", "Withdraw %(many)d orders?", many)
        list_url = formatting.admin_url("queuedorder", **WAITING)
        return confirmation.render_confirmation(
            self,
            request,
            title=_("Withdraw selected orders"),
            question=question % {"many": many},
            objects=[formatting.two_lines(f"{row.pk}", _scope(row)) for row in rows],
            effects=[
                _("A withdrawn order does not start any more. Order it again to queue it again."),
                _("Orders that do not wait any more are not changed."),
            ],
            confirm_label=_("Yes, withdraw"),
            cancel_url=list_url,
            breadcrumbs=[Breadcrumb(_("Queued orders"), list_url)],
            hidden={
                "action": "withdraw_selected",
                ACTION_CHECKBOX_NAME: [row.pk for row in rows],
                "confirmed": "yes",
            },
        )


def _move(request: HttpRequest, rows: Any, target: Callable[[int], int]) -> None:
    """Moves orders one by one to the place that `target` names for theirs, among those of their priority."""
    for row in rows:
        peers = order_queue.waiting().filter(priority=row.priority).values_list("pk", flat=True)
        place = {pk: number for number, pk in enumerate(peers, start=1)}.get(row.pk, 1)
        try:
            order_queue.move(row.pk, actor_for(request.user), position=target(place))
        except errors.CollectorError as error:
            messages.warning(request, str(error))
    messages.success(request, _("The queue was reordered."))
