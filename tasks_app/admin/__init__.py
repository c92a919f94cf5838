"""The staff pages: tasks, items and quotes to read, and the verbs. Nothing here edits state by hand."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from tasks_app.admin import (
    dashboard,
    doubts,
    items,
    plans,
    queue,
    quotes,
    start,
    stocks,
    tasks,
    tokens,
    users,
)

__all__ = [
    "dashboard",
    "doubts",
    "items",
    "plans",
    "queue",
    "quotes",
    "start",
    "stocks",
    "tasks",
    "tokens",
    "users",
]

admin.site.index_title = _("Overview")
# The theme's site takes further paths here, into the admin's own namespace.
site: Any = admin.site
site.extra_urls = lambda: [*dashboard.urls(), *start.urls()]
