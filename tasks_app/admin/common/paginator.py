"""How many rows a long list has, without counting the whole of it."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property


class CappedPaginator(Paginator[Any]):
    """Counts up to 10,000 rows; `capped` tells that there are more. The pages go by `keyset`."""

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
