"""The admin's site."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """The theme's, which makes the list of all tables only for a page that shows it."""

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Returns the list with every table's address, when it is read; each page's context has it."""
        return SimpleLazyObject(partial(super().get_app_list, request, app_label))
