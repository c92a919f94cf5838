"""Gaps, corrections and findings of a stock, as the pages show them."""

from itertools import groupby
from typing import Any

from django.db.models import Count, Max
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app import reasons, time_zones
from tasks_app.admin.common import formatting
from tasks_app.models import Correction, DailyBar, Finding, Stock
from tasks_app.models.quotes import FindingKind
from tasks_app.quotes import gaps
from tasks_app.quotes.gaps import GapKind

MAX_ROWS = 30  # of gaps, corrections and findings each


def build_gap_table(market: str, all_gaps: list[gaps.Gap]) -> dict[str, Any]:
    """Returns the newest gaps by kind, those not requested first, and how many sessions each kind has."""
    order = list(GapKind)
    by_kind = sorted(all_gaps, key=lambda gap: order.index(gap.reason.kind))  # stable: newest first
    totals = {kind: gaps.sessions_in(group) for kind, group in groupby(by_kind, lambda gap: gap.reason.kind)}
    return {
        "rows": [_gap(market, gap) for gap in by_kind[:MAX_ROWS]],
        "more": max(0, len(all_gaps) - MAX_ROWS),
        "sessions": sum(totals.values()),
        "sessions_text": formatting.number(sum(totals.values())),
        "totals": [kind_badge(kind, formatting.number(count)) for kind, count in totals.items()],
    }


def kind_badge(kind: GapKind, count: str = "") -> SafeString:
    """Returns a badge: why days have no bar, in a word, and how many they are."""
    tone, icon, word = {
        GapKind.NOT_ASKED: ("warn", "help", _("not requested")),
        GapKind.REFUSED: ("bad", "block", _("bar refused")),
        GapKind.EMPTY: ("plain", "inbox", _("source had nothing")),
        GapKind.NO_QUOTES: ("plain", "event_busy", _("no quotes of any stock")),
        GapKind.NOT_RECORDED: ("plain", "question_mark", _("reason not recorded")),
        GapKind.SUSPENDED: ("plain", "pause_circle", _("suspended")),
        GapKind.BEFORE: ("plain", "first_page", _("before the source's bars")),
        GapKind.AFTER: ("plain", "last_page", _("after the source's bars")),
        GapKind.CLOSED: ("plain", "event_busy", _("closed")),
    }[kind]
    return formatting.badge(tone, icon, f"{word} {count}" if count else word)


def _gap(market: str, gap: gaps.Gap) -> dict[str, Any]:
    return {
        "days": formatting.date_range(gap.first, gap.last) if len(gap.days) > 1 else gap.first.isoformat(),
        "sessions": formatting.number(len(gap.days)),
        "kind": kind_badge(gap.reason.kind),
        "why": ""
        if gap.reason.is_open
        else formatting.keep_days(gap.reason.describe(market)),  # the badge says it
    }


def recent_corrections(stock: Stock, adjust: str) -> list[dict[str, Any]]:
    """Returns the newest corrections, before and after."""
    rows = Correction.objects.filter(market=stock.market, symbol=stock.code, adjust=adjust)
    return [
        {
            "day": row.day.isoformat(),
            "what": describe_correction(row),
            "source": _origin(row),
            "at": formatting.timestamp(row.corrected_at),
        }
        for row in rows.order_by("-day", "-id")[:MAX_ROWS]
    ]


def _origin(row: Correction) -> str:
    """Returns the source, after the one whose values it replaced if that was another."""
    if row.replay_id:
        return _("%(source)s, derived again from its raw answer") % {"source": row.source}
    is_same = row.previous_source in ("", row.source)
    return row.source if is_same else f"{row.previous_source} → {row.source}"


def describe_correction(row: Correction) -> SafeString | str:
    """Returns the changed columns before and after; for a rebased series how many bars changed.

    A bar that its source no longer has changed to nothing: `after` is empty.
    """
    if row.before and row.after == {}:
        return _("removed, since the source no longer has it; its close was %(close)s") % {
            "close": _plain(row.before.get("close"))
        }
    if not row.before or not row.after:
        return ngettext("%(count)s bar changed as a whole", "%(count)s bars changed as a whole", row.bars) % {
            "count": formatting.number(row.bars)
        }
    titles = _column_titles()
    pairs = [
        _("%(name)s: %(before)s → %(after)s")
        % {"name": titles.get(name, name), "before": _plain(before), "after": _plain(row.after.get(name))}
        for name, before in row.before.items()
    ]
    return format_html('<span class="sc-changes">{}</span>', _("; ").join(pairs))


def _plain(value: Any) -> str:
    if value is None:
        return formatting.EMPTY
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def recent_findings(stock: Stock, adjust: str) -> list[dict[str, Any]]:
    """Returns the newest findings of the validation by day, each kind of a source's once.

    A bar that is refused in every task is shown as it was found last, with the number of times.
    """
    rows = Finding.objects.filter(market=stock.market, symbol=stock.code, adjust=adjust)
    kinds = rows.values("day", "kind", "code", "source").annotate(newest=Max("id"), times=Count("id"))
    times = {each["newest"]: each["times"] for each in kinds.order_by("-day", "-newest")[:MAX_ROWS]}
    return [
        {
            "day": row.day.isoformat() if row.day else formatting.EMPTY,
            "kind": finding_badge(row),
            "why": finding_sentence(row),
            "values": describe_values(row),
            "times": _("found %(count)s times, the last time at %(time)s")
            % {"count": formatting.number(times[row.pk]), "time": time_zones.write(row.found_at)}
            if times[row.pk] > 1
            else "",
        }
        for row in rows.filter(pk__in=times).order_by("-day", "-id")
    ]


def finding_sentence(row: Finding) -> str:
    """Returns why a bar was refused or flagged, in the reader's language, with its numbers."""
    return reasons.describe_finding(row.code, row.message, row.day, row.params)


def describe_values(row: Finding) -> SafeString | str:
    """Returns the values that the source sent, by column; of older findings they were not recorded."""
    if row.kind == FindingKind.DIFFERS:
        return _describe_both(row)
    if row.values is None:
        return _("not recorded")
    titles = _column_titles()
    pairs = [
        _("%(name)s %(value)s") % {"name": titles.get(name, name), "value": _plain(value)}
        for name, value in row.values.items()
        if value is not None
    ]
    return format_html('<span class="sc-changes">{}</span>', _("; ").join(pairs))


def _describe_both(row: Finding) -> SafeString:
    """Returns the values of both sources that differ, by column; those of a bar that one lacks."""
    titles, here, there = _column_titles(), row.values or {}, row.other_values or {}
    pairs = [
        _("%(name)s: %(here)s (%(source)s), %(there)s (%(other)s)")
        % {
            "name": titles.get(name, name),
            "here": _plain(here.get(name)),
            "source": row.source,
            "there": _plain(there.get(name)),
            "other": row.other_source,
        }
        for name in here or there
    ]
    return format_html('<span class="sc-changes">{}</span>', _("; ").join(pairs))


def _column_titles() -> dict[str, Any]:
    return {field.name: field.verbose_name for field in DailyBar._meta.fields}


def finding_badge(row: Finding) -> SafeString:
    """Returns a badge: flagged (stored), refused (not stored), or differing from another source's."""
    tone, icon = {
        FindingKind.REFUSED: ("bad", "block"),
        FindingKind.FLAGGED: ("warn", "flag"),
        FindingKind.DIFFERS: ("warn", "difference"),
    }[FindingKind(row.kind)]
    return formatting.badge(tone, icon, row.get_kind_display())
