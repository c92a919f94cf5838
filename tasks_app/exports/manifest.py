"""`manifest.json`: what an export holds, by parts and files, with checksums."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasks_app.exports.errors import NoExport

NAME = "manifest.json"
PRODUCT = "stock-collector export"
SCHEMA = 1
CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """A file of an export: its SHA-256 in hexadecimal digits, and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Part:
    """Files that change together. `version` is that of the stored rows at their reading: see `versions`."""

    version: str
    rows: int
    files: dict[str, File]  # by path, relative to the export's folder

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Part":
        files = {path: File(**file) for path, file in values["files"].items()}
        return cls(values["version"], values["rows"], files)


@dataclass
class Manifest:
    """The content of an export.

    `migration` is the database's last one; `number` that of the last change before the export began, with
    its time `number_at`: all changes up to it are in (None in older exports). `is_consistent`: nothing was
    stored while it was written, so all parts are of one moment. `exported_at` is an ISO time with offset.
    """

    selection: dict[str, Any]
    migration: str = ""
    exported_at: str = ""
    is_consistent: bool = False
    number: int | None = None
    number_at: str = ""
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, File]:
        """All files by path, in ascending order."""
        return dict(sorted(item for part in self.parts.values() for item in part.files.items()))

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts.values())

    @property
    def checksum(self) -> str:
        """The SHA-256 over the paths and checksums of all files: equal content has an equal checksum."""
        digest = hashlib.sha256()
        for path, file in self.files.items():
            digest.update(f"{file.sha256}  {path}\n".encode())
        return digest.hexdigest()

    def dumps(self) -> str:
        head = {"product": PRODUCT, "schema": SCHEMA, "checksum": self.checksum, "rows": self.rows}
        return json.dumps({**head, **asdict(self)}, indent=1, ensure_ascii=False)


def loads(text: str) -> Manifest:
    """Parses a manifest. Raises `ValueError`, `KeyError` or `TypeError` for another file."""
    values = json.loads(text)
    if values["product"] != PRODUCT:
        raise ValueError("it is of another program")
    if values["schema"] > SCHEMA:
        raise ValueError(f"its schema {values['schema']} is later than {SCHEMA}")
    names = ("selection", "migration", "exported_at", "is_consistent")
    parts = {key: Part.from_dict(part) for key, part in values["parts"].items()}
    later = {name: values[name] for name in ("number", "number_at") if name in values}
    return Manifest(**{name: values[name] for name in names}, **later, parts=parts)


def read(folder: Path) -> Manifest:
    """Returns the manifest of a folder. Raises `NoExport`."""
    try:
        return loads((folder / NAME).read_text(encoding="utf-8"))
    except OSError as error:
        raise NoExport(folder=folder, reason=error.strerror) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoExport(folder=folder, reason=str(error)) from error


def checksum_of(path: Path) -> File:
    """Returns the checksum and size of a file, in constant memory. Raises `OSError`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return File(digest.hexdigest(), file.tell())


def verified(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Reads every file, and yields its path and what is wrong with it ("": nothing)."""
    for path, expected in manifest.files.items():
        try:
            found = checksum_of(folder / path)
        except OSError as error:
            yield path, str(error.strerror)
        else:
            yield path, "" if found == expected else "its SHA-256 differs"
