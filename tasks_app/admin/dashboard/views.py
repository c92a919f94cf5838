"""The overview: the running task, the last runs, workers and queue, what is stored.

It is the index page of the admin site, in two parts. The page's script refreshes each part from a URL of
its own, which answers 304 while the part has not changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import VIEW_TASKS
from tasks_app.admin.dashboard.current_task import build_current_task_context
from tasks_app.admin.dashboard.overview import build_overview_context
from tasks_app.http.conditional import conditional_response, etag_for

PARTS: dict[str, Callable[[HttpRequest], dict[str, Any]]] = {
    "live": build_current_task_context,
    "overview": build_overview_context,
}


@dataclass(frozen=True)
class Part:
    """A rendered part of the page. `state` changes when another task is shown, or its status changes."""

    name: str
    url: str
    html: SafeString
    state: str
    etag: str


def urls() -> list[URLPattern]:
    """Returns the paths of the parts, in the admin's namespace."""
    view = admin.site.admin_view(part_view)
    return [path(f"dashboard/{name}/", view, {"name": name}, name=f"dashboard_{name}") for name in PARTS]


def build_index_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Returns the theme's context of the index, with the parts for users who may view tasks."""
    if not request.user.has_perm(VIEW_TASKS):
        return context
    return {**context, "parts": [_render_part(request, name) for name in PARTS]}


def part_view(request: HttpRequest, name: str) -> HttpResponse:
    """Returns the part's HTML and its state as JSON, or 304 while the browser shows this version."""
    require_permission(request, VIEW_TASKS)
    part = _render_part(request, name)
    return conditional_response(
        request, part.etag, lambda: JsonResponse({"state": part.state, "html": part.html})
    )


def _render_part(request: HttpRequest, name: str) -> Part:
    context = PARTS[name](request)
    html, state = render_to_string(f"admin/dashboard/{name}.html", context, request), context.get("state", "")
    return Part(name, reverse(f"admin:dashboard_{name}"), html, state, etag_for(f"{state} {html}"))
