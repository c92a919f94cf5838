"""The admin theme's settings: names, styles, the navigation, the language switch."""

import re
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


def unfold_settings() -> dict[str, Any]:
    """UNFOLD."""
    return {
        "SITE_TITLE": _("Stock collector"),
        "SITE_HEADER": _("Stock collector"),
        "SITE_SYMBOL": "candlestick_chart",
        "SITE_URL": None,
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("icon.svg")}],
        "STYLES": [_file("colors.css"), _file("admin.css")],
        "SCRIPTS": [_file("strict.js"), _file("access.js")],
        "COLORS": lambda request: {},  # else the theme writes them into the page, as an inline style
        "SHOW_LANGUAGES": True,
        "SHOW_HISTORY": False,
        "SHOW_VIEW_ON_SITE": False,
        "DASHBOARD_CALLBACK": "tasks_app.admin.dashboard.views.build_index_context",
        "SIDEBAR": {"navigation": _navigation()},
    }


def _navigation() -> list[dict[str, Any]]:
    return [
        {
            "title": _("Collection"),
            "items": [
                {
                    "title": _("Overview"),
                    "icon": "dashboard",
                    "link": reverse_lazy("admin:index"),
                    "permission": _may_see("tasks_app", "collectiontask"),
                },
                {
                    "title": _("Start a collection"),
                    "icon": "play_circle",
                    "link": reverse_lazy("admin:start"),
                    "permission": lambda request: request.user.has_perm("tasks_app.start_task"),
                },
                # The pages of items belong to their task: both addresses begin so.
                {
                    **_item(_("Tasks"), "checklist", "tasks_app", "collectiontask"),
                    "active": lambda request: re.search("/tasks_app/collection(task|item)", request.path),
                },
                _item(_("Plans"), "event_repeat", "tasks_app", "collectionplan"),
            ],
        },
        {
            "title": _("Data"),
            "items": [
                _item(_("Stocks"), "list_alt", "tasks_app", "stock"),
                _item(_("Daily bars"), "candlestick_chart", "tasks_app", "dailybar"),
                _item(_("Corrections"), "edit_note", "tasks_app", "correction"),
                _item(_("Findings"), "flag", "tasks_app", "finding"),
            ],
        },
        {
            "title": _("Access"),
            "items": [
                _item(_("Users"), "person", "auth", "user"),
                _item(_("Groups"), "group", "auth", "group"),
                _item(_("API tokens"), "key", "knox", "authtoken"),
            ],
        },
    ]


def _item(title: Any, icon: str, app: str, model: str) -> dict[str, Any]:
    """A link to the model's list, for those who may see it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_see(app, model),
    }


def _may_see(app: str, model: str) -> Callable[[HttpRequest], bool]:
    def may_see(request: HttpRequest) -> bool:
        rights = (f"{app}.{verb}_{model}" for verb in ("view", "change"))
        return any(request.user.has_perm(right) for right in rights)

    return may_see


def _file(name: str) -> Callable[[HttpRequest], str]:
    return lambda request: static(f"tasks_app/{name}")
