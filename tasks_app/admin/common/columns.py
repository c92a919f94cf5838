"""Factories of columns and read-only fields: a title, and how to format the row's value."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.contrib import admin

from tasks_app.admin.common import formatting


def cell(title: Any, format_value: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Returns a column or field for the body of an admin class."""

    @admin.display(description=title)
    def column(self: Any, row: Any) -> Any:
        return format_value(row)

    return column


def _formatted_by(format_value: Callable[..., Any]) -> Callable[..., Callable[[Any, Any], Any]]:
    """Returns a factory of columns that format an attribute of the row, which may follow relations."""

    def make(title: Any, name: str, **options: Any) -> Callable[[Any, Any], Any]:
        get = attrgetter(name)
        return cell(title, lambda row: format_value(get(row), **options))

    return make


count = _formatted_by(formatting.number)
timestamp = _formatted_by(formatting.timestamp)
price = _formatted_by(formatting.price)
percent = _formatted_by(formatting.percent)
