"""How the source `csv` would read a folder: file by file, as tables or JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy, ngettext
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks_app.sources.csv_folder.bars import ParsedFile
from tasks_app.sources.csv_folder.layout import Layout, QuoteFile
from tasks_app.sources.csv_folder.problems import Problem, UnreadableFile
from tasks_app.sources.csv_folder.source import read_file

UNIT_TEXTS = {
    "amount": "%(unit)s",
    "against": gettext_lazy("%(unit)s, by the amount, against the columns"),
    "columns": gettext_lazy("%(unit)s, unproven"),
}


@dataclass(frozen=True)
class FilePreview:
    """One file with its content, or with the first problems that prevent reading it and their number."""

    file: QuoteFile
    content: ParsedFile | None
    problems: list[Problem]
    problem_count: int = 0


def preview_files(layout: Layout, market: str | None) -> Iterator[FilePreview]:
    """Yields a preview of every file, of one market or of all, read one after the other."""
    for file in layout.files.values():
        if market not in (None, file.market):
            continue
        try:
            yield FilePreview(file, read_file(file), [])
        except UnreadableFile as error:
            yield FilePreview(file, None, error.problems, error.count)
        except OSError as error:
            yield FilePreview(file, None, [Problem("malformed", values={"reason": error.strerror})], 1)


def as_json(folder: Path, previews: list[FilePreview], layout: Layout) -> dict[str, Any]:
    """Returns everything about the folder."""
    contents = [preview.content for preview in previews if preview.content]
    return {
        "folder": str(folder),
        "readable": len(contents),
        "unreadable": len(previews) - len(contents),
        "bars": sum(len(content.bars) for content in contents),
        "files": [_file_json(preview, folder) for preview in previews],
        "ignored": [
            {"file": str(path.relative_to(folder)), "code": problem.code, "message": problem.describe(_)}
            for path, problem in layout.ignored
        ],
    }


def _file_json(preview: FilePreview, folder: Path) -> dict[str, Any]:
    file, content = preview.file, preview.content
    payload: dict[str, Any] = {
        "file": str(file.path.relative_to(folder)),
        "market": file.market,
        "stock": file.code,
        "adjust": file.adjust,
    }
    if content is None:
        problems = [{"line": p.line, "code": p.code, "message": p.describe(_)} for p in preview.problems]
        return {**payload, "problems": problems, "problem_count": preview.problem_count}
    first, last = _first_and_last_day(content)
    return {
        **payload,
        "format": content.format,
        "encoding": content.encoding,
        "bars": len(content.bars),
        "suspended": content.suspended,
        "first_day": first,
        "last_day": last,
        "shares_per_volume": content.shares_per_volume,
        "unit_known_by": content.unit_known_by,
        "unused_columns": content.unused_columns,
        "problems": [],
    }


def _first_and_last_day(content: ParsedFile) -> tuple[str, str]:
    """Returns two dates, or two empty texts for a file without bars."""
    if not content.bars:
        return "", ""
    return content.bars[0].day.isoformat(), content.bars[-1].day.isoformat()


def print_preview(folder: Path, previews: list[FilePreview], layout: Layout, console: Console) -> None:
    """Prints tables of the readable files, the unreadable ones and the ignored entries, then totals."""
    readable = [(preview.file, preview.content) for preview in previews if preview.content]
    unreadable = [preview for preview in previews if not preview.content]
    if readable:
        console.print(_readable_table(readable))
        if unused := sorted({name for _file, content in readable for name in content.unused_columns}):
            console.print(_("Columns not used: %(columns)s") % {"columns": ", ".join(unused)})
    if unreadable:
        console.print(_unreadable_table(unreadable, folder))
    if layout.ignored:
        table = _make_table(_("ignored"), _("reason"))
        for path, problem in layout.ignored:
            table.add_row(str(path.relative_to(folder)), problem.describe(_))
        console.print(table)
    bars = sum(len(content.bars) for _file, content in readable)
    files = ngettext("%(count)s file can be read", "%(count)s files can be read", len(readable))
    totals = [
        files % {"count": f"{len(readable):,}"} + _(" (%(bars)s bars)") % {"bars": f"{bars:,}"},
        _("%(count)s can't be read") % {"count": f"{len(unreadable):,}"},
        _("%(count)s ignored") % {"count": f"{len(layout.ignored):,}"},
    ]
    console.print(" · ".join(totals))


def _make_table(*headings: str) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _readable_table(readable: list[tuple[QuoteFile, ParsedFile]]) -> Table:
    table = _make_table(_("code"), _("format"), _("bars"), _("days"), _("volume in"))
    table.columns[3].no_wrap = True
    for file, content in readable:
        bars = f"{len(content.bars):,}"
        if content.suspended:
            bars += "\n" + _("+ %(days)d suspended") % {"days": content.suspended}
        unit = _("shares") if content.shares_per_volume == 1 else _("lots of 100")
        unit = str(UNIT_TEXTS[content.unit_known_by]) % {"unit": unit}
        table.add_row(
            f"{file.market} {file.code} {file.adjust}".strip(),
            f"{content.format} {content.encoding}",
            bars,
            " – ".join(filter(None, _first_and_last_day(content))),
            Text(unit, style="yellow" if content.unit_known_by == "against" else ""),
        )
    return table


def _unreadable_table(previews: list[FilePreview], folder: Path) -> Table:
    """Lists each file's problems, the lines with the same problem in one row."""
    table = _make_table(_("file"), _("line"), _("problem"))
    for preview in previews:
        lines_by_text: dict[str, list[int]] = {}
        for problem in preview.problems:
            lines_by_text.setdefault(problem.describe(_), []).append(problem.line)
        name = str(preview.file.path.relative_to(folder))
        for text, lines in lines_by_text.items():
            table.add_row(name, line_ranges(lines), Text(text, style="red"))
            name = ""
        if (more := preview.problem_count - len(preview.problems)) > 0:
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
