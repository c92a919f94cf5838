"""Columns that people have named: what a heading that is not known stands for.

The names are chosen on the page of uploads, stored in the database, and written into the folder beside the
files, so that every reader of the folder interprets them alike.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks_app.sources.csv_folder.problems import file_error

FILE_NAME = ".columns.json"  # entries that begin with a dot are no quotes
MAX_BYTES = 4 * 2**20
NOT_USED = "unused"
# What a heading may stand for, as a heading that is known would say it. The units are those that a number
# alone does not tell.
MEANINGS = (
    NOT_USED, "day", "code", "open", "high", "low", "close", "volume", "volume(shares)", "volume(lots)",
    "amount", "amount(元)", "amount(千元)", "amount(万元)", "preclose", "change", "changepct", "amplitude",
    "turnoverrate",
)  # fmt: skip
Header = tuple[str, ...]
Renamed = Mapping[str, str]  # meanings by heading
Mappings = Mapping[Header, Renamed]


def header_key(header: Sequence[str]) -> Header:
    """Returns the headings by which a file's columns are known again."""
    return tuple(text.strip() for text in header)


def read_mappings(folder: Path) -> Mappings:
    """Returns the folder's mappings; none if it has none. Raises `UnreadableFile` or `OSError`."""
    try:
        descriptor = os.open(folder / FILE_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise ValueError("too large")
        return {tuple(header): _checked(renamed) for header, renamed in json.loads(content)}
    except (ValueError, TypeError, AttributeError) as error:
        raise file_error("malformed", reason=f"{FILE_NAME}: {error}") from error


def _checked(renamed: dict[str, str]) -> Renamed:
    if unknown := sorted({meaning for meaning in renamed.values() if meaning not in MEANINGS}):
        raise ValueError(f"unknown column {unknown[0]!r}")
    return renamed


def write_mappings(folder: Path, mappings: Mappings) -> None:
    """Replaces the folder's mappings in one step. Raises `OSError`."""
    content = json.dumps([[list(header), dict(renamed)] for header, renamed in mappings.items()])
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, prefix=FILE_NAME, encoding="utf-8", delete=False
    ) as new:
        try:
            new.write(content)
            new.flush()
            os.fchmod(new.fileno(), 0o644)
            os.replace(new.name, folder / FILE_NAME)
        except OSError:
            os.unlink(new.name)
            raise
