"""Every path of the API, and who may call it."""

from typing import TYPE_CHECKING, Any

from django.urls import include, path, re_path, register_converter
from django.urls.converters import StringConverter
from django.utils.translation import gettext_lazy as _
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import BasePermission, IsAuthenticated

from tasks_app.api import verbs
from tasks_app.api.bulk import BulkViewSet
from tasks_app.api.days import DayViewSet
from tasks_app.api.docs import DocsView
from tasks_app.api.exports import ExportViewSet
from tasks_app.api.permissions import (
    CanCancel,
    CanPause,
    CanReadInBulk,
    CanRetry,
    CanRunPlan,
    CanStart,
    ExportPermissions,
    PlanPermissions,
    QueuePermissions,
)
from tasks_app.api.plans import PlanViewSet
from tasks_app.api.queue import QueueViewSet
from tasks_app.api.quotes import AdjustmentViewSet, ChangeViewSet, QuoteViewSet
from tasks_app.api.records import RecordViewSet
from tasks_app.api.root import NotFoundView, RootView
from tasks_app.api.targets import TargetViewSet
from tasks_app.api.verbs import Verb
from tasks_app.api.views import StockViewSet, TaskViewSet

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


def _page(
    title: "StrPromise",
    *permissions: type[BasePermission],
    staff_page: str = "",
    **methods: Verb,
) -> dict[str, Any]:
    """Arguments of a view: heading and verbs of its browsable page, permissions in addition to a login.

    `staff_page` names the admin's page of the same things.
    """
    return {
        "name": title,
        "description": "",
        "permission_classes": (IsAuthenticated, *permissions),
        "verbs": methods,
        "staff_page": staff_page,
    }


class MarketConverter(StringConverter):
    """A market in letters of any case, or any other text, which the views call unknown."""

    def to_python(self, value: str) -> str:
        return value.upper()


register_converter(MarketConverter, "market")
tasks, stocks, quotes = TaskViewSet.as_view, StockViewSet.as_view, QuoteViewSet.as_view
records, plans, queue = RecordViewSet.as_view, PlanViewSet.as_view, QueueViewSet.as_view
adjustments, changes = AdjustmentViewSet.as_view, ChangeViewSet.as_view
targets = TargetViewSet.as_view
days, bulk, exports = DayViewSet.as_view, BulkViewSet.as_view, ExportViewSet.as_view
task_paths = [
    path(
        "historical",
        tasks(
            {"post": "start"},
            **_page(_("Start a collection"), CanStart, staff_page="start", post=verbs.START),
        ),
    ),
    path(
        "historical/estimate",
        tasks({"post": "estimate"}, **_page(_("Estimate of a collection"), CanStart, post=verbs.ESTIMATE)),
    ),
    path("current-task", tasks({"get": "current"}, **_page(_("Current task"), staff_page="index"))),
    path(
        "tasks",
        tasks({"get": "list"}, **_page(_("List of tasks"), staff_page="tasks_app_collectiontask_changelist")),
    ),
    path(
        "status/<str:task_id>",
        tasks({"get": "status"}, **_page(_("One task"), staff_page="tasks_app_collectiontask_change")),
    ),
    path(
        "tasks/<str:task_id>",
        tasks(
            {"delete": "cancel"},
            **_page(
                _("Cancel a task"),
                CanCancel,
                staff_page="tasks_app_collectiontask_change",
                delete=verbs.CANCEL,
            ),
        ),
    ),
    path("tasks/<str:task_id>/items", tasks({"get": "items"}, **_page(_("Items")))),
    path(
        "tasks/<str:task_id>/items/<str:code>/attempts",
        tasks({"get": "attempts"}, **_page(_("Attempts at a stock"))),
    ),
    path("tasks/<str:task_id>/errors", tasks({"get": "errors"}, **_page(_("Failures by kind")))),
    path(
        "tasks/<str:task_id>/retry", tasks({"post": "retry"}, **_page(_("Retry"), CanRetry, post=verbs.RETRY))
    ),
    path(
        "tasks/<str:task_id>/pause",
        tasks({"post": "pause"}, **_page(_("Pause a task"), CanPause, post=verbs.PAUSE)),
    ),
    path(
        "tasks/<str:task_id>/resume",
        tasks(
            {"post": "resume"},
            **_page(_("Resume a task"), CanPause, post=verbs.RESUME),
        ),
    ),
    path("events", records({"get": "events"}, **_page(_("Events")))),
]
queue_paths = [
    path(
        "queue",
        queue(
            {"get": "list"},
            **_page(_("List of queued orders"), staff_page="tasks_app_queuedorder_changelist"),
        ),
    ),
    path(
        "queue/<str:order_id>",
        queue(
            {"get": "retrieve", "patch": "partial_update", "delete": "destroy"},
            **_page(
                _("One queued order"),
                QueuePermissions,
                staff_page="tasks_app_queuedorder_changelist",
                patch=verbs.MOVE_ORDER,
                delete=verbs.WITHDRAW_ORDER,
            ),
        ),
    ),
]
plan_paths = [
    path(
        "plans",
        plans(
            {"get": "list", "post": "create"},
            **_page(
                _("List of plans"),
                PlanPermissions,
                staff_page="tasks_app_collectionplan_changelist",
                post=verbs.MAKE_PLAN,
            ),
        ),
    ),
    path(
        "plans/<str:plan_id>",
        plans(
            {"get": "retrieve", "patch": "partial_update", "delete": "destroy"},
            **_page(
                _("One plan"),
                PlanPermissions,
                staff_page="tasks_app_collectionplan_change",
                patch=verbs.CHANGE_PLAN,
                delete=verbs.DELETE_PLAN,
            ),
        ),
    ),
    path("plans/<str:plan_id>/runs", plans({"get": "runs"}, **_page(_("Runs of a plan")))),
    path(
        "plans/<str:plan_id>/run",
        plans({"post": "run"}, **_page(_("Run a plan"), CanRunPlan, post=verbs.RUN_PLAN)),
    ),
    path("plan-events", plans({"get": "events"}, **_page(_("Events of plans")))),
    path(
        "targets", targets({"get": "list"}, **_page(_("Targets"), staff_page="tasks_app_target_changelist"))
    ),
    path(
        "targets/<str:target_id>/sessions", targets({"get": "sessions"}, **_page(_("Sessions of a target")))
    ),
]
data_paths = [
    path(
        "stock-list",
        stocks({"get": "stock_list"}, **_page(_("Stocks"), staff_page="tasks_app_stock_changelist")),
    ),
    path("coverage", stocks({"get": "coverage"}, **_page(_("Stored data"), staff_page="coverage"))),
    path("quotes/<market:market>/<str:code>", quotes({"get": "bars"}, **_page(_("Daily bars")))),
    path("quotes/<market:market>/<str:code>/gaps", quotes({"get": "gaps"}, **_page(_("Days without a bar")))),
    path(
        "quotes/<market:market>/<str:code>/factors",
        adjustments({"get": "factors"}, **_page(_("Adjustment factors"))),
    ),
    path(
        "quotes/<market:market>/<str:code>/actions",
        adjustments({"get": "actions"}, **_page(_("Corporate actions"))),
    ),
    path(
        "bars",
        bulk(
            {"get": "bars", "post": "query"},
            **_page(_("Read bars of many stocks"), CanReadInBulk, post=verbs.READ_BARS),
        ),
    ),
    path("changes", changes({"get": "changes"}, **_page(_("Changes of stored data")))),
    path("days/<market:market>", days({"get": "days"}, **_page(_("Days of a market")))),
    path("days/<market:market>/<str:day>", days({"get": "day"}, **_page(_("Day of a market")))),
    path("calendar", records({"get": "calendar"}, **_page(_("Calendar"), staff_page="calendar"))),
]
quality_paths = [
    path(
        "findings",
        records({"get": "findings"}, **_page(_("Findings"), staff_page="tasks_app_finding_changelist")),
    ),
    path(
        "corrections",
        records(
            {"get": "corrections"}, **_page(_("Corrections"), staff_page="tasks_app_correction_changelist")
        ),
    ),
    path(
        "agreement", records({"get": "agreement"}, **_page(_("Agreement of sources"), staff_page="agreement"))
    ),
]
export_paths = [
    path(
        "exports",
        exports(
            {"get": "list", "post": "create"},
            **_page(_("List of exports"), ExportPermissions, staff_page="exports", post=verbs.START_EXPORT),
        ),
    ),
    path(
        "exports/<str:export_id>",
        exports(
            {"get": "retrieve", "delete": "destroy"},
            **_page(_("One export"), ExportPermissions, staff_page="exports", delete=verbs.CANCEL_EXPORT),
        ),
    ),
]
groups = [
    (_("Tasks"), task_paths),
    (_("Queued orders"), queue_paths),
    (_("Plans and targets"), plan_paths),
    (_("Stocks and bars"), data_paths),
    (_("Data quality"), quality_paths),
    (_("Exports"), export_paths),
]
data_collection = [each for _title, paths in groups for each in paths]

root = RootView.as_view(root="/api/data-collection/", groups=groups)

urlpatterns = [
    path("api/", root, name="api_root"),
    path("api/data-collection", root),
    path("api/data-collection/", include(data_collection)),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", DocsView.as_view(url_name="schema"), name="docs"),
    path("api/auth/", include("rest_framework.urls")),
    re_path(r"^api(?:/[\s\S]*)?$", NotFoundView.as_view()),
]
