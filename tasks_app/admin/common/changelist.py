"""The base of the read-only lists: no way to write, and a cost that does not grow with the tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import display_for_field, display_for_value, label_for_field, lookup_field
from django.contrib.admin.views.main import ORDER_VAR
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldBooleanWidget

from tasks_app.admin.common import formatting
from tasks_app.admin.common.columns import NUMERIC, TIME
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.common.keys import KeyCheckedAdmin
from tasks_app.admin.common.paginator import CappedList, PageLink, page_links
from tasks_app.db import keyset

_M = TypeVar("_M", bound=Model)

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin as UnfoldAdmin
    from django.contrib.admin.views.main import ChangeList
else:
    from unfold.admin import ModelAdmin as UnfoldAdmin
    from unfold.views import ChangeList


CHECKBOX = "action_checkbox"


class Sorting(NamedTuple):
    """An order that a column leads to: fields with an index, and the names of the two directions.

    Without `descending` there is the ascending one only.
    """

    fields: Sequence[str]
    ascending: Any
    descending: Any = ""


class SortLink(NamedTuple):
    """The link in a column's title, with the name of the order it leads to.

    `aria` and `current` say how the list is sorted by the column now; "" if it is not.
    """

    url: str
    title: Any
    aria: str
    current: Any


class Column(NamedTuple):
    """A column of a list: its name in `list_display`, its title, and the classes of its cells."""

    name: str
    title: Any
    css: str
    sort: SortLink | None = None
    is_labelled: bool = False

    @property
    def attributes(self) -> SafeString | str:
        """The attributes of each cell: its classes, and the title that a phone shows beside the value."""
        if self.css in (NUMERIC, TIME):
            return format_html(' class="{}" data-l="{}"', self.css, capfirst(self.title))
        if self.is_labelled:
            return format_html(' data-l="{}"', capfirst(self.title))
        return format_html(' class="{}"', self.css) if self.css else ""


class RowsChangeList(ChangeList):
    """A list whose rows are written by admin/tasks_app/rows.html, on a phone in two or three lines.

    Those of the theme have a kilobyte of classes for each value, and a card for each row on a phone. There
    the titles of numbers, of times and of the columns that the admin names in `labelled` stand beside values.
    """

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Returns the admin's order, else the model's: these lists are not sorted by columns."""
        own: Any = self.model_admin.get_ordering(request) or self.lookup_opts.ordering
        return [*own, "pk"]

    @cached_property
    def columns(self) -> list[Column]:
        found = []
        labelled = getattr(self.model_admin, "labelled", ())
        for name in self.list_display:
            title, attribute = label_for_field(name, self.model, self.model_admin, return_attr=True)
            title = _select_all() if name == CHECKBOX else title
            css, sort = getattr(attribute, "css", ""), self._sort_link(str(name))
            found.append(Column(str(name), title, css, sort, name in labelled))
        return found

    @cached_property
    def active_filters(self) -> list[tuple[Any, Any, str]]:
        """Returns the title and the value of each filter that is set, and the address without it."""
        found = []
        for spec in self.filter_specs if self.has_active_filters else []:
            chosen: Any = next((each for each in spec.choices(self) if each.get("selected")), {})
            if spec.used_parameters and chosen.get("display"):
                rest = self.get_query_string(remove=[name for name in spec.expected_parameters() if name])
                found.append((spec.title, chosen["display"], self.all_query if rest == "?" else rest))
        return found

    @property
    def all_query(self) -> str:
        """The address of the list without search and filters."""
        return getattr(self.model_admin, "all_query", "?")

    def _sort_link(self, name: str) -> SortLink | None:
        """Returns the link in the title of a column that the list can be sorted by."""
        return None

    def rows(self) -> Iterator[list[tuple[Column, Any]]]:
        """Yields the formatted values of each row; that of the first display link links to its page."""
        shown = [name for name in self.list_display if name != CHECKBOX]
        links = [] if self.list_display_links is None else [*self.list_display_links, *shown]
        linked = next(iter(links), None)
        filters: Any = {"preserved_filters": self.preserved_filters, "opts": self.opts}
        here = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        for row in self.result_list:
            url = add_preserved_filters(filters, self.url_for_result(row)).removeprefix(here)
            values = [(column, self._value(row, column.name)) for column in self.columns]
            yield [
                (column, _link(url, value) if column.name == linked else value) for column, value in values
            ]

    def _value(self, row: Any, name: str) -> Any:
        """Returns the formatted value, "" for none: the style sheet draws a dash, on a phone nothing."""
        field, attribute, value = lookup_field(name, row, self.model_admin)
        if field is None:
            text = display_for_value(value, "", getattr(attribute, "boolean", False))
        else:
            text = display_for_field(value, field, "")
        return "" if text == formatting.EMPTY else text


class KeysetChangeList(RowsChangeList):
    """A list with keyset pages, in its admin's order or in one of its `sortings`, which an index serves.

    Sorting by any other column could mean sorting millions of rows.
    """

    page: keyset.Page[Any]

    @property
    def _sortings(self) -> Mapping[str, Sorting]:
        return getattr(self.model_admin, "sortings", {})

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        name = request.GET.get(ORDER_VAR, "")
        for sorting in self._sortings.values():
            if sorting.fields[0] == name:
                return [*sorting.fields]
            if sorting.descending and f"-{sorting.fields[0]}" == name:
                return [f"-{field}" for field in sorting.fields]
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

    def _sort_link(self, name: str) -> SortLink | None:
        """Returns the link to the order of a column, or to its other direction while it is the list's."""
        sorting = self._sortings.get(name)
        if sorting is None:
            return None
        first, shown = sorting.fields[0], self.queryset.query.order_by
        aria = {first: "ascending", f"-{first}": "descending"}.get(shown[0], "")
        turn = aria == "ascending" and sorting.descending
        is_default = [*sorting.fields] == list(self.model_admin.ordering or ())
        order = None if is_default else f"-{first}" if turn else first
        title = sorting.descending if turn else sorting.ascending
        current = {"ascending": sorting.ascending, "descending": sorting.descending}.get(aria, "")
        return SortLink(self.get_query_string({ORDER_VAR: order}), title, aria, current)

    @property
    def page_links(self) -> list[PageLink]:
        return page_links(self.page, lambda **place: self.get_query_string(place))


def _select_all() -> Any:
    """Returns the checkbox that selects all rows, which Django's script finds by its id."""
    attributes = {"id": "action-toggle", "class": "action-toggle", "aria-label": _("Select all rows")}
    return UnfoldBooleanWidget(attributes).render("action-toggle", False)


def _link(url: str, text: Any) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text)


def without_fields(fieldsets: Any, request: HttpRequest, permission: str, *names: str) -> Any:
    """Returns the fieldsets without these fields, unless the user has the permission to view them."""
    if request.user.has_perm(permission):
        return fieldsets
    return [
        (title, {**options, "fields": [name for name in options["fields"] if name not in names]})
        for title, options in fieldsets
    ]


class ReadOnlyAdmin(KeyCheckedAdmin, CappedList, UnfoldAdmin[_M]):  # type: ignore[misc]
    """Read-only for everyone, superusers included.

    Subclasses name an order and search fields that an index serves.
    """

    show_facets = ShowFacets.NEVER  # facets would count every choice of every filter
    list_max_show_all = 0
    list_disable_select_all = True
    verbose_names: tuple[Any, Any] | None = None  # singular and plural, if not the model's
    list_defer: tuple[str, ...] = ()
    sortings: ClassVar[Mapping[str, Sorting]] = {}  # by column
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

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        trail = [Breadcrumb(self._list_name())]
        return super().changelist_view(request, {"breadcrumbs": trail, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        here = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        trail = [Breadcrumb(self._list_name(), here), Breadcrumb(capfirst(str(context["original"])))]
        context.setdefault("breadcrumbs", trail)
        return super().render_change_form(request, context, *args, **kwargs)

    def _list_name(self) -> str:
        name = self.verbose_names[1] if self.verbose_names else self.opts.verbose_name_plural
        return capfirst(str(name))
