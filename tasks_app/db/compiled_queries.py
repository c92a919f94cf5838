"""Queries that become SQL once: for what is asked thousands of times, building it costs more than it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
Row = tuple[Any, ...]


class Prepared(Generic[M]):
    """A query with one parameter, built at the first use from a `sample` of it.

    `names` are the columns; an instance made of them defers the others.
    """

    def __init__(self, make: Callable[[Any], QuerySet[M]], names: Sequence[str], sample: Any) -> None:
        self.make, self.names, self.sample = make, names, sample

    def row(self, key: Any) -> Row | None:
        """The first row's values as Python's, or None."""
        sql, converters = self._compiled
        with connection.cursor() as cursor:
            cursor.execute(sql, [_adapted(key)])
            row: Row | None = cursor.fetchone()
        if row is None or not converters:
            return row
        values = list(row)
        for place, (steps, expression) in converters.items():
            for convert in steps:
                values[place] = convert(values[place], expression, connection)
        return tuple(values)

    def instance(self, key: Any) -> M | None:
        """The first row as its model."""
        row = self.row(key)
        return None if row is None else self._model.from_db(connection.alias, self.names, row)

    @cached_property
    def _model(self) -> type[M]:
        return self.make(self.sample).model

    @cached_property
    def _compiled(self) -> tuple[str, dict[int, Any]]:
        queryset = self.make(self.sample).values_list(*self.names)[:1]
        compiler = queryset.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        if len(parameters) != 1:
            raise ValueError(f"one parameter, not {len(parameters)}: {sql}")
        return sql, compiler.get_converters([column for column, *_ in compiler.select])


def _adapted(key: Any) -> Any:
    """SQLite keeps UUIDs as their digits."""
    return key.hex if isinstance(key, UUID) and connection.vendor == "sqlite" else key
