"""Settings of the admin's theme: names, styles, navigation, language switch."""

import re
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _, pgettext_lazy


def unfold_settings() -> dict[str, Any]:
    """Returns the setting UNFOLD."""
    return {
        "SITE_TITLE": _("Stock collector"),
        "SITE_HEADER": _("Stock collector"),
        "SITE_SYMBOL": "candlestick_chart",
        "SITE_URL": None,
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _static("icon.svg")}],
        "STYLES": [_static("colors.css"), _static("admin.css")],
        "SCRIPTS": [_static("strict.js"), _static("access.js")],
        "COLORS": lambda request: {},  # else the theme writes them into each page, as an inline style
        "SHOW_LANGUAGES": True,
        "SHOW_HISTORY": False,
        "SHOW_VIEW_ON_SITE": False,
        "DASHBOARD_CALLBACK": "tasks_app.admin.dashboard.views.build_index_context",
        "SIDEBAR": {"navigation": _navigation()},
    }


def _navigation() -> list[dict[str, Any]]:
    collection = [
        _link(_("Overview"), "dashboard", "admin:index", _can_view("tasks_app", "collectiontask")),
        _link(
            _("Start a collection"),
            "play_circle",
            "admin:start",
            lambda request: request.user.has_perm("tasks_app.start_task"),
        ),
        # The lists of items belong to a task: both addresses mark this entry.
        {
            **_model_link(_("Tasks"), "checklist", "tasks_app", "collectiontask"),
            "active": lambda request: re.search("/tasks_app/collection(task|item)", request.path),
        },
        _model_link(_("Queued orders"), "queue", "tasks_app", "queuedorder"),
        _model_link(_("Plans"), "event_repeat", "tasks_app", "collectionplan"),
        # A target's own page has another address than the list.
        {
            **_model_link(_("Targets"), "target", "tasks_app", "target"),
            "active": lambda request: re.search("/tasks_app/target/|/admin/targets/", request.path),
        },
        _link(_("Sources"), "dns", "admin:sources", _can_view("tasks_app", "sourcesetting")),
        _model_link(_("Incidents"), "notification_important", "tasks_app", "incident"),
        _model_link(_("Notice channels"), "campaign", "tasks_app", "noticechannel"),
        _model_link(_("Dead man's switches"), "ecg_heart", "tasks_app", "noticeping"),
        _link(
            pgettext_lazy("page", "System"),
            "monitor_heart",
            "admin:system",
            lambda request: request.user.has_perm("tasks_app.inspect_system"),
        ),
    ]
    data = [
        _link(_("Coverage"), "grid_on", "admin:coverage", _can_view("tasks_app", "stock")),
        _model_link(_("Stocks"), "list_alt", "tasks_app", "stock"),
        _model_link(_("Daily bars"), "candlestick_chart", "tasks_app", "dailybar"),
        _model_link(_("Corrections"), "edit_note", "tasks_app", "correction"),
        _model_link(_("Findings"), "flag", "tasks_app", "finding"),
        _link(_("Calendar"), "calendar_month", "admin:calendar", _can_view("tasks_app", "calendarday")),
        _link(_("Codes"), "tag", "admin:codes", _can_view("tasks_app", "stock")),
        _link(_("Exports"), "download", "admin:exports", _can_view("tasks_app", "export")),
        _link(
            _("Upload files"),
            "upload_file",
            "admin:uploads",
            lambda request: request.user.has_perm("tasks_app.upload_files"),
        ),
        _link(
            _("Delete data"),
            "delete_sweep",
            "admin:delete_data",
            lambda request: request.user.has_perm("tasks_app.delete_source_data"),
        ),
    ]
    access = [
        _link(_("Preferences"), "tune", "admin:preferences", lambda request: request.user.is_staff),
        _link(_("HTTP API"), "api", "api_root", lambda request: request.user.is_staff),
        _link(_("My sessions"), "devices", "admin:my_sessions", lambda request: request.user.is_staff),
        _link(_("My tokens"), "vpn_key", "admin:my_tokens", lambda request: request.user.is_staff),
        _model_link(_("Users"), "person", "auth", "user"),
        _model_link(_("Groups"), "group", "auth", "group"),
        _model_link(_("API tokens"), "key", "knox", "authtoken"),
        _link(_("Audit"), "history", "admin:audit", _can_view("tasks_app", "auditevent")),
    ]
    sections = (_("Collection"), collection), (_("Data"), data), (_("Access"), access)
    return [{"title": title, "items": items} for title, items in sections]


def _link(title: Any, icon: str, url_name: str, permission: Callable[[HttpRequest], bool]) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(url_name), "permission": permission}


def _model_link(title: Any, icon: str, app: str, model: str) -> dict[str, Any]:
    """A link to the model's list, for users who may see it."""
    return _link(title, icon, f"admin:{app}_{model}_changelist", _can_view(app, model))


def _can_view(app: str, model: str) -> Callable[[HttpRequest], bool]:
    permissions = [f"{app}.{verb}_{model}" for verb in ("view", "change")]
    return lambda request: any(request.user.has_perm(permission) for permission in permissions)


def _static(name: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(f"tasks_app/{name}")
