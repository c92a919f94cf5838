"""What the source `csv` would make of a folder: file by file, for people and for machines."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy, ngettext
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks_app.sources.csv_folder.bars import Reading
from tasks_app.sources.csv_folder.layout import File, Layout
from tasks_app.sources.csv_folder.problems import Problem, Unreadable
from tasks_app.sources.csv_folder.source import read

# The sentences of csv_folder_problems, which knows no Django, for translators.
SENTENCES = {
    "column_missing": gettext_lazy("no column for %(missing)s; there are: %(columns)s"),
    "column_twice": gettext_lazy("two columns for %(column)s: %(columns)s"),
    "encoding": gettext_lazy("the text is neither UTF-8 nor GBK; save it as UTF-8"),
    "field_count": gettext_lazy("%(found)d fields, where the header has %(wanted)d"),
    "malformed": gettext_lazy("it can't be read: %(why)s"),
    "no_header": gettext_lazy("the file is empty"),
    "not_a_code": gettext_lazy("the name holds no stock code of a market"),
    "not_a_day": gettext_lazy("“%(value)s” in the column %(column)s is no day"),
    "not_a_file": gettext_lazy("it is no regular file (links are not followed)"),
    "not_a_folder": gettext_lazy("the folder is none of CN, HK, US, qfq and hfq"),
    "not_a_number": gettext_lazy("“%(value)s” in the column %(column)s is no number"),
    "not_known_here": gettext_lazy("the file is neither CSV nor Parquet"),
    "other_adjustment": gettext_lazy("the adjustment “%(value)s”, where the folder's is “%(wanted)s”"),
    "other_code": gettext_lazy("the code “%(value)s”, where the file's name says %(wanted)s"),
    "other_exchange": gettext_lazy(
        "the name says %(named)s, where the code belongs to %(wanted)s (or is an index)"
    ),
    "parquet_missing": gettext_lazy("reading Parquet needs the package pyarrow"),
    "too_big": gettext_lazy("it is larger than %(limit)d MB"),
    "twice": gettext_lazy("%(other)s holds the same stock"),
    "unit_unclear": gettext_lazy("the amount fits neither a volume in shares nor one in lots of 100"),
}
PROOFS = {
    "amount": "%(unit)s",
    "against": gettext_lazy("%(unit)s, by the amount, against the columns"),
    "columns": gettext_lazy("%(unit)s, unproven"),
}


@dataclass(frozen=True)
class Preview:
    """One file: what was read of it, or why it can't be."""

    file: File
    reading: Reading | None
    problems: list[Problem]
    count: int = 0


def look(layout: Layout, market: str | None) -> Iterator[Preview]:
    """Every file, of one market or of all, read one after the other."""
    for file in layout.files.values():
        if market in (None, file.market):
            yield _look(file)


def _look(file: File) -> Preview:
    try:
        return Preview(file, read(file), [])
    except Unreadable as error:
        return Preview(file, None, error.problems, error.count)
    except OSError as error:
        return Preview(file, None, [Problem("malformed", values={"why": error.strerror})], 1)


def sentence(problem: Problem) -> str:
    """The problem in the reader's language."""
    return str(SENTENCES[problem.code]) % problem.values


def as_json(folder: Path, previews: list[Preview], layout: Layout) -> dict[str, Any]:
    """Everything about the folder."""
    return {
        "folder": str(folder),
        "readable": sum(preview.reading is not None for preview in previews),
        "unreadable": sum(preview.reading is None for preview in previews),
        "bars": sum(len(preview.reading.bars) for preview in previews if preview.reading),
        "files": [_file_json(preview, folder) for preview in previews],
        "ignored": [
            {"file": str(path.relative_to(folder)), "code": problem.code, "message": sentence(problem)}
            for path, problem in layout.ignored
        ],
    }


def _file_json(preview: Preview, folder: Path) -> dict[str, Any]:
    file, reading = preview.file, preview.reading
    told: dict[str, Any] = {
        "file": str(file.path.relative_to(folder)),
        "market": file.market,
        "stock": file.code,
        "adjust": file.adjust,
    }
    if reading is None:
        problems = [{"line": p.line, "code": p.code, "message": sentence(p)} for p in preview.problems]
        return {**told, "problems": problems, "problem_count": preview.count}
    first, last = _ends(reading)
    return {
        **told,
        "format": reading.style,
        "encoding": reading.encoding,
        "bars": len(reading.bars),
        "suspended": reading.suspended,
        "first_day": first,
        "last_day": last,
        "shares_per_volume": reading.unit,
        "unit_known_by": reading.proof,
        "unused_columns": reading.unused,
        "problems": [],
    }


def _ends(reading: Reading) -> tuple[str, str]:
    days = [reading.bars[0].day, reading.bars[-1].day] if reading.bars else []
    first, last = [day.isoformat() for day in days] or ("", "")
    return first, last


def show(folder: Path, previews: list[Preview], layout: Layout, console: Console) -> None:
    """Tables of what can be read, of what can't, and of what is left aside, then a sum."""
    if good := [preview for preview in previews if preview.reading]:
        console.print(_readable(good))
        unused = {name for preview in good if preview.reading for name in preview.reading.unused}
        if unused:
            console.print(_("Columns not used: %(columns)s") % {"columns": ", ".join(sorted(unused))})
    if bad := [preview for preview in previews if not preview.reading]:
        console.print(_unreadable(bad, folder))
    if layout.ignored:
        console.print(_ignored(layout, folder))
    console.print(_sum(good, bad, layout))


def _table(*heads: str) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _readable(previews: list[Preview]) -> Table:
    table = _table(_("code"), _("format"), _("bars"), _("days"), _("volume in"))
    table.columns[3].no_wrap = True
    for preview in previews:
        if preview.reading:
            table.add_row(_stock(preview.file), *_cells(preview.reading))
    return table


def _cells(reading: Reading) -> list[str | Text]:
    bars = f"{len(reading.bars):,}"
    if reading.suspended:
        bars += "\n" + _("+ %(days)d suspended") % {"days": reading.suspended}
    days = " – ".join(filter(None, _ends(reading)))
    unit = Text(_unit(reading), style="yellow" if reading.proof == "against" else "")
    return [f"{reading.style} {reading.encoding}", bars, days, unit]


def _stock(file: File) -> str:
    return f"{file.market} {file.code} {file.adjust}".strip()


def _unit(reading: Reading) -> str:
    unit = _("shares") if reading.unit == 1 else _("lots of 100")
    return str(PROOFS[reading.proof]) % {"unit": unit}


def _unreadable(previews: list[Preview], folder: Path) -> Table:
    table = _table(_("file"), _("line"), _("problem"))
    for preview in previews:
        name = str(preview.file.path.relative_to(folder))
        for what, lines in _gathered(preview.problems).items():
            table.add_row(name, spans(lines), Text(what, style="red"))
            name = ""
        if (more := preview.count - len(preview.problems)) > 0:
            table.add_row("", "", _("and %(count)d more lines") % {"count": more})
    return table


def _gathered(problems: list[Problem]) -> dict[str, list[int]]:
    """The lines that have the same problem, by its sentence."""
    lines: dict[str, list[int]] = {}
    for problem in problems:
        lines.setdefault(sentence(problem), []).append(problem.line)
    return lines


def spans(lines: list[int]) -> str:
    """Rising line numbers in short: 2–5, 7. The file itself, line 0, is nothing."""
    runs: list[list[int]] = []
    for line in filter(None, lines):
        if runs and runs[-1][-1] == line - 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def _ignored(layout: Layout, folder: Path) -> Table:
    table = _table(_("left aside"), _("why"))
    for path, problem in layout.ignored:
        table.add_row(str(path.relative_to(folder)), sentence(problem))
    return table


def _sum(good: list[Preview], bad: list[Preview], layout: Layout) -> str:
    bars = sum(len(preview.reading.bars) for preview in good if preview.reading)
    told = ngettext("%(count)s file can be read", "%(count)s files can be read", len(good))
    return " · ".join(
        [
            told % {"count": f"{len(good):,}"} + _(" (%(bars)s bars)") % {"bars": f"{bars:,}"},
            _("%(count)s can't be read") % {"count": f"{len(bad):,}"},
            _("%(count)s left aside") % {"count": f"{len(layout.ignored):,}"},
        ]
    )
