"""What is stored, as the overview shows it: per market, adjustment and source, and what is missing."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, pgettext

from tasks_app.admin.common import formatting
from tasks_app.admin.common.filters import StoredFilter
from tasks_app.quotes.coverage import RANGES, Coverage
from tasks_app.sentences import list_words


def describe_coverage(
    rows: Sequence[Coverage], sealed: Mapping[str, date] | None = None
) -> list[dict[str, Any]]:
    """Returns the cells of each row. Only a market of which nothing is missing has a green check.

    `sealed` has the last sealed day of each market, which its first unadjusted row shows.
    """
    described = []
    for _group, found in groupby(rows, key=lambda row: (row.market, row.adjust)):
        group = list(found)
        is_whole = not any(row.behind or row.empty for row in group)
        sources = [row for row in group if row.source is not None]
        described += [
            {
                **_describe(row, is_whole, is_only_source=len(sources) == 1),
                "is_first": row is group[0],
                "sealed": "" if row.adjust or row is not group[0] else (sealed or {}).get(row.market, ""),
            }
            for row in group
        ]
    return described


def _describe(row: Coverage, is_whole: bool, is_only_source: bool) -> dict[str, Any]:
    stocks_url = formatting.admin_url("stock", market__exact=row.market)
    source = _("no source yet") if row.source is None else row.source or _("unknown source")
    return {
        "market": formatting.two_lines(
            formatting.link(stocks_url, row.market_name), f"{row.adjust_name} · {source}"
        ),
        "stocks": formatting.number(row.stocks),
        "bars": formatting.number(row.bars),
        "first": row.first_day.isoformat() if row.first_day else formatting.EMPTY,
        "updated": formatting.timestamp(row.updated_at, seconds=False),
        "latest": row.last_day.isoformat() if row.last_day else formatting.EMPTY,
        "state": _state(row, is_whole, is_only_source),
        "behind_by": _behind_by(row),
        "session": row.session.isoformat(),
    }


def _state(row: Coverage, is_whole: bool, is_only_source: bool) -> SafeString:
    if row.empty:
        text = _("%(count)s without bars") % {"count": formatting.number(row.empty)}
        return _linked(row, "empty", formatting.badge("bad", "inbox", text))
    if row.behind:
        text = _("%(count)s behind") % {"count": formatting.number(row.behind)}
        badge = formatting.badge("warn", "history", text)
        return _linked(row, "behind", badge) if is_only_source else badge  # the list knows no sources
    if is_whole:
        return formatting.badge("good", "check_circle", _("up to date"))
    return formatting.badge("plain", "done", _("up to date"))


def _linked(row: Coverage, kind: str, badge: SafeString) -> SafeString:
    """Returns the badge as a link to exactly these stocks."""
    stored = StoredFilter.value_for(kind, row.adjust)
    address = formatting.admin_url("stock", market__exact=row.market, stored=stored, listing="listed")
    return format_html('<a href="{}">{}</a>', address, badge)


def _behind_by(row: Coverage) -> str:
    """Returns how many stocks are behind by how many sessions, “5 by 21+ sessions; at most 30”, or ""."""
    if not row.behind:
        return ""
    counts = [
        pgettext("sessions behind", "%(count)s by %(range)s")
        % {"count": formatting.number(row.behind_by[name]), "range": name.replace("-", "–")}
        for name in RANGES
        if row.behind_by[name]
    ]
    params = {"counts": list_words(counts), "most": formatting.number(row.most_behind)}
    return _("%(counts)s sessions; at most %(most)s") % params
