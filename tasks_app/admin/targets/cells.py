"""A target and its sessions in words, as their pages and the overview show them."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext

from tasks_app.admin.common import formatting
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.lifecycle.durations import format_duration
from tasks_app.market import synthetic
from tasks_app.models import Target, TargetSession
from tasks_app.models.quotes import InstrumentKind
from tasks_app.models.targets import WHOLE, TargetState

STYLES = {
    TargetState.PENDING: ("plain", "schedule"),
    TargetState.MET: ("good", "check_circle"),
    TargetState.LATE: ("warn", "history"),
    TargetState.MISSED: ("bad", "error"),
}


def page_url(target: Target) -> str:
    """Returns the address of the target's page."""
    return reverse("admin:target", args=[target.pk])


def name(target: Target) -> SafeString:
    """Returns the name as a link to the target's page."""
    return formatting.link(page_url(target), target.name)


def scope(target: Target) -> SafeString:
    """Returns market, kind, adjustment and source, and how much of it is demanded."""
    kind = "" if target.kind == InstrumentKind.STOCK else f" · {target.get_kind_display()}"
    of = f"{synthetic.mark(target.market)}{kind} · {target.get_adjust_display()}"
    return formatting.two_lines(f"{of} · {target.source}" if target.source else of, demand(target.minimum))


def demand(minimum: Any) -> str:
    """Returns which share of the stocks must have their bar."""
    if minimum == WHOLE:
        return _("every stock that is not suspended")
    share = f"{minimum:.2f}".rstrip("0").rstrip(".")
    return _("at least %(share)s%% of the stocks that are not suspended") % {"share": share}


def due(target: Target) -> SafeString:
    """Returns by when a session is to be complete, and in which time zone."""
    clock, count = f"{target.at:%H:%M}", target.days_after
    days = ngettext("%(time)s, %(count)s day later", "%(time)s, %(count)s days later", count)
    by = days % {"time": clock, "count": count} if count else clock
    return formatting.two_lines(by, MARKET_TIME_ZONES[target.market])


def state(row: TargetSession, now: datetime | None = None) -> SafeString:
    """Returns what was judged as a badge; of a session that is not, whether its deadline has passed."""
    if row.state == TargetState.PENDING and row.deadline <= (now or timezone.now()):
        return formatting.badge("bad", "alarm", _("deadline passed"))
    return formatting.badge(*STYLES[TargetState(row.state)], row.get_state_display())


def last_session(target: Any) -> SafeString | str:
    """Returns the newest session (prefetched as `newest`) and its state, or that the target is off."""
    if not target.enabled:
        return formatting.status_badge("cancelled", _("off"))
    if not target.newest:
        return formatting.EMPTY
    row = target.newest[0]
    text = row.session.isoformat()
    if row.missing:
        text += f" · {missing_stocks(row)}"
    return formatting.two_lines(state(row), text)


def missing_stocks(row: TargetSession) -> str:
    """Returns how many stocks were missing at the last look."""
    missing = row.missing or 0
    text = ngettext("%(count)s stock missing", "%(count)s stocks missing", missing)
    return text % {"count": formatting.number(missing)}


def lateness(row: TargetSession) -> str:
    """Returns by how much the session was complete after its deadline."""
    if row.complete_at is None or row.complete_at <= row.deadline:
        return formatting.EMPTY
    return format_duration(row.complete_at - row.deadline)


def describe_session(row: TargetSession) -> dict[str, Any]:
    """Returns the cells of a session's row; its times are in the market's time zone."""
    with timezone.override(MARKET_TIME_ZONES[row.target.market]):
        return _cells_of(row)


def _cells_of(row: TargetSession) -> dict[str, Any]:
    return {
        "session": row.session.isoformat(),
        "url": f"{page_url(row.target)}?session={row.session}",
        "state": state(row),
        "deadline": formatting.timestamp(row.deadline, seconds=False),
        "complete_at": formatting.timestamp(row.complete_at),
        "lateness": lateness(row),
        "bars": formatting.number(row.bars),
        "reasons": formatting.number(row.reasons),
        "missing": formatting.number(row.missing),
    }
