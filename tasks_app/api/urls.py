"""Every path of the API, and who may call it."""

from typing import TYPE_CHECKING, Any

from django.urls import include, path, re_path
from django.utils.translation import gettext_lazy as _
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import BasePermission, IsAuthenticated

from tasks_app.api.permissions import MayCancel, MayRetry, MayStart
from tasks_app.api.quotes import Quotes
from tasks_app.api.views import Stocks, Tasks, Unknown

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


def _page(title: "StrPromise", *rights: type[BasePermission]) -> dict[str, Any]:
    """What a browser's page is headed with, and whom it is for."""
    return {"name": title, "description": "", "permission_classes": (IsAuthenticated, *rights)}


data_collection = [
    path("historical", Tasks.as_view({"post": "start"}, **_page(_("Start a collection"), MayStart))),
    path("status/<str:task_id>", Tasks.as_view({"get": "status"}, **_page(_("Task")))),
    path("tasks", Tasks.as_view({"get": "list"}, **_page(_("Tasks")))),
    path("tasks/<str:task_id>", Tasks.as_view({"delete": "cancel"}, **_page(_("Cancel a task"), MayCancel))),
    path("tasks/<str:task_id>/items", Tasks.as_view({"get": "items"}, **_page(_("Items")))),
    path("tasks/<str:task_id>/errors", Tasks.as_view({"get": "errors"}, **_page(_("Failures by kind")))),
    path("tasks/<str:task_id>/retry", Tasks.as_view({"post": "retry"}, **_page(_("Retry"), MayRetry))),
    path("current-task", Tasks.as_view({"get": "current"}, **_page(_("What runs now")))),
    path("stock-list", Stocks.as_view({"get": "stock_list"}, **_page(_("Stocks")))),
    path("quotes/<str:market>/<str:code>", Quotes.as_view({"get": "bars"}, **_page(_("Daily bars")))),
]

urlpatterns = [
    path("api/data-collection/", include(data_collection)),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs",
        SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="api/docs.html"),
        name="docs",
    ),
    path("api/auth/", include("rest_framework.urls")),
    re_path(r"^api(?:/[\s\S]*)?$", Unknown.as_view()),
]
