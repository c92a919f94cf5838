"""The staff pages: tasks, items and quotes to read, and the verbs. Nothing here edits state by hand."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from tasks_app.admin import plans, queue
from tasks_app.admin.access import tokens, users
from tasks_app.admin.dashboard import views as dashboard
from tasks_app.admin.start import views as start
from tasks_app.admin.stocks import admin as stocks, bars, corrections
from tasks_app.admin.tasks import admin as tasks, items

__all__ = [
    "bars",
    "corrections",
    "dashboard",
    "items",
    "plans",
    "queue",
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
