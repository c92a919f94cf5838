"""Previews files for the source `csv`: how each would be read, as JSON or as tables."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy, ngettext
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks_app.orders.order import latest_today
from tasks_app.quotes.file_preview import FileCheck, Report, count_refused, preview_notes
from tasks_app.sources.csv_folder.bars import ParsedFile, ParsedStock
from tasks_app.sources.csv_folder.column_mapping import Mappings, read_mappings
from tasks_app.sources.csv_folder.layout import Layout, QuoteFile
from tasks_app.sources.csv_folder.problems import Problem, UnreadableFile, file_error
from tasks_app.sources.csv_folder.shared_files import MAX_TOTAL_BYTES, NOT_QUOTES
from tasks_app.sources.csv_folder.source import merge, read_file

MAX_NAMED = 5  # stocks of a file
UNIT_TEXTS = {
    "amount": "%(unit)s",
    "against": gettext_lazy("%(unit)s, by the amount, against the columns"),
    "columns": gettext_lazy("%(unit)s, by the columns"),
    "fractions": gettext_lazy("%(unit)s, by the decimals"),
    "heading": gettext_lazy("%(unit)s, by the heading"),
    "market": gettext_lazy("%(unit)s, as everywhere in this market"),
    "nothing": "",
    "setting": gettext_lazy("%(unit)s, by COLLECTOR_CSV_VOLUME_UNIT"),
}
SeriesKey = tuple[str, str, str]  # market, adjustment, code


def preview_folder(folder: Path, layout: Layout, market: str | None, volume_unit: str = "") -> dict[str, Any]:
    """Reads every file, of one market or of all. Returns what the command prints as JSON.

    A file with `problems` can't be read; its `problem_count` also counts those that are not listed. Files
    that hold no quotes at all are `ignored`, like entries that are no files.
    """
    previews: list[dict[str, Any]] = []
    ignored_files: list[dict[str, Any]] = []
    shared: dict[SeriesKey, list[tuple[str, ParsedStock]]] = {}
    mappings = read_mappings(folder)
    read_bytes = 0  # of files of several stocks
    for file in (*layout.shared, *_named_files(layout)):
        if market not in (None, file.market or market):
            continue
        read_bytes += 0 if file.code else _size(file.path)
        if not file.code and read_bytes > MAX_TOTAL_BYTES:
            previews.append(_too_much(folder, file))
            continue
        preview, content = preview_file(folder, file, volume_unit, shared, mappings)
        if not file.code and preview["problems"] and preview["problems"][0]["code"] in NOT_QUOTES:
            ignored_files.append({"file": preview["file"], **preview["problems"][0]})
        elif content is None or market in (None, *(of_market for of_market, _code in content.stocks)):
            previews.append(preview)
    for file in layout.archives:
        if market in (None, file.market or market):
            previews += preview_archive(folder, file, volume_unit, mappings)
    readable = [file for file in previews if not file["problems"]]
    return {
        "folder": str(folder),
        "readable": len(readable),
        "unreadable": len(previews) - len(readable),
        "bars": sum(file["bars"] for file in readable),
        "files": sorted(previews, key=lambda preview: preview["file"]),
        "ignored": [
            *(
                {"file": str(path.relative_to(folder)), "code": problem.code, "message": problem.describe(_)}
                for path, problem in layout.ignored
            ),
            *({name: entry[name] for name in ("file", "code", "message")} for entry in ignored_files),
        ],
    }


def _size(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError:  # reading it will say why
        return 0


def _too_much(folder: Path, file: QuoteFile) -> dict[str, Any]:
    problem = Problem("too_much", values={"limit": MAX_TOTAL_BYTES // 2**20})
    return _identify(folder, file) | {"problems": [_describe(problem)], "problem_count": 1}


def _identify(folder: Path, file: QuoteFile) -> dict[str, Any]:
    name = str(file.path.relative_to(folder))
    return {"file": name, "market": file.market, "stock": file.code, "adjust": file.adjust}


def _describe(problem: Problem) -> dict[str, Any]:
    return {"line": problem.line, "code": problem.code, "message": problem.describe(_)}


def _named_files(layout: Layout) -> Iterator[QuoteFile]:
    for file in layout.files.values():
        yield file
        yield from file.others


def preview_file(
    folder: Path,
    file: QuoteFile,
    volume_unit: str,
    known: dict[SeriesKey, list[tuple[str, ParsedStock]]],
    mappings: Mappings,
) -> tuple[dict[str, Any], ParsedFile | None]:
    """Returns what is in a file, and its content if it can be read.

    `known` has what other files hold of the stocks that may be in several, and gets what this one holds.
    """
    preview = _identify(folder, file)
    try:
        content = read_file(file, volume_unit, mappings)
        _compare(file, preview["file"], content, known)
    except (UnreadableFile, OSError) as raised:
        error = file_error("malformed", reason=raised.strerror) if isinstance(raised, OSError) else raised
        problems = [_describe(problem) for problem in error.problems]
        return preview | {"problems": problems, "problem_count": error.count}, None
    return preview | describe_content(content, file.adjust), content


def preview_archive(
    folder: Path, file: QuoteFile, volume_unit: str, mappings: Mappings
) -> list[dict[str, Any]]:
    """Returns what is in an archive, and further previews for its stocks that can't be read."""
    report = Report()
    check = FileCheck(file, today=latest_today(), volume_unit=volume_unit, mappings=mappings)
    deque(check.run(report), maxlen=0)
    preview = _identify(folder, file)
    failed: dict[str, list[dict[str, Any]]] = {}
    for (name, line, message), (_name, _line, code, _values) in zip(
        report.described_problems(_), report.problems, strict=True
    ):
        failed.setdefault(name, []).append({"line": line, "code": code, "message": message})
    bad = [
        preview | {"file": f"{preview['file']}: {name}", "problems": problems, "problem_count": len(problems)}
        for name, problems in failed.items()
    ]
    return [preview | describe_report(report), *bad] if report.stocks else bad


def describe_report(report: Report) -> dict[str, Any]:
    """Returns what `describe_content` does, of an archive; its unit is the one of most stocks."""
    unit, _bar, known_by = max(report.units, key=lambda each: report.units[each]).partition("|")
    return {
        "format": ", ".join(report.formats),
        "encoding": "",
        "stocks": report.stocks,
        "first_stocks": report.first_stocks,
        "rows": report.rows,
        "bars": report.bars,
        "refused": report.refused,
        "suspended": report.suspended,
        "first_day": report.first_day,
        "last_day": report.last_day,
        "shares_per_volume": int(unit),
        "unit_known_by": known_by,
        "unused_columns": report.unused_columns,
        "notes": [
            {"code": code, "message": message}
            for (code, _values, _count), (message, _stocks) in zip(
                report.notes, report.described_notes(_), strict=True
            )
        ],
        "problems": [],
    }


def _compare(
    file: QuoteFile, name: str, content: ParsedFile, known: dict[SeriesKey, list[tuple[str, ParsedStock]]]
) -> None:
    """Raises `UnreadableFile` if another file has other values of the same stock and day."""
    for (market, code), stock in content.stocks.items():
        key = (market, file.adjust, code)
        others = known.get(key, [])
        merge(code, [*others, (name, stock)])
        if others or not file.code or file.others:
            known[key] = [*others, (name, stock)]


def describe_content(content: ParsedFile, adjust: str) -> dict[str, Any]:
    """Returns the numbers of a file's rows and bars, its stocks, units and notes.

    `refused` are the bars that a collection would refuse, by code; `bars` counts the others.
    """
    days = [bar.day for bar in content.bars]
    names = [code for _market, code in content.stocks]
    only = next(iter(content.stocks)) if len(content.stocks) == 1 else None
    refused = count_refused(content, adjust, latest_today())
    return {
        **({"market": only[0], "stock": only[1]} if only else {}),
        "format": content.format,
        "encoding": content.encoding,
        "stocks": len(content.stocks),
        "first_stocks": names[:MAX_NAMED],
        "rows": content.rows,
        "bars": len(days) - refused.total(),
        "refused": dict(refused),
        "suspended": content.suspended,
        "first_day": min(days).isoformat() if days else "",
        "last_day": max(days).isoformat() if days else "",
        "shares_per_volume": content.shares_per_volume,
        "unit_known_by": content.unit_known_by,
        "unused_columns": content.unused_columns,
        "notes": [{"code": note.code, "message": note.describe(_)} for note in preview_notes(content)],
        "problems": [],
    }


def print_preview(preview: dict[str, Any], console: Console) -> None:
    """Prints tables of the readable files, the unreadable ones and the ignored entries, then totals."""
    readable = [file for file in preview["files"] if not file["problems"]]
    unreadable = [file for file in preview["files"] if file["problems"]]
    if readable:
        console.print(_readable_table(readable))
        _print_notes(readable, console)
    if unreadable:
        console.print(_unreadable_table(unreadable))
    if preview["ignored"]:
        table = _make_table(_("ignored"), _("reason"))
        for entry in preview["ignored"]:
            table.add_row(entry["file"], entry["message"])
        console.print(table)
    files = ngettext("%(count)s file can be read", "%(count)s files can be read", len(readable))
    totals = [
        files % {"count": f"{len(readable):,}"} + _(" (bars: %(bars)s)") % {"bars": f"{preview['bars']:,}"},
        _("%(count)s can't be read") % {"count": f"{len(unreadable):,}"},
        _("%(count)s ignored") % {"count": f"{len(preview['ignored']):,}"},
    ]
    console.print(" · ".join(totals))


def _print_notes(files: Sequence[dict[str, Any]], console: Console) -> None:
    """Prints what was left out or changed, the files with the same note together."""
    names: dict[str, list[str]] = {}
    for file in files:
        for note in file["notes"]:
            names.setdefault(note["message"], []).append(file["file"])
        for code, count in file["refused"].items():
            message = _("bars that a collection will refuse (%(code)s): %(count)d")
            names.setdefault(message % {"code": code, "count": count}, []).append(file["file"])
    if names:
        table = _make_table(_("file"), _("note"))
        for message, of_files in names.items():
            more = f" + {len(of_files) - 1:,}" if len(of_files) > 1 else ""
            table.add_row(of_files[0] + more, message)
        console.print(table)
    if unused := sorted({name for file in files for name in file["unused_columns"]}):
        console.print(_("Columns not used: %(columns)s") % {"columns": ", ".join(unused)})


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
        if file["rows"] != file["bars"]:
            bars = _("%(bars)s of %(rows)s rows") % {"bars": bars, "rows": f"{file['rows']:,}"}
        if file["suspended"]:
            bars += "\n" + _("+ %(days)d suspended") % {"days": file["suspended"]}
        if file["refused"]:
            bars += "\n" + _("+ %(bars)d refused") % {"bars": sum(file["refused"].values())}
        unit = _("shares") if file["shares_per_volume"] == 1 else _("lots of 100")
        unit = str(UNIT_TEXTS[file["unit_known_by"]]) % {"unit": unit}
        table.add_row(
            _describe_stock(file),
            f"{file['format']} {file['encoding']}",
            bars,
            f"{file['first_day']} – {file['last_day']}" if file["first_day"] else "",
            Text(unit, style="yellow" if file["unit_known_by"] == "against" else ""),
        )
    return table


def _describe_stock(file: dict[str, Any]) -> str:
    if file["stocks"] > 1:
        stocks = ngettext("%(count)s stock", "%(count)s stocks", file["stocks"]) % {"count": file["stocks"]}
        return f"{file['file']}: {stocks}"
    return f"{file['market']} {file['stock']} {file['adjust']}".strip()


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
            table.add_row("", "", _("and further lines: %(count)d") % {"count": more})
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
