"""Errors of exports and imports, each one sentence that says what to do."""

from django.utils.translation import gettext_lazy as _

from tasks_app.errors import CollectorError


class ExportError(CollectorError):
    """An export can't be written."""


class FolderUnusable(ExportError):
    code = "folder_unusable"
    template = _("The folder %(folder)s can't be written: %(reason)s")


class ForeignFolder(ExportError):
    code = "foreign_folder"
    template = _("The folder %(folder)s holds other files. Export into an empty folder or an earlier export.")


class OtherSelection(ExportError):
    code = "other_selection"
    template = _(
        "The folder %(folder)s holds an export of something else: %(other)s. Export into another folder."
    )


class FolderBusy(ExportError):
    code = "folder_busy"
    template = _("Another process is exporting into %(folder)s.")


class ImportRefused(CollectorError):
    """An import is refused before anything is written."""


class NoExport(ImportRefused):
    code = "no_export"
    template = _("%(folder)s is not an export: it has no readable manifest.json (%(reason)s).")


class UnfinishedExport(ImportRefused):
    code = "unfinished_export"
    template = _(
        "In %(folder)s an export is replacing files, or was interrupted while it did. Run the export again, "
        "which finishes it."
    )


class PartialExport(ImportRefused):
    code = "partial_export"
    template = _(
        "%(folder)s holds a selection (%(selection)s). Only a whole export in the layout parquet can be "
        "imported."
    )


class LaterExport(ImportRefused):
    code = "later_export"
    template = _(
        "%(folder)s was written by a later version of the program: %(reason)s. Update this one first."
    )


class DamagedFile(ImportRefused):
    code = "damaged_file"
    template = _("%(file)s is not the file that was exported (%(reason)s). Nothing was imported.")


class DatabaseNotEmpty(ImportRefused):
    code = "database_not_empty"
    template = _(
        "The database has data of its own: %(tables)s. An export can only be imported into an empty database."
    )


class RowConflict(CollectorError):
    code = "row_conflict"
    template = _(
        "%(file)s can't be imported: %(reason)s. Something else has been stored since the import began."
    )
