"""The folder of an export, in which parts are replaced so that no reader sees half of one.

A part is written into the hidden folder `.export` and forced to the disk. When all changed parts are there,
they are *published*: `.export/publication.json` names them, they are renamed to their places, the manifest
follows, and at last files that it no longer names are deleted. A publication that was interrupted is finished
by the next run before anything else. A reader of one file gets the old or the new one as a whole.
"""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks_app.exports import manifest as manifests
from tasks_app.exports.errors import FolderBusy, FolderUnusable, ForeignFolder, NoExport
from tasks_app.exports.manifest import Manifest, Part, checksum_of

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]

WORK = ".export"
STATE = "state.json"
PUBLICATION = "publication.json"
PARTIAL = ".partial"


class ExportFolder:
    """A folder with the parts that are published, and those that wait for it.

    Its methods raise `FolderUnusable` where the file system fails.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.work = path, path / WORK
        self.files, self.parts = self.work / "files", self.work / "parts"
        self.next = self.work / PUBLICATION

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Context of a run: creates the folder, and keeps other processes of this machine out of it.

        Raises `ForeignFolder` for a folder with other files, and `FolderBusy`.
        """
        with self.failures():
            self.path.mkdir(parents=True, exist_ok=True)
            if (
                not self.work.is_dir()
                and not (self.path / manifests.NAME).exists()
                and any(self.path.iterdir())
            ):
                raise ForeignFolder(folder=self.path)
            self.files.mkdir(parents=True, exist_ok=True)
            self.parts.mkdir(exist_ok=True)
            descriptor = os.open(self.work, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if fcntl:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise FolderBusy(folder=self.path) from None
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turns an `OSError` of the file system into `FolderUnusable`."""
        try:
            yield
        except OSError as error:
            raise FolderUnusable(folder=self.path, reason=error.strerror or str(error)) from error

    def read_manifest(self) -> Manifest | None:
        """Returns what is published; None if nothing is. Raises `ForeignFolder` for another manifest.json."""
        if not (self.path / manifests.NAME).exists():
            return None
        try:
            return manifests.read(self.path)
        except NoExport as error:
            raise ForeignFolder(folder=self.path) from error

    def read_state(self) -> dict[str, Any]:
        """Returns what `write_state` wrote last; {} if nothing is readable."""
        try:
            state = json.loads((self.work / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def write_state(self, state: dict[str, Any]) -> None:
        with self.failures():
            _write_whole(self.work / STATE, json.dumps(state))

    def staged(self) -> dict[str, Part]:
        """Returns the parts that wait to be published. One whose files are not all there does not count."""
        found = {}
        for path in sorted(self.parts.glob("*.json")):
            entry = json.loads(path.read_text(encoding="utf-8"))
            part = Part.from_dict(entry["part"])
            if all(_size(self.files / name) == file.bytes for name, file in part.files.items()):
                found[entry["key"]] = part
        return found

    def discard(self) -> None:
        """Deletes what waits to be published."""
        with self.failures():
            for folder in (self.files, self.parts):
                shutil.rmtree(folder)
                folder.mkdir()

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Context with an empty folder in which a part's files are written, at their paths."""
        with self.failures():
            scratch = self.work / f"{socket.gethostname()}-{os.getpid()}{PARTIAL}"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def keep(self, scratch: Path, key: str, version: str, rows: int) -> Part:
        """Takes over what was written into the folder of `writing` as the part of this key."""
        with self.failures():
            files = {}
            for path in sorted(each for each in scratch.rglob("*") if each.is_file()):
                name = path.relative_to(scratch).as_posix()
                files[name] = checksum_of(path)
                _sync(path)
                target = self.files / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
            part = Part(version, rows, files)
            entry = {"key": key, "part": asdict(part)}
            _write_whole(self.parts / f"{_file_name(key)}.json", json.dumps(entry))
        return part

    def publish(self, manifest: Manifest) -> None:
        """Replaces the published parts by those of the manifest."""
        before = self.read_manifest()
        obsolete = sorted(set(before.files if before else ()) - set(manifest.files))
        with self.failures():
            _write_whole(self.next, json.dumps({"manifest": manifest.dumps(), "obsolete": obsolete}))
        self.finish_publication()

    def finish_publication(self) -> bool:
        """Finishes a publication that has begun. Returns whether one had."""
        with self.failures():
            if not self.next.exists():
                return False
            publication = json.loads(self.next.read_text(encoding="utf-8"))
            manifest = manifests.loads(publication["manifest"])
            for name in manifest.files:
                waiting, target = self.files / name, self.path / name
                if waiting.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(waiting, target)
            for folder in sorted({(self.path / name).parent for name in manifest.files}):
                _sync(folder)
            _write_whole(self.path / manifests.NAME, publication["manifest"])
            for name in publication["obsolete"]:
                _remove(self.path, name)
            self.next.unlink()
            self.discard()
            (self.work / STATE).unlink(missing_ok=True)
        return True

    def lacks(self, part: Part) -> bool:
        """Whether a file of a published part is missing or has another size."""
        return any(_size(self.path / name) != file.bytes for name, file in part.files.items())


def _file_name(key: str) -> str:
    return key.replace("/", "!")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _write_whole(path: Path, text: str) -> None:
    """Writes a file that other processes see as a whole or not at all, and forces it to the disk."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Forces a file, or the names in a folder, to the disk. Windows can't do that for folders."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(root: Path, name: str) -> None:
    """Deletes a file, and the folders that it leaves empty."""
    path = root / name
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == root or any(folder.iterdir()):
            return
        folder.rmdir()
