"""What is stored, as the overview shows it: per market, adjustment and source, and what is missing."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from math import isfinite
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app.admin.common import formatting
from tasks_app.admin.common.filters import StoredFilter
from tasks_app.quotes.coverage import RANGES, Coverage
from tasks_app.sentences import list_words

MOST_COUNTED = max(most for most in RANGES.values() if isfinite(most))  # sessions; the last range has no end


def describe_coverage(
    rows: Sequence[Coverage], sealed: Mapping[str, date] | None = None
) -> list[dict[str, Any]]:
    """Returns the cells of each row.

    `sealed` has the last sealed day of each market, which its first unadjusted row shows.
    """
    described = []
    for _group, found in groupby(rows, key=lambda row: (row.market, row.adjust)):
        group = list(found)
        sources = [row for row in group if row.source is not None]
        described += [
            {
                **_describe(row, is_only_source=len(sources) == 1),
                "is_first": row is group[0],
                "sealed": "" if row.adjust or row is not group[0] else (sealed or {}).get(row.market, ""),
            }
            for row in group
        ]
    return described


def _describe(row: Coverage, is_only_source: bool) -> dict[str, Any]:
    stocks_url = formatting.admin_url("stock", market__exact=row.market)
    source = _("not collected yet") if row.source is None else row.source or _("unknown source")
    return {
        "market": formatting.two_lines(
            formatting.link(stocks_url, row.market_name), f"{row.adjust_name} · {source}"
        ),
        "stocks": formatting.number(row.stocks),
        "bars": formatting.number(row.bars),
        "first": row.first_day.isoformat() if row.first_day else formatting.EMPTY,
        "updated": formatting.timestamp(row.updated_at, seconds=False),
        "latest": row.last_day.isoformat() if row.last_day else formatting.EMPTY,
        "state": _state(row, is_only_source),
        "behind_by": _behind_by(row),
        "session": row.session.isoformat(),
    }


def _state(row: Coverage, is_only_source: bool) -> SafeString:
    if row.empty:
        text = _("%(count)s with nothing stored") % {"count": formatting.number(row.empty)}
        return _linked(row, "empty", formatting.badge("none", "inbox", text))
    if row.behind:
        text = _("%(count)s behind") % {"count": formatting.number(row.behind)}
        badge = formatting.badge("warn", "history", text)
        return _linked(row, "behind", badge) if is_only_source else badge  # the list knows no sources
    return formatting.badge("good", "check_circle", _("up to date"))


def _linked(row: Coverage, kind: str, badge: SafeString) -> SafeString:
    """Returns the badge as a link to exactly these stocks."""
    stored = StoredFilter.value_for(kind, row.adjust)
    address = formatting.admin_url("stock", market__exact=row.market, stored=stored, listing="listed")
    return format_html('<a href="{}">{}</a>', address, badge)


def _behind_by(row: Coverage) -> str:
    """Returns how many stocks are behind by how many sessions, and by how many the furthest is; or ""."""
    if not row.behind:
        return ""
    counts = [_are_behind(name, row.behind_by[name]) for name in RANGES if row.behind_by[name]]
    if row.most_behind > 1:
        text = ngettext(
            "the furthest by %(count)s session", "the furthest by %(count)s sessions", row.most_behind
        )
        counts.append(text % {"count": formatting.number(row.most_behind)})
    return list_words(counts, clauses=True)


def _are_behind(range_name: str, count: int) -> str:
    if range_name == "1":
        text = ngettext("%(count)s stock is 1 session behind", "%(count)s stocks are 1 session behind", count)
    elif range_name.endswith("+"):
        text = ngettext(
            "%(count)s stock is more than %(most)s sessions behind",
            "%(count)s stocks are more than %(most)s sessions behind",
            count,
        )
    else:
        text = ngettext(
            "%(count)s stock is %(range)s sessions behind",
            "%(count)s stocks are %(range)s sessions behind",
            count,
        )
    params = {"count": formatting.number(count), "range": range_name.replace("-", "–")}
    return text % {**params, "most": formatting.number(MOST_COUNTED)}
