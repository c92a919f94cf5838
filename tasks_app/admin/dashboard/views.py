"""The overview: what runs now, the last runs, how the machinery is, what is stored.

Two pieces keep themselves fresh. A page asks for each with the version it shows, and is answered
with 204 while nothing has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.cache import patch_cache_control
from django.utils.safestring import SafeString

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import START_TASK, VIEW_TASKS
from tasks_app.admin.dashboard import current_task, overview


@dataclass(frozen=True)
class Piece:
    """A part of the page with an address of its own. `build` gives its context and its headline state."""

    name: str
    template: str
    build: Callable[[HttpRequest], dict[str, Any]]

    def render(self, request: HttpRequest) -> tuple[SafeString, str]:
        """The piece, which knows its version, and the version: "state.digest"."""
        context = self.build(request)
        state, body = context.get("state", ""), render_to_string(self.template, context, request)
        version = f"{state}.{sha256(body.encode()).hexdigest()[:16]}"
        address = f"{reverse(f'admin:dashboard_{self.name}')}?v={version}"
        frame = {"name": self.name, "state": state, "address": address, "body": body}
        return render_to_string("admin/dashboard/piece.html", frame), version


LIVE = Piece("live", "admin/dashboard/live.html", current_task.build_current_task_context)
OVERVIEW = Piece("overview", "admin/dashboard/overview.html", overview.build_overview_context)


def urls() -> list[URLPattern]:
    """The paths of the pieces, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("dashboard/live/", wrap(live_view), name="dashboard_live"),
        path("dashboard/overview/", wrap(overview_view), name="dashboard_overview"),
    ]


def build_index_context(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """The theme's hook: what the index shows beside the navigation."""
    if not request.user.has_perm(VIEW_TASKS):
        return given
    pieces = {piece.name: piece.render(request)[0] for piece in (LIVE, OVERVIEW)}
    return {**given, "pieces": pieces, "may_start": request.user.has_perm(START_TASK)}


def live_view(request: HttpRequest) -> HttpResponse:
    """The task that runs, or the last result."""
    require_permission(request, VIEW_TASKS)
    return _answer(request, LIVE)


def overview_view(request: HttpRequest) -> HttpResponse:
    """The last runs, the machinery and what is stored."""
    require_permission(request, VIEW_TASKS)
    return _answer(request, OVERVIEW)


def _answer(request: HttpRequest, piece: Piece) -> HttpResponse:
    body, version = piece.render(request)
    shown = request.GET.get("v", "")
    answer = HttpResponse(status=204) if shown == version else HttpResponse(body)
    if shown.partition(".")[0] != version.partition(".")[0]:
        answer["HX-Trigger"] = "sd:turned"  # another task, or another status: the rest is out of date, too
    patch_cache_control(answer, no_store=True)
    return answer
