"""Every path of the API, and who may call it."""

from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated

from tasks_app.api.permissions import MayCancel, MayRetry, MayStart
from tasks_app.api.quotes import Quotes
from tasks_app.api.views import Stocks, Tasks, Unknown

READ = {"permission_classes": (IsAuthenticated,)}
START = {"permission_classes": (IsAuthenticated, MayStart)}
CANCEL = {"permission_classes": (IsAuthenticated, MayCancel)}
RETRY = {"permission_classes": (IsAuthenticated, MayRetry)}

data_collection = [
    path("historical", Tasks.as_view({"post": "start"}, **START)),
    path("status/<str:task_id>", Tasks.as_view({"get": "status"}, **READ)),
    path("tasks", Tasks.as_view({"get": "list"}, **READ)),
    path("tasks/<str:task_id>", Tasks.as_view({"delete": "cancel"}, **CANCEL)),
    path("tasks/<str:task_id>/items", Tasks.as_view({"get": "items"}, **READ)),
    path("tasks/<str:task_id>/errors", Tasks.as_view({"get": "errors"}, **READ)),
    path("tasks/<str:task_id>/retry", Tasks.as_view({"post": "retry"}, **RETRY)),
    path("current-task", Tasks.as_view({"get": "current"}, **READ)),
    path("stock-list", Stocks.as_view({"get": "stock_list"}, **READ)),
    path("quotes/<str:market>/<str:code>", Quotes.as_view({"get": "bars"}, **READ)),
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
