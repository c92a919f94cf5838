"""The base of the read-only lists: no way to write, and a cost that does not grow with the tables."""

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from tasks_app.admin.common.keys import KeyCheckedAdmin
from tasks_app.admin.common.paginator import CappedPaginator, PageLink, page_links
from tasks_app.db import keyset

_M = TypeVar("_M", bound=Model)

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin as UnfoldAdmin
    from django.contrib.admin.views.main import ChangeList
else:
    from unfold.admin import ModelAdmin as UnfoldAdmin
    from unfold.views import ChangeList


class KeysetChangeList(ChangeList):
    """A list with keyset pages, always in its admin's order, which an index serves.

    Sorting by another column (`?o=3`) could mean sorting millions of rows.
    """

    page: keyset.Page[Any]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.get_ordering(request))

    def get_queryset(self, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        """Drops the page's place: it is not a filter, and links to other filters begin at the first page."""
        for name in (keyset.AFTER, keyset.BEFORE):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        heavy: tuple[str, ...] = getattr(self.model_admin, "list_defer", ())
        return super().get_queryset(*args, **kwargs).defer(*heavy)

    def get_results(self, request: HttpRequest) -> None:
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        self.page = self._page(request)
        self.result_list = self.page.rows
        # Otherwise the theme would offer "Show all" on every page.
        self.result_count = self.full_result_count = self.paginator.count
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True

    def _page(self, request: HttpRequest) -> keyset.Page[Any]:
        order = keyset.order_columns(self.model, self.get_ordering(request, self.queryset))
        try:
            at = keyset.parse_position(order, request.GET.get(keyset.AFTER), request.GET.get(keyset.BEFORE))
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from error
        return keyset.fetch_page(self.queryset, order, at, self.list_per_page)

    @property
    def page_links(self) -> list[PageLink]:
        return page_links(self.page, lambda **place: self.get_query_string(place))


def without_fields(fieldsets: Any, request: HttpRequest, permission: str, *names: str) -> Any:
    """Returns the fieldsets without these fields, unless the user has the permission to view them."""
    if request.user.has_perm(permission):
        return fieldsets
    return [
        (title, {**options, "fields": [name for name in options["fields"] if name not in names]})
        for title, options in fieldsets
    ]


class ReadOnlyAdmin(KeyCheckedAdmin, UnfoldAdmin[_M]):  # type: ignore[misc]
    """Read-only for everyone, superusers included.

    Subclasses name an order and search fields that an index serves.
    """

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # facets would count every choice of every filter
    list_per_page = 50
    list_max_show_all = 0
    list_disable_select_all = True
    verbose_names: tuple[Any, Any] | None = None  # singular and plural, if not the model's
    list_defer: tuple[str, ...] = ()
    sortable_by = ()
    change_list_template = "admin/tasks_app/change_list.html"
    change_form_template = "admin/tasks_app/read_only.html"

    class Media:
        css = {"all": ["tasks_app/lists.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList
