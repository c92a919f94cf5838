"""Tushare's own client by itself, with a plain table in place of pandas.

Its package imports all of its modules (12 MB) and pandas, which imports numpy and pyarrow (together 86 MB, in
each worker), for one class that makes a table of each response. So the class's module is loaded on its own,
and what it imports as pandas is `Tables`; whatever else imports pandas gets the real one.
"""

import builtins
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


class Table:
    """The rows of a response. Raises `ValueError` for a row that has not a value for each column."""

    def __init__(self, data: Iterable[Sequence[Any]] = (), columns: Sequence[str] = ()) -> None:
        self.columns = columns
        self.records = [dict(zip(columns, row, strict=True)) for row in data]


class Tables:
    """What the client's module knows as pandas."""

    DataFrame = Table


@cache
def load_client() -> Any:
    """Returns the class `DataApi` of tushare.pro.client."""
    package = find_spec("tushare")
    assert package is not None  # noqa: S101 - `source` has looked
    assert package.origin is not None  # noqa: S101 - it is a Python file
    file = Path(package.origin).parent / "pro" / "client.py"
    spec = spec_from_file_location("tushare_pro_client", file)
    assert spec is not None  # noqa: S101 - it is a Python file
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    spec.loader.exec_module(module)
    return module.DataApi


def _import(name: str, *arguments: Any) -> Any:
    return Tables if name == "pandas" else __import__(name, *arguments)
