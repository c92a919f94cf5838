"""The rows of the heat map as HTML: a cell's number, its shade, and in words what is missing in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from tasks_app.admin.common import formatting
from tasks_app.quotes import month_counts
from tasks_app.quotes.gaps import GapKind
from tasks_app.quotes.heat_map import Cell, Row

SHADES = ((100, "full"), (90, "high"), (50, "half"), (1, "low"), (0, "zero"))  # from this percentage on


class Column(NamedTuple):
    """A month: its text for addresses, and the two digits of the table's head."""

    name: str
    digits: str


def columns(first: int, last: int) -> list[Column]:
    days = [month_counts.first_day_of(month) for month in range(first, last + 1)]
    return [Column(f"{day:%Y-%m}", f"{day:%m}") for day in days]


def years(shown: Sequence[Column]) -> list[tuple[str, int]]:
    """Returns the years of the columns with their numbers of months."""
    counts: dict[str, int] = {}
    for column in shown:
        counts[column.name[:4]] = counts.get(column.name[:4], 0) + 1
    return list(counts.items())


def shade_of(cell: Cell) -> str:
    percent = cell.percent
    return "none" if percent is None else next(name for least, name in SHADES if percent >= least)


def render(row: Row, shown: Sequence[Column], *, is_board: bool) -> SafeString:
    """Returns the cells of a row: thousands of them, so that no template renders each."""
    words = _words(is_board)
    return format_html_join(
        "",
        '<td class="hm-{}{}" tabindex="-1" title="{}">{}</td>',
        (
            (
                shade_of(cell),
                " hm-open" if cell.missing[GapKind.NOT_ASKED] else "",
                _describe(row, cell, column, words),
                "·" if cell.percent is None else cell.percent,
            )
            for cell, column in zip(row.cells, shown, strict=True)
        ),
    )


def head(row: Row, address: str, *, is_board: bool) -> SafeString:
    """Returns the row's heading, with a link to what it stands for."""
    name = row.label if is_board else row.key
    beside = formatting.number(row.stocks) if is_board else row.label
    return format_html('<a href="{}">{}</a> <span class="sc-quiet">{}</span>', address, name, beside)


def _describe(row: Row, cell: Cell, column: Column, words: dict[str, str]) -> str:
    name = row.label if row.key == "" or row.stocks > 1 else f"{row.key} {row.label}".strip()
    if cell.percent is None:
        return words["pair"] % {"name": f"{name}, {column.name}", "value": words[cell.outside]}
    params = {
        "bars": formatting.number(cell.bars),
        "expected": formatting.number(cell.expected),
    }
    pairs = [(f"{name}, {column.name}", words["bars"] % params)]
    pairs += [(words[kind], formatting.number(days)) for kind, days in cell.missing.items()]
    return words["and"].join(words["pair"] % {"name": one, "value": value} for one, value in pairs)


def _words(is_board: bool) -> dict[str, Any]:
    return {
        "pair": _("%(name)s: %(value)s"),
        "and": _("; "),
        "bars": _("%(bars)s of %(expected)s expected bars"),
        "before": _("not listed yet"),
        "after": _("no longer listed"),
        "unknown": _("before the first day known; the day of listing is not known"),
        "future": _("no trading day has ended yet"),
        GapKind.NOT_ASKED: _("still to be collected") if is_board else _("never collected"),
        GapKind.REFUSED: _("bar refused"),
        GapKind.EMPTY: _("a source had no bar") if is_board else _("source had nothing"),
        GapKind.NO_QUOTES: _("no quotes of any stock"),
        GapKind.NOT_RECORDED: _("reason not recorded"),
        GapKind.SUSPENDED: _("suspended"),
        GapKind.BEFORE: _("before the source's bars"),
        GapKind.AFTER: _("after the source's bars"),
    }
