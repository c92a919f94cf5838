"""Paging through long lists: a count that stops early, and links to the pages beside this one."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from tasks_app.db import keyset


class CappedPaginator(Paginator[Any]):
    """Counts up to 10,000 rows; `capped` is true if there are more. The pages themselves are keyset pages."""

    limit = 10_000
    template_name = "admin/tasks_app/pagination.html"

    @cached_property
    def counted(self) -> int:
        """The rows, or `limit` + 1 for any number above the limit."""
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return rows.order_by()[: self.limit + 1].count()
        return min(len(rows), self.limit + 1)

    @cached_property
    def count(self) -> int:
        return min(self.counted, self.limit)

    @property
    def count_text(self) -> str:
        return f"{self.count:,}"

    @property
    def capped(self) -> bool:
        return self.counted > self.limit


class CappedList:
    """A `ModelAdmin` whose list is never counted to its end, and sorted in its own order only."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page: ClassVar[int] = 50
    sortable_by = ()


class PageLink(NamedTuple):
    """A link to another page of a list. `url` is empty where there is none."""

    title: str
    icon: str
    url: str
    rel: str = ""


def page_links(page: keyset.Page[Any], build_url: Callable[..., str]) -> list[PageLink]:
    """Returns links to the first, previous, next and last page. `build_url(after=…)` returns a page's URL."""
    before, after = page.before, page.after
    return [
        PageLink(_("First"), "first_page", "" if page.is_first else build_url()),
        PageLink(_("Previous"), "chevron_left", build_url(before=before) if before else "", "prev"),
        PageLink(_("Next"), "chevron_right", build_url(after=after) if after else "", "next"),
        PageLink(_("Last"), "last_page", build_url(before=keyset.END) if after else ""),
    ]
