"""Errors of exports and imports, each one sentence that says what to do."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from tasks_app.errors import CollectorError


class ExportError(CollectorError):
    """An export can't be written."""


class FolderUnusable(ExportError):
    code = "folder_unusable"
    template = _("The folder %(folder)s can't be written: %(reason)s")


class PresentOnly(ExportError):
    code = "present_only"
    template = _("The format %(layout)s has only what is stored now. With --as-of, export as parquet.")


class NoAdjustedPrices(ExportError):
    code = "no_adjusted_prices"
    template = _(
        "There is nothing to export: of these stocks, neither bars with the adjustment %(adjust)s are stored "
        "nor factors or actions to compute them from. Collect them first, or export unadjusted bars."
    )


class OnlyStoredPrices(ExportError):
    code = "only_stored_prices"
    template = _(
        "There is nothing to export: parquet has adjusted bars as a source sent them, and none with the "
        "adjustment %(adjust)s are stored of these stocks. Export unadjusted bars, or in another format."
    )


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


class ExportRunning(ExportError):
    code = "export_running"
    template = _(
        "Another export into %(folder)s is running. One that was killed gives way after %(seconds)d seconds."
    )


class ExportEnded(ExportError):
    code = "export_ended"
    template = _("The export has ended, or is putting its files in place: it can't be cancelled any more.")


class ExportWorkersLost(ExportError):
    code = "export_workers_lost"
    template = _(
        "%(count)s workers in a row were lost while they wrote. What is written is kept: start it again."
    )


class ExportInterrupted(ExportError):
    code = "export_interrupted"
    template = _("The command was interrupted. What is written is kept: run it again.")


class FolderNotShared(ExportError):
    code = "folder_not_shared"
    template = _(
        "%(folder)s on %(other)s is not the folder of %(host)s, where the export began. All worker machines "
        "need the same folder."
    )


class OneSeriesNeeded(ExportError):
    code = "one_series_needed"
    template = _("The format %(layout)s holds one market under one adjustment: choose both.")


class CodesWithoutMarket(ExportError):
    code = "codes_without_market"
    template = _("Codes are those of a market: name the market, too.")


class ExportNotFound(ExportError):
    code = "export_not_found"
    template = _("There is no export %(export)s.")


class NoExportFolder(ExportError):
    code = "no_export_folder"
    template = _("COLLECTOR_EXPORT_DIR is not set: there is no folder to export into.")


class BadFolderName(ExportError):
    code = "bad_folder_name"
    template = _(
        "“%(name)s” can't be the name of a folder: 1 to 64 letters, digits, dots, dashes or underscores."
    )


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


class ImportDiscarded(CollectorError):
    code = "import_discarded"
    template = _(
        "The import of %(folder)s is being discarded. Run %(manage)s import --discard --yes to finish that."
    )


class NothingToDiscard(CollectorError):
    code = "nothing_to_discard"
    template = _("No import is unfinished: there is nothing to discard.")


def describe(stored: dict[str, Any] | None) -> str:
    """Returns the sentence of a stored error, in the reader's language; "" for None."""
    if not stored:
        return ""
    kind = _BY_CODE.get(stored["code"], CollectorError)
    return str(kind(**stored["params"]))


_BY_CODE = {kind.code: kind for kind in ExportError.__subclasses__()}
