"""Every path of the API, and who may call it."""

from typing import TYPE_CHECKING, Any

from django.urls import include, path, re_path, register_converter
from django.urls.converters import StringConverter
from django.utils.translation import gettext_lazy as _
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import BasePermission, IsAuthenticated

from tasks_app.api.bulk import BulkViewSet
from tasks_app.api.days import DayViewSet
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
from tasks_app.api.targets import TargetViewSet
from tasks_app.api.views import NotFoundView, RootView, StockViewSet, TaskViewSet

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


def _page(title: "StrPromise", *permissions: type[BasePermission]) -> dict[str, Any]:
    """Arguments of a view: the heading of its browsable page, and permissions in addition to a login."""
    return {"name": title, "description": "", "permission_classes": (IsAuthenticated, *permissions)}


class MarketConverter(StringConverter):
    """A market in letters of any case, or any other text, which the views call unknown."""

    def to_python(self, value: str) -> str:
        return value.upper()


register_converter(MarketConverter, "market")
ORDER = """{
  "start_date": "2024-01-01",
  "end_date": "2024-12-31",
  "stock_codes": ["600519", "000001"]
}"""
PLAN = """{
  "name": "nightly",
  "market": "CN",
  "at": "18:00"
}"""
EXPORT = """{
  "folder": "cn-daily",
  "market": "CN",
  "adjust": ""
}"""
tasks, stocks, quotes = TaskViewSet.as_view, StockViewSet.as_view, QuoteViewSet.as_view
records, plans, queue = RecordViewSet.as_view, PlanViewSet.as_view, QueueViewSet.as_view
adjustments, changes = AdjustmentViewSet.as_view, ChangeViewSet.as_view
targets = TargetViewSet.as_view
days, bulk, exports = DayViewSet.as_view, BulkViewSet.as_view, ExportViewSet.as_view
data_collection = [
    path("historical", tasks({"post": "start"}, **_page(_("Start a collection"), CanStart), example=ORDER)),
    path(
        "historical/estimate",
        tasks({"post": "estimate"}, **_page(_("Estimate of a collection"), CanStart), example=ORDER),
    ),
    path("status/<str:task_id>", tasks({"get": "status"}, **_page(_("Task")))),
    path("tasks", tasks({"get": "list"}, **_page(_("Tasks")))),
    path("tasks/<str:task_id>", tasks({"delete": "cancel"}, **_page(_("Cancel a task"), CanCancel))),
    path("tasks/<str:task_id>/items", tasks({"get": "items"}, **_page(_("Items")))),
    path(
        "tasks/<str:task_id>/items/<str:code>/attempts",
        tasks({"get": "attempts"}, **_page(_("Attempts at a stock"))),
    ),
    path("tasks/<str:task_id>/errors", tasks({"get": "errors"}, **_page(_("Failures by kind")))),
    path("tasks/<str:task_id>/retry", tasks({"post": "retry"}, **_page(_("Retry"), CanRetry), example="{}")),
    path("tasks/<str:task_id>/pause", tasks({"post": "pause"}, **_page(_("Pause a task"), CanPause))),
    path("tasks/<str:task_id>/resume", tasks({"post": "resume"}, **_page(_("Resume a task"), CanPause))),
    path("queue", queue({"get": "list"}, **_page(_("Queued orders")))),
    path(
        "queue/<str:order_id>",
        queue(
            {"get": "retrieve", "patch": "partial_update", "delete": "destroy"},
            **_page(_("Queued order"), QueuePermissions),
        ),
    ),
    path("current-task", tasks({"get": "current"}, **_page(_("Current task")))),
    path("stock-list", stocks({"get": "stock_list"}, **_page(_("Stocks")))),
    path("coverage", stocks({"get": "coverage"}, **_page(_("Stored data")))),
    path("findings", records({"get": "findings"}, **_page(_("Findings")))),
    path("corrections", records({"get": "corrections"}, **_page(_("Corrections")))),
    path("events", records({"get": "events"}, **_page(_("Events")))),
    path("calendar", records({"get": "calendar"}, **_page(_("Calendar")))),
    path("changes", changes({"get": "changes"}, **_page(_("Changes of stored data")))),
    path(
        "plans", plans({"get": "list", "post": "create"}, **_page(_("Plans"), PlanPermissions), example=PLAN)
    ),
    path(
        "plans/<str:plan_id>",
        plans(
            {"get": "retrieve", "patch": "partial_update", "delete": "destroy"},
            **_page(_("Plan"), PlanPermissions),
        ),
    ),
    path("plans/<str:plan_id>/runs", plans({"get": "runs"}, **_page(_("Runs of a plan")))),
    path("plans/<str:plan_id>/run", plans({"post": "run"}, **_page(_("Run a plan"), CanRunPlan))),
    path(
        "exports",
        exports({"get": "list", "post": "create"}, **_page(_("Exports"), ExportPermissions), example=EXPORT),
    ),
    path(
        "exports/<str:export_id>",
        exports({"get": "retrieve", "delete": "destroy"}, **_page(_("Export"), ExportPermissions)),
    ),
    path("targets", targets({"get": "list"}, **_page(_("Targets")))),
    path(
        "targets/<str:target_id>/sessions", targets({"get": "sessions"}, **_page(_("Sessions of a target")))
    ),
    path("plan-events", plans({"get": "events"}, **_page(_("Events of plans")))),
    path("days/<market:market>", days({"get": "days"}, **_page(_("Days of a market")))),
    path("days/<market:market>/<str:day>", days({"get": "day"}, **_page(_("Day of a market")))),
    path("bars", bulk({"get": "bars", "post": "query"}, **_page(_("Bars in bulk"), CanReadInBulk))),
    path("agreement", records({"get": "agreement"}, **_page(_("Agreement of sources")))),
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
]

root = RootView.as_view(root="/api/data-collection/", paths=data_collection)

urlpatterns = [
    path("api/", root, name="api_root"),
    path("api/data-collection", root),
    path("api/data-collection/", include(data_collection)),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs",
        # No OPTIONS: the page's renderer has no template for REST framework's metadata.
        SpectacularSwaggerSplitView.as_view(
            url_name="schema", template_name="api/docs.html", http_method_names=["get", "head"]
        ),
        name="docs",
    ),
    path("api/auth/", include("rest_framework.urls")),
    re_path(r"^api(?:/[\s\S]*)?$", NotFoundView.as_view()),
]
