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


def count(title: Any, name: str) -> Callable[[Any, Any], Any]:
    """A whole number of the row."""
    get = attrgetter(name)
    return cell(title, lambda row: formatting.number(get(row)))


def timestamp(title: Any, name: str) -> Callable[[Any, Any], Any]:
    """A point in time."""
    get = attrgetter(name)
    return cell(title, lambda row: formatting.timestamp(get(row)))


def price(title: Any, name: str) -> Callable[[Any, Any], Any]:
    """A price in the market's currency."""
    get = attrgetter(name)
    return cell(title, lambda row: formatting.price(get(row)))


def percent(title: Any, name: str, *, signed: bool = False) -> Callable[[Any, Any], Any]:
    """A percentage."""
    get = attrgetter(name)
    return cell(title, lambda row: formatting.percent(get(row), signed=signed))
