"""Queries whose SQL is built once: building it costs more than running a small query."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
Row = tuple[Any, ...]


class CompiledQuery(Generic[M]):
    """A query with one parameter, the key, compiled at its first use from a `sample` of the key.

    `build` makes the queryset for a key. `columns` are the columns that are read, for `instance` the
    attribute names of concrete fields in the model's order; `annotations` are names of annotations.
    The SQL's parameters that equal the sample are replaced by the key, all others stay as they are: so
    no constant of the query may equal the sample.
    """

    def __init__(
        self,
        build: Callable[[Any], QuerySet[M]],
        columns: Sequence[str],
        sample: Any,
        annotations: Sequence[str] = (),
    ) -> None:
        self.build, self.columns, self.sample, self.annotations = build, columns, sample, annotations

    def row(self, key: Any) -> Row | None:
        """Returns the first row's values, converted as by the ORM, or None."""
        sql, parameters, converters = self._compiled
        sample, adapted = _adapt(self.sample), _adapt(key)
        with connection.cursor() as cursor:
            cursor.execute(sql, [adapted if value == sample else value for value in parameters])
            row: Row | None = cursor.fetchone()
        if row is None or not converters:
            return row
        values = list(row)
        for index, (functions, expression) in converters.items():
            for convert in functions:
                values[index] = convert(values[index], expression, connection)
        return tuple(values)

    def instance(self, key: Any) -> M | None:
        """Returns the first row as a model instance with its annotations; columns not read are deferred."""
        if (row := self.row(key)) is None:
            return None
        count = len(self.columns)
        instance = self._model.from_db(connection.alias, self.columns, row[:count])
        for name, value in zip(self.annotations, row[count:], strict=True):
            setattr(instance, name, value)
        return instance

    @cached_property
    def _model(self) -> type[M]:
        return self.build(self.sample).model

    @cached_property
    def _compiled(self) -> tuple[str, Row, dict[int, Any]]:
        queryset = self.build(self.sample).values_list(*self.columns, *self.annotations)[:1]
        compiler = queryset.query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        if _adapt(self.sample) not in parameters:
            raise ValueError(f"{self.sample!r} is not a parameter of the query: {sql}")
        return sql, tuple(parameters), compiler.get_converters([column for column, *_ in compiler.select])


def _adapt(key: Any) -> Any:
    """SQLite stores UUIDs as their hexadecimal digits."""
    return key.hex if isinstance(key, UUID) and connection.vendor == "sqlite" else key
