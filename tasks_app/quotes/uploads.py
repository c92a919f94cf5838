"""Files that people upload: kept beside the folder of the source `csv`, checked, then taken over into it.

A waiting file lies in a hidden folder there, under a name of ours, where no source reads it; only a taken one
gets the name that it came with, checked to be a plain one. Nothing of a file is ever run.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _, gettext_lazy

from tasks_app.conf import Conf
from tasks_app.errors import CollectorError
from tasks_app.models import ColumnMapping, Upload
from tasks_app.models.uploads import UPLOAD_ENDS, UploadState
from tasks_app.quotes.file_preview import FileCheck, Report
from tasks_app.sources.csv_folder import column_mapping, parquet_dump
from tasks_app.sources.csv_folder.column_mapping import MEANINGS, Mappings, header_key
from tasks_app.sources.csv_folder.file_lock import locked
from tasks_app.sources.csv_folder.headings import parse_heading
from tasks_app.sources.csv_folder.layout import SUFFIXES, QuoteFile, identify
from tasks_app.sources.csv_folder.problems import Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.tables import read_table

logger = logging.getLogger(__name__)
MAX_NAME = 150
WAITING = ".uploads"  # entries that begin with a dot are no quotes
MAX_AGE = timedelta(days=7)  # of a file that was not taken over
MIN_FREE_BYTES = 256 * 2**20  # that must be left on the disk
MAX_SAMPLE = 3  # rows
MAX_CELL = 60
PLAIN_NAME = re.compile(r"\w[\w .,#()（）+-]*\.\w+")
SMALL_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in (".parquet", ".zip"))


class UploadError(CollectorError):
    """An upload can't be done; the sentence says why."""

    code = "bad_upload"
    template = gettext_lazy("%(name)s: %(reason)s.")


@dataclass(frozen=True)
class TablePreview:
    """The beginning of a file: its headings, what each is read as ("": nothing), and some rows."""

    header: list[str]
    columns: list[str]
    rows: list[list[str]]


class UploadFolder:
    """The files that wait beside the folder of the source `csv`, and the way into it."""

    def __init__(self, conf: Conf) -> None:
        """Expects COLLECTOR_CSV_DIR to be set."""
        self.conf, self.folder = conf, Path(conf.csv_dir)

    def stage(
        self, name: str, size: int, chunks: Iterable[bytes], *, market: str, adjust: str, user: User
    ) -> Upload:
        """Stores an uploaded file where it waits. Raises `UploadError`."""
        reason = _name_problem(name, market, adjust) or self._space_problem(size)
        if reason:
            raise UploadError(name=name[:MAX_NAME], reason=reason)
        self.forget_old()
        upload = Upload(
            name=name, market=market, adjust=adjust, size=size, user=user, user_name=user.get_username()
        )
        path = self.path_of(upload)
        try:
            path.parent.mkdir(mode=0o750, exist_ok=True)
            with path.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            upload.save()
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UploadError(name=name, reason=_write_problem(error)) from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return upload

    def path_of(self, upload: Upload) -> Path:
        """Returns where the upload's file waits."""
        return self.folder / WAITING / f"{upload.token.hex}{Path(upload.name).suffix.lower()}"

    def target_of(self, upload: Upload) -> Path:
        """Returns where the upload's file will lie."""
        return self.folder.joinpath(*filter(None, (upload.market, upload.adjust)), upload.name)

    def check(self, upload: Upload, today: date, seconds: float) -> Report:
        """Checks the file for some seconds, from where the last check ended; bars after `today` are refused.

        Of two checks at once only one counts. Returns the report so far.
        """
        report, until = report_of(upload), time.monotonic() + seconds
        if upload.state != UploadState.CHECKING:
            return report
        checks = self._begin(upload, today).run(report)
        for _part in checks:
            if time.monotonic() > until:
                break
        checks.close()
        state = UploadState.CHECKED if report.is_complete else UploadState.CHECKING
        values = {"report": asdict(report), "state": state, "version": F("version") + 1}
        same = Upload.objects.filter(pk=upload.pk, version=upload.version, state=UploadState.CHECKING)
        same.update(**values)
        upload.refresh_from_db()
        return report_of(upload)

    def read_table(self, upload: Upload) -> TablePreview | None:
        """Returns the beginning of the file; None for an archive of files, and for what is no table."""
        path = self.path_of(upload)
        try:
            if path.suffix in SMALL_SUFFIXES and path.suffix != ".day":
                table = read_table(path)
                header, rows = table.header, [fields for _line, fields in table.rows[:MAX_SAMPLE]]
            elif path.suffix == ".parquet":
                header, rows = parquet_dump.read_head(path, MAX_SAMPLE)
            else:
                return None
        except (UnreadableFile, OSError):
            return None  # the report says it
        meanings = self.mappings().get(header_key(header), {})
        columns = [parse_heading(meanings.get(text.strip(), text)).column for text in header]
        return TablePreview(list(header), columns, [[cell[:MAX_CELL] for cell in row] for row in rows])

    def name_columns(self, upload: Upload, meanings: Mapping[str, str], user: User) -> None:
        """Stores what the headings of this file and of all with the same headings stand for; checks it again.

        Raises `UploadError` for a heading or meaning that does not exist, or a folder that can't be written.
        """
        table = self.read_table(upload)
        header = header_key(table.header) if table else ()
        if not set(meanings) <= set(header) or not set(meanings.values()) <= set(MEANINGS):
            raise UploadError(name=upload.name, reason=_("the columns are not those of this file"))
        digest = hashlib.sha256(repr(header).encode()).hexdigest()
        values = {"header": list(header), "meanings": dict(meanings), "user_name": user.get_username()}
        with transaction.atomic():
            ColumnMapping.objects.update_or_create(digest=digest, defaults={**values, "at": Now()})
            waiting = Upload.objects.exclude(state__in=UPLOAD_ENDS)  # any of them may have these headings
            waiting.update(state=UploadState.CHECKING, report={}, version=F("version") + 1)
        try:
            self._write_mappings()
        except OSError as error:
            raise UploadError(name=upload.name, reason=_write_problem(error)) from error

    def _write_mappings(self) -> None:
        """Writes the meanings into the folder, where the source reads them. Raises `OSError`."""
        with locked(self.folder):  # so that the last one to write has read what all have stored
            mappings = self.mappings()
            try:
                if mappings == column_mapping.read_mappings(self.folder):
                    return
            except UnreadableFile:
                logger.warning("%s was spoiled and is written again", column_mapping.FILE_NAME)
            column_mapping.write_mappings(self.folder, mappings)

    def meanings_of(self, table: TablePreview) -> dict[str, str]:
        """Returns what the headings of such a file stand for, as somebody said."""
        return dict(self.mappings().get(header_key(table.header), {}))

    def mappings(self) -> Mappings:
        """Returns what headings stand for, as the rows say."""
        rows = ColumnMapping.objects.order_by("pk").values_list("header", "meanings")
        return {tuple(header): meanings for header, meanings in rows}

    def take(self, upload: Upload, *, replace_existing: bool = False) -> Path:
        """Moves a checked file into the folder, and returns where it lies. Raises `UploadError`."""
        path, target = self.path_of(upload), self.target_of(upload)
        report = report_of(upload)
        if not report.bars:
            raise UploadError(name=upload.name, reason=_("nothing of it can be taken"))
        try:
            with transaction.atomic():
                self._end(upload, UploadState.CHECKED, UploadState.TAKEN)
                self._write_mappings()
                _make_folders(self.folder, target.parent)
                path.chmod(0o644)
                if replace_existing:
                    os.replace(path, target)
                else:
                    os.link(path, target)  # which fails where a file is
                    path.unlink()
        except FileExistsError as error:
            raise UploadError(
                name=upload.name,
                reason=_("a file of this name is there already; replace it, or rename yours"),
            ) from error
        except OSError as error:
            raise UploadError(name=upload.name, reason=_write_problem(error)) from error
        return target.relative_to(self.folder)

    def discard(self, upload: Upload) -> None:
        """Deletes a waiting file. Raises `UploadError` if it is no longer there."""
        with transaction.atomic():
            self._end(upload, upload.state, UploadState.DISCARDED)
            self.path_of(upload).unlink(missing_ok=True)

    def forget_old(self) -> None:
        """Discards the files left undecided for a week."""
        for upload in Upload.objects.exclude(state__in=UPLOAD_ENDS).filter(at__lt=Now() - MAX_AGE):
            self.discard(upload)

    def _begin(self, upload: Upload, today: date) -> FileCheck:
        given = Path(upload.name)
        try:
            file = replace(identify(given, upload.market, upload.adjust), path=self.path_of(upload))
        except UnreadableFile:  # checked before it was staged, by an older version perhaps
            file = QuoteFile(self.path_of(upload), upload.market, upload.adjust)
        replaces = self.target_of(upload).exists()
        return FileCheck(
            file,
            name=upload.name,
            today=today,
            volume_unit=self.conf.csv_volume_unit,
            mappings=self.mappings(),
            folder=None if replaces else self.folder,
        )

    def _end(self, upload: Upload, earlier: str, state: str) -> None:
        ended = Upload.objects.filter(pk=upload.pk, state=earlier, version=upload.version).exclude(
            state__in=UPLOAD_ENDS
        )
        if not ended.update(state=state, ended_at=Now(), version=F("version") + 1):
            raise UploadError(name=upload.name, reason=_("it has changed meanwhile; look at it again"))

    def _space_problem(self, size: int) -> str:
        limit = self.conf.csv_upload_mb
        if size > limit * 2**20:
            return _("it is larger than %(limit)d MB") % {"limit": limit}
        if not size:
            return _("the file is empty")
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            return _write_problem(error)
        if free < size + MIN_FREE_BYTES:
            return _("the disk of the folder has no room for it")
        return ""


def report_of(upload: Upload) -> Report:
    """Returns the report of an upload so far."""
    return Report(**upload.report)


def _name_problem(name: str, market: str, adjust: str) -> str:
    """Returns why a file of this name is not taken, "" if it is."""
    if not PLAIN_NAME.fullmatch(name) or len(name) > MAX_NAME:
        return _("the name may have letters, digits, spaces and . , - _ + # ( ) only")
    try:
        if Path(name).suffix.lower() not in SUFFIXES:
            raise file_error("not_known_here")
        identify(Path(name), market, adjust)
    except UnreadableFile as error:
        return error.problems[0].describe(_)
    return ""


def _make_folders(root: Path, folder: Path) -> None:
    """Creates the folder of a market and adjustment. Raises `OSError` for one that is a link."""
    for part in (*reversed(folder.relative_to(root).parents), folder.relative_to(root)):
        path = root / part
        path.mkdir(exist_ok=True)
        if path != root and path.is_symlink():
            raise NotADirectoryError(20, Problem("not_a_file").describe(_))


def _write_problem(error: OSError) -> str:
    return _("the folder of the source csv can't be written: %(reason)s") % {"reason": error.strerror}
