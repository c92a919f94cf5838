"""Previews a folder for the source `csv`: how each file would be read, as JSON or as tables."""

from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy, ngettext
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks_app.sources.csv_folder.layout import Layout, QuoteFile
from tasks_app.sources.csv_folder.problems import UnreadableFile, file_error
from tasks_app.sources.csv_folder.source import read_file

UNIT_TEXTS = {
    "amount": "%(unit)s",
    "against": gettext_lazy("%(unit)s, by the amount, against the columns"),
    "columns": gettext_lazy("%(unit)s, unproven"),
}


def preview_folder(folder: Path, layout: Layout, market: str | None) -> dict[str, Any]:
    """Reads every file, of one market or of all. Returns what the command prints as JSON.

    A file with `problems` can't be read; its `problem_count` also counts those that are not listed.
    """
    files = [
        {
            "file": str(file.path.relative_to(folder)),
            "market": file.market,
            "stock": file.code,
            "adjust": file.adjust,
            **_preview_file(file),
        }
        for file in layout.files.values()
        if market in (None, file.market)
    ]
    readable = [file for file in files if not file["problems"]]
    return {
        "folder": str(folder),
        "readable": len(readable),
        "unreadable": len(files) - len(readable),
        "bars": sum(file["bars"] for file in readable),
        "files": files,
        "ignored": [
            {"file": str(path.relative_to(folder)), "code": problem.code, "message": problem.describe(_)}
            for path, problem in layout.ignored
        ],
    }


def _preview_file(file: QuoteFile) -> dict[str, Any]:
    try:
        content = read_file(file)
    except (UnreadableFile, OSError) as raised:
        error = file_error("malformed", reason=raised.strerror) if isinstance(raised, OSError) else raised
        problems = [{"line": p.line, "code": p.code, "message": p.describe(_)} for p in error.problems]
        return {"problems": problems, "problem_count": error.count}
    return {
        "format": content.format,
        "encoding": content.encoding,
        "bars": len(content.bars),
        "suspended": content.suspended,
        "first_day": content.bars[0].day.isoformat() if content.bars else "",
        "last_day": content.bars[-1].day.isoformat() if content.bars else "",
        "shares_per_volume": content.shares_per_volume,
        "unit_known_by": content.unit_known_by,
        "unused_columns": content.unused_columns,
        "problems": [],
    }


def print_preview(preview: dict[str, Any], console: Console) -> None:
    """Prints tables of the readable files, the unreadable ones and the ignored entries, then totals."""
    readable = [file for file in preview["files"] if not file["problems"]]
    unreadable = [file for file in preview["files"] if file["problems"]]
    if readable:
        console.print(_readable_table(readable))
        if unused := sorted({name for file in readable for name in file["unused_columns"]}):
            console.print(_("Columns not used: %(columns)s") % {"columns": ", ".join(unused)})
    if unreadable:
        console.print(_unreadable_table(unreadable))
    if preview["ignored"]:
        table = _make_table(_("ignored"), _("reason"))
        for entry in preview["ignored"]:
            table.add_row(entry["file"], entry["message"])
        console.print(table)
    files = ngettext("%(count)s file can be read", "%(count)s files can be read", len(readable))
    totals = [
        files % {"count": f"{len(readable):,}"} + _(" (%(bars)s bars)") % {"bars": f"{preview['bars']:,}"},
        _("%(count)s can't be read") % {"count": f"{len(unreadable):,}"},
        _("%(count)s ignored") % {"count": f"{len(preview['ignored']):,}"},
    ]
    console.print(" · ".join(totals))


def _make_table(*headings: str) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _readable_table(files: list[dict[str, Any]]) -> Table:
    table = _make_table(_("code"), _("format"), _("bars"), _("days"), _("volume in"))
    table.columns[3].no_wrap = True
    for file in files:
        bars = f"{file['bars']:,}"
        if file["suspended"]:
            bars += "\n" + _("+ %(days)d suspended") % {"days": file["suspended"]}
        unit = _("shares") if file["shares_per_volume"] == 1 else _("lots of 100")
        unit = str(UNIT_TEXTS[file["unit_known_by"]]) % {"unit": unit}
        table.add_row(
            f"{file['market']} {file['stock']} {file['adjust']}".strip(),
            f"{file['format']} {file['encoding']}",
            bars,
            f"{file['first_day']} – {file['last_day']}" if file["bars"] else "",
            Text(unit, style="yellow" if file["unit_known_by"] == "against" else ""),
        )
    return table


def _unreadable_table(files: list[dict[str, Any]]) -> Table:
    """Lists each file's problems, the lines with the same problem in one row."""
    table = _make_table(_("file"), _("line"), _("problem"))
    for file in files:
        lines_by_message: dict[str, list[int]] = {}
        for problem in file["problems"]:
            lines_by_message.setdefault(problem["message"], []).append(problem["line"])
        name = file["file"]
        for message, lines in lines_by_message.items():
            table.add_row(name, line_ranges(lines), Text(message, style="red"))
            name = ""
        if (more := file["problem_count"] - len(file["problems"])) > 0:
            table.add_row("", "", _("and %(count)d more lines") % {"count": more})
    return table


def line_ranges(lines: list[int]) -> str:
    """Returns ascending line numbers in short: "2–5, 7". Line 0, the file itself, is left out."""
    runs: list[list[int]] = []
    for line in filter(None, lines):
        if runs and runs[-1][-1] == line - 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
