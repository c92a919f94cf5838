"""A zip file of files of one stock each, such as 通达信's of a whole market (sh/lday/sh600000.day).

Only the list of its files is kept; each is unpacked when its stock is requested, and never to disk.
"""

import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tasks_app.sources.csv_folder.bars import ParsedFile
from tasks_app.sources.csv_folder.layout import MEMBER_SUFFIXES, QuoteFile, identify
from tasks_app.sources.csv_folder.problems import Note, Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.tables import MAX_BYTES, open_regular
from tasks_app.sources.csv_folder.tdx_day import SUFFIX as DAY_SUFFIX

SUFFIX = ".zip"
MAX_MEMBERS = 65_000
MAX_LIST_BYTES = 16 * 2**20  # of the archive's own list of its files
MAX_UNPACKED_GB = 16
MAX_RATIO = 250  # of all files to the archive; numbers as text are packed to a tenth
MIN_BOMB_BYTES = 64 * 2**20  # what unpacks to less does no harm
END = struct.Struct("<4s4H2LH")  # the record at the end of a zip file
MAX_COMMENT = 65_535
MAX_NAMED = 3
SeriesKey = tuple[str, str, str]  # market, adjustment, code


class ZipArchive:
    """The files of an archive by series. Its methods may be called from several threads."""

    def __init__(self, file: QuoteFile, parse: Callable[[QuoteFile, bytes], ParsedFile]) -> None:
        """Raises `UnreadableFile` for what is no archive of a sane size, or `OSError`."""
        self._parse, self._lock = parse, threading.Lock()
        stream = open_regular(file.path)
        try:
            _check_list(stream)
            self._zip = zipfile.ZipFile(stream)
            self.members: dict[SeriesKey, list[tuple[zipfile.ZipInfo, QuoteFile]]] = {}
            self._left: dict[str, list[tuple[str, Problem]]] = {}
            self._list(file, file.path.stat().st_size)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            # zipfile raises the latter two for absurd sizes and for later versions of the format.
            stream.close()
            raise file_error("malformed", reason=str(error)) from error
        except UnreadableFile:
            stream.close()
            raise

    @property
    def notes(self) -> list[Note]:
        """What the archive has that is not read, with the reasons."""
        return [
            Note(
                "left_out",
                {"count": len(left), "names": _few(left), "problem": [left[0][1].code, left[0][1].values]},
            )
            for left in self._left.values()
        ]

    def series(self) -> set[SeriesKey]:
        """Returns what the archive has files of."""
        return set(self.members)

    def row_count(self, key: SeriesKey) -> int | None:
        """Returns the number of a series' rows, if it is known without reading them."""
        return None

    def read(self, key: SeriesKey) -> list[tuple[str, ParsedFile]]:
        """Returns what the archive holds of a series, by the names of its files.

        Raises `UnreadableFile`, or `OSError` when the archive can't be read.
        """
        return [(file.path.name, self._parse(file, self._unpack(entry))) for entry, file in self.members[key]]

    def close(self) -> None:
        """Closes the archive's file."""
        self._zip.close()

    def _list(self, archive: QuoteFile, size: int) -> None:
        entries = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > MAX_UNPACKED_GB * 2**30:
            raise file_error("archive_size", limit=MAX_UNPACKED_GB)
        if unpacked > max(MIN_BOMB_BYTES, size * MAX_RATIO):
            raise file_error("archive_bomb", ratio=unpacked // max(size, 1))
        for entry in entries:
            path = PurePosixPath(entry.filename)
            if path.name[:1] in (".", "~") or path.parts[0] == "__MACOSX":
                continue
            try:
                file = _member(entry, path, archive)
                self.members.setdefault((file.market, file.adjust, file.code), []).append((entry, file))
            except UnreadableFile as error:
                problem = error.problems[0]
                self._left.setdefault(problem.code, []).append((path.name, problem))
        if not self.members and self._left:
            raise UnreadableFile([next(iter(self._left.values()))[0][1]])

    def _unpack(self, entry: zipfile.ZipInfo) -> bytes:
        try:
            with self._lock, self._zip.open(entry) as stream:
                content = stream.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
            raise file_error("malformed", reason=str(error)) from error
        if len(content) > MAX_BYTES:  # whatever the list says
            raise file_error("too_big", limit=MAX_BYTES // 2**20)
        return content


def _member(entry: zipfile.ZipInfo, path: PurePosixPath, archive: QuoteFile) -> QuoteFile:
    """Returns whose file an entry is. Raises `UnreadableFile` for one that is not read."""
    if entry.flag_bits & 1:
        raise file_error("encrypted")
    if path.suffix.lower() not in MEMBER_SUFFIXES:
        raise file_error("not_known_here")
    if entry.file_size > MAX_BYTES:
        raise file_error("too_big", limit=MAX_BYTES // 2**20)
    file = identify(Path(path.name), archive.market, archive.adjust)
    if not file.code:
        raise file_error("not_a_code" if path.suffix.lower() == DAY_SUFFIX else "in_archive")
    return file


def _check_list(stream: BinaryIO) -> None:
    """Raises `UnreadableFile` before a list of files is read that would fill the memory."""
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(max(0, size - END.size - MAX_COMMENT))
    tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < END.size:
        raise file_error("malformed", reason="File is not a zip file")
    *_, entries, list_bytes, _offset, _comment = END.unpack_from(tail, place)
    if (
        entries > MAX_MEMBERS or list_bytes > MAX_LIST_BYTES
    ):  # those of zip64 are marked by the highest number
        raise file_error("archive_many", limit=MAX_MEMBERS)


def _few(left: list[tuple[str, Problem]]) -> str:
    names = [name[:40] for name, _ in left[:MAX_NAMED]]
    return ", ".join([*names, "…"] if len(left) > MAX_NAMED else names)
