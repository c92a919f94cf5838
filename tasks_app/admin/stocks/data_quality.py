"""What is odd about a stock's bars: gaps, corrections, what the checks said, in the words of the pages."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from tasks_app import errors
from tasks_app.admin.common import formatting
from tasks_app.models import Correction, DailyBar, Finding, Stock
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes import gaps

LISTED = 30  # of gaps, corrections and findings each


def gap_table(found: list[gaps.Gap]) -> dict[str, Any]:
    """The newest gaps, those that nobody asked for first, and how many sessions lack a bar in all."""
    missing = [gap for gap in found if not gap.answered]
    suspended = [gap for gap in found if gap.answered]
    return {
        "rows": [_gap(gap) for gap in [*missing, *suspended][:LISTED]],
        "more": max(0, len(found) - LISTED),
        "missing": formatting.number(sum(len(gap.days) for gap in missing)),
        "suspended": formatting.number(sum(len(gap.days) for gap in suspended)),
    }


def _gap(gap: gaps.Gap) -> dict[str, Any]:
    return {
        "days": formatting.date_range(gap.first, gap.last) if len(gap.days) > 1 else gap.first.isoformat(),
        "sessions": formatting.number(len(gap.days)),
        "why": formatting.badge("plain", "pause_circle", _("suspended"))
        if gap.answered
        else formatting.badge("warn", "help", _("not asked for")),
        "since": gap.first.isoformat(),
    }


def corrections(stock: Stock, adjust: str) -> list[dict[str, Any]]:
    """The newest corrections: what was, and what is."""
    rows = Correction.objects.filter(market=stock.market, symbol=stock.code, adjust=adjust)
    return [
        {
            "day": row.day.isoformat(),
            "what": changed(row),
            "source": row.source,
            "at": formatting.timestamp(row.corrected_at),
        }
        for row in rows.order_by("-day", "-id")[:LISTED]
    ]


def changed(row: Correction) -> SafeString | str:
    """The columns that changed, before and after; of a series that moved as a whole, how many bars did."""
    if not row.before or not row.after:
        return _("%(count)s bars moved as a whole") % {"count": formatting.number(row.bars)}
    pairs = [
        _("%(name)s: %(before)s → %(after)s")
        % {"name": _column(name), "before": _plain(before), "after": _plain(row.after.get(name))}
        for name, before in row.before.items()
    ]
    return format_html('<span class="sc-changes">{}</span>', _("; ").join(pairs))


def _column(name: str) -> str:
    known = {field.name: field.verbose_name for field in DailyBar._meta.fields}
    return str(known.get(name, name))


def _plain(value: Any) -> str:
    return (
        formatting.EMPTY if value is None else f"{value:,}" if isinstance(value, int | float) else str(value)
    )


def findings(stock: Stock, adjust: str) -> list[dict[str, Any]]:
    """The newest doubts of the checks."""
    rows = Finding.objects.filter(market=stock.market, symbol=stock.code, adjust=adjust)
    return [
        {
            "day": row.day.isoformat() if row.day else formatting.EMPTY,
            "kind": finding(row),
            "why": errors.reason(row.code) or row.message,
            "at": formatting.timestamp(row.found_at),
        }
        for row in rows.order_by("-day", "-id")[:LISTED]
    ]


def finding(row: Finding) -> SafeString:
    """Stored and doubtful, or not stored."""
    tone, icon = ("warn", "flag") if row.kind == FindingKind.FLAGGED else ("bad", "block")
    return formatting.badge(tone, icon, row.get_kind_display())
