"""The layouts of an export, by the names that commands and pages use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from tasks_app.exports.changed_parts import Base
from tasks_app.exports.csv_layouts import CSV_LAYOUTS
from tasks_app.exports.errors import OneSeriesNeeded, PresentOnly
from tasks_app.exports.parquet import ParquetLayout
from tasks_app.exports.qlib import QlibLayout
from tasks_app.exports.selection import PARQUET, Selection


class Layout(Protocol):
    """What an export of one layout consists of. `memory` is kept from one run of the work to the next.

    `base` is an earlier export, to which a layout may add what has changed since, instead of reading all.
    """

    memory: dict[str, Any]
    base: Base | None

    def scan(self, versions: dict[str, str], cursor: str) -> Iterator[tuple[str, int, int]]:
        """Adds the versions of all parts by key; yields a cursor, and how many steps of how many are done.

        `cursor` is the last one of an earlier scan, whose versions are in `versions`; "" for a new one. The
        version "" stands for a part that must be written to learn whether it has changed.
        """
        ...

    def write(self, key: str, root: Path) -> Iterator[int]:
        """Writes the files of a part below `root`; yields how many rows each step wrote."""
        ...


def require_exportable(selection: Selection) -> None:
    """Raises `ExportError` for a selection that the layout can't hold."""
    if selection.layout != PARQUET and (not selection.market or selection.adjust is None):
        raise OneSeriesNeeded(layout=selection.layout)
    if selection.layout != PARQUET and selection.as_of is not None:
        raise PresentOnly(layout=selection.layout)


LAYOUTS: dict[str, Callable[[Selection], Layout]] = {
    PARQUET: ParquetLayout,
    "qlib": QlibLayout,
    **CSV_LAYOUTS,
}
