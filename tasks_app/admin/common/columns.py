"""Factories of columns and read-only fields: a title, and how to format the row's value."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from django.contrib import admin

from tasks_app.admin.common import formatting

# Classes of cells. Numbers stand at the right; they and times have their titles beside them on a phone.
NUMERIC, TIME, LONG = "sc-n", "sc-t", "sc-long"


def cell(title: Any, format_value: Callable[[Any], Any], css: str = "") -> Callable[[Any, Any], Any]:
    """Returns a column or field for the body of an admin class; `css` are classes of its cells in lists."""

    @admin.display(description=title)
    def column(self: Any, row: Any) -> Any:
        return format_value(row)

    column.css = css  # type: ignore[attr-defined]
    return column


def _formatted_by(
    format_value: Callable[..., Any], css: str = ""
) -> Callable[..., Callable[[Any, Any], Any]]:
    """Returns a factory of columns that format an attribute of the row, which may follow relations."""

    def make(title: Any, name: str, **options: Any) -> Callable[[Any, Any], Any]:
        get = attrgetter(name)
        return cell(title, lambda row: format_value(get(row), **options), css)

    return make


count = _formatted_by(formatting.number, NUMERIC)
timestamp = _formatted_by(formatting.timestamp, TIME)
price = _formatted_by(formatting.price, NUMERIC)
percent = _formatted_by(formatting.percent, NUMERIC)
