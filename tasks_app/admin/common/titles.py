"""Titles and trails of the admin's lists and forms, in our words instead of the models'."""

from typing import Any, cast

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from tasks_app.admin.access.permissions import VIEW_AUDIT
from tasks_app.admin.common.changelist import RowsChangeList
from tasks_app.admin.common.formatting import Breadcrumb


class TitledAdmin:
    """A `ModelAdmin` with the title of its list and that of its form for a new row.

    The form of a row links to what the audit record says about it.
    """

    list_title: Any
    add_title: Any
    change_list_template = "admin/tasks_app/change_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RowsChangeList]:
        return RowsChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {"title": self.list_title, "breadcrumbs": [Breadcrumb(self.list_title)]}
        return cast(Any, super()).changelist_view(request, {**context, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, **kwargs: Any
    ) -> Any:
        context.update(self._head(self.add_title if add else str(kwargs.get("obj") or "")))
        context["show_history"] = request.user.has_perm(VIEW_AUDIT)
        return cast(Any, super()).render_change_form(request, context, add=add, change=change, **kwargs)

    def render_delete_form(self, request: HttpRequest, context: Any) -> Any:
        context.update(self._head(_("Delete “%(name)s”") % {"name": context.get("object", "")}))
        return cast(Any, super()).render_delete_form(request, context)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Returns the rows by name: what belongs to them has no names, and may be thousands of rows."""
        rows, opts = list(objs), self.opts  # type: ignore[attr-defined]
        admin: Any = self
        lacking = {opts.verbose_name for row in rows if not admin.has_delete_permission(request, row)}
        return [str(row) for row in rows], {opts.verbose_name_plural: len(rows)}, lacking, []

    def _head(self, title: Any) -> dict[str, Any]:
        opts = self.opts  # type: ignore[attr-defined]
        changelist = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        return {"title": title, "breadcrumbs": [Breadcrumb(self.list_title, changelist), Breadcrumb(title)]}
