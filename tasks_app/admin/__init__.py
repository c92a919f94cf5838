"""The staff pages: tasks, items and quotes to read, and the verbs. Nothing here edits state by hand."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from tasks_app.admin import items, queue, quotes, tasks, tokens, users

__all__ = ["items", "queue", "quotes", "tasks", "tokens", "users"]

admin.site.index_title = _("Overview")
