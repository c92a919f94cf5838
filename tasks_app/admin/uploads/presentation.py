"""What the pages of uploads show of a file and of the report on it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, gettext_lazy, ngettext

from tasks_app.admin.common import formatting
from tasks_app.models import Upload
from tasks_app.models.quotes import Adjust, Market
from tasks_app.models.uploads import UploadState
from tasks_app.quotes import uploads
from tasks_app.quotes.file_preview import Report
from tasks_app.quotes.uploads import TablePreview
from tasks_app.sources.csv_folder.codes import parse_code
from tasks_app.sources.csv_folder.column_mapping import NOT_USED
from tasks_app.sources.csv_folder.layout import identify
from tasks_app.sources.csv_folder.problems import UnreadableFile

MEGABYTE = 2**20
SHOWN_PROBLEMS = 20
STATE_STYLES = {
    UploadState.CHECKING: ("info", "sync"),
    UploadState.CHECKED: ("good", "fact_check"),
    UploadState.TAKEN: ("good", "check_circle"),
    UploadState.DISCARDED: ("plain", "delete"),
}
HOW_KNOWN = {
    "amount": gettext_lazy("proved by the amounts"),
    "against": gettext_lazy("proved by the amounts, against the columns"),
    "columns": gettext_lazy("by the columns of the vendor"),
    "fractions": gettext_lazy("by the decimals"),
    "heading": gettext_lazy("by the heading"),
    "market": gettext_lazy("as everywhere in this market"),
    "nothing": gettext_lazy("no volume"),
    "setting": gettext_lazy("by COLLECTOR_CSV_VOLUME_UNIT"),
}
MEANING_TEXTS = {
    NOT_USED: gettext_lazy("– not used –"),
    "day": gettext_lazy("day"),
    "code": gettext_lazy("code"),
    "open": gettext_lazy("open"),
    "high": gettext_lazy("high"),
    "low": gettext_lazy("low"),
    "close": gettext_lazy("close"),
    "volume": gettext_lazy("volume (the amounts tell the unit)"),
    "volume(shares)": gettext_lazy("volume in shares"),
    "volume(lots)": gettext_lazy("volume in lots of 100"),
    "amount": gettext_lazy("amount (the prices tell the unit)"),
    "amount(元)": gettext_lazy("amount in units of currency"),
    "amount(千元)": gettext_lazy("amount in thousands"),
    "amount(万元)": gettext_lazy("amount in ten thousands"),
    "preclose": gettext_lazy("previous close"),
    "change": gettext_lazy("change"),
    "changepct": gettext_lazy("change in percent"),
    "amplitude": gettext_lazy("amplitude in percent"),
    "turnoverrate": gettext_lazy("turnover in percent"),
}
# The meaning that a heading has without being named, by the column that it is read as.
MEANING_OF_COLUMN = {"prev_close": "preclose", "change_pct": "changepct", "turnover": "turnoverrate"}


def describe_row(upload: Upload) -> dict[str, Any]:
    """Returns an upload as a row of the list."""
    report = uploads.report_of(upload)
    return {
        "pk": upload.pk,
        "name": upload.name,
        "of": describe_destination(upload),
        "size": filesizeformat(upload.size),
        "at": formatting.timestamp(upload.ended_at or upload.at),
        "by": upload.user_name,
        "state": describe_state(upload, report),
        "unchecked": _describe_unchecked(upload, report),
        "bars": formatting.number(report.bars if report.done else None),
        "left_out": formatting.number(report.left_out if _has_known_rows(report) else None),
    }


def describe_state(upload: Upload, report: Report) -> SafeString:
    """Returns the state as a badge: a file that was checked may have nothing to take."""
    if upload.state == UploadState.CHECKED and not report.bars:
        return formatting.badge("bad", "error", _("can't be read"))
    if upload.state == UploadState.CHECKED and report.problem_count:
        return formatting.badge("warn", "warning", _("partly readable"))
    return formatting.badge(*STATE_STYLES[UploadState(upload.state)], upload.get_state_display())


def _describe_unchecked(upload: Upload, report: Report) -> str:
    """Returns what is left to check of a file, "" for none: it is checked while its own page is open."""
    if upload.state != UploadState.CHECKING:
        return ""
    if not report.done:
        return _("Not checked yet: open it to check")
    counts = {"done": formatting.number(report.done), "total": formatting.number(report.total)}
    return _("Checked %(done)s of %(total)s: open it to go on") % counts


def start_values(upload: Upload, report: Report) -> dict[str, str]:
    """Returns the start form's values for a collection of an upload's stocks and days from the folder.

    More stocks than the report names are left to the folder's list.
    """
    market, adjust, codes = upload.market, upload.adjust, report.first_stocks
    with suppress(UnreadableFile):  # a name of an older version perhaps
        file = identify(Path(upload.name), market, adjust)
        market, adjust = file.market, file.adjust
    if not market:
        by_code = {code: parse_code(code)[0] for code in codes}
        market = next(iter(by_code.values()), "CN")
        codes = [code for code in codes if by_code[code] == market]
    values = {"source": "csv", "market": market, "adjust": adjust}
    if report.stocks <= len(report.first_stocks):
        values["codes"] = ",".join(codes)
    return values | {"start_date": report.first_day, "end_date": report.last_day}


def describe_destination(upload: Upload) -> str:
    """Returns the market and adjustment that were chosen."""
    market = Market(upload.market).label if upload.market else _("market according to the codes")
    return f"{market} · {Adjust(upload.adjust).label}"


def describe_report(report: Report) -> dict[str, Any]:
    """Returns the report in words and numbers: what is taken, what is left out and why."""
    units = [_describe_unit(key, count, report.stocks) for key, count in report.units.items()]
    codes = ", ".join(report.first_stocks)
    facts = [
        (_("Stocks"), f"{formatting.number(report.stocks)} ({codes}{', …' * (report.stocks > 5)})"),
        (_("Days"), formatting.date_range(report.first_day, report.last_day)),  # type: ignore[arg-type]
        (_("Format"), ", ".join(report.formats)),
        (_("Volume"), "; ".join(units)),
    ]
    failed = report.unreadable
    unreadable = [(_("Stocks that can't be read"), formatting.number(failed))] if failed else []
    return {
        "facts": [*(facts if report.stocks else []), *unreadable],
        "rows": formatting.number(report.rows if _has_known_rows(report) else None),
        "bars": formatting.number(report.bars),
        "left_out": formatting.number(report.left_out if _has_known_rows(report) else None),
        "reasons": _describe_left_out(report),
        "notes": [_with_stocks(text, stocks) for text, stocks in report.described_notes(_)],
        "problems": report.described_problems(_)[:SHOWN_PROBLEMS],
        "more_problems": max(0, report.problem_count - SHOWN_PROBLEMS),
        "unused_columns": ", ".join(report.unused_columns),
    }


def describe_columns(table: TablePreview, meanings: dict[str, str]) -> list[dict[str, Any]]:
    """Returns each heading with its first values, and the meanings to choose from."""
    rows = []
    for place, (heading, column) in enumerate(zip(table.header, table.columns, strict=True)):
        chosen = meanings.get(heading.strip()) or MEANING_OF_COLUMN.get(column, column)
        chosen = chosen if chosen in MEANING_TEXTS else NOT_USED
        rows.append(
            {
                "place": place,
                "heading": heading or _("(without a heading)"),
                "values": " · ".join(row[place] for row in table.rows if place < len(row)),
                "chosen": chosen,
                "choices": [(value, text, value == chosen) for value, text in MEANING_TEXTS.items()],
            }
        )
    return rows


def _has_known_rows(report: Report) -> bool:
    """Returns whether rows were counted at all: the count of an unreadable file is unknown."""
    return bool(report.done) and (bool(report.rows) or not report.unreadable)


def _describe_unit(key: str, count: int, stocks: int) -> str:
    unit, _bar, known_by = key.partition("|")
    name = _("shares") if unit == "1" else _("lots of 100")
    text = f"{name}, {HOW_KNOWN[known_by]}"
    return _with_stocks(text, count) if count < stocks else text


def _with_stocks(text: str, stocks: int) -> str:
    if stocks < 2:
        return text
    counted = ngettext("%(count)s stock", "%(count)s stocks", stocks) % {"count": formatting.number(stocks)}
    return f"{text} ({counted})"


def _describe_left_out(report: Report) -> list[tuple[str, str]]:
    """Returns why rows become no bars, with their numbers. They add up to the rows that are left out."""
    counts = [
        (_("days without trading (suspended)"), report.suspended),
        (_("days without trading that no word calls suspended"), report.noted("untraded")),
        (_("rows with neither prices nor a volume"), report.noted("empty")),
    ]
    counts += [
        (_("bars that a collection refuses: %(code)s") % {"code": code}, count)
        for code, count in report.refused.items()
    ]
    counts.append((_("rows of stocks that can't be read"), report.unreadable_rows))
    rest = report.left_out - sum(count for _text, count in counts)
    counts.append((_("rows that repeat others, or are of no stock: see the notes"), rest))
    return [(text, formatting.number(count)) for text, count in counts if count]
