"""Workers and the sources' rate limiters, as the overview shows them."""

from typing import Any

from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, ngettext, pgettext

from tasks_app.admin.common import formatting
from tasks_app.admin.sources import descriptions
from tasks_app.queue.dispatch import ClusterStatus
from tasks_app.sources import registry
from tasks_app.throttle import status
from tasks_app.throttle.status import LimiterState, LimiterStatus


def describe_workers(clusters: list[ClusterStatus]) -> str:
    """Returns the number of workers, and of hosts if there are several: "4 on 2 hosts"."""
    workers = formatting.number(sum(cluster.workers for cluster in clusters))
    hosts = len({cluster.host for cluster in clusters})
    return (
        workers if hosts <= 1 else _("%(workers)s on %(hosts)s hosts") % {"workers": workers, "hosts": hosts}
    )


def limits_off() -> SafeString | str:
    """Returns a line for all sources if limits are switched off, "" if not: a warning if vendors have any."""
    conf = settings.COLLECTOR
    if not conf.no_throttle:
        return ""
    is_risky = any(descriptions.are_limits_off(name) for name in registry.available(conf))
    return formatting.badge(
        *(("warn", "warning") if is_risky else ("plain", "info")), descriptions.explain_limits_off()
    )


def source_limiters() -> list[dict[str, Any]]:
    """Returns for each source whether requests pass, and if not, until when and why. Takes one query.

    While the limits are switched off nothing is known of any source: [].
    """
    if settings.COLLECTOR.no_throttle:
        return []
    return [_describe_limiter(limiter) for limiter in status.all_statuses()]


def _describe_limiter(limiter: LimiterStatus) -> dict[str, Any]:
    badges = {
        LimiterState.OPEN: ("good", "check_circle", pgettext("limiter", "open")),
        LimiterState.PAUSED: ("bad", "pause_circle", _("paused")),
        LimiterState.CAPPED: ("bad", "block", _("daily limit reached")),
        LimiterState.UNLIMITED: ("plain", "all_inclusive", _("no limit")),
    }
    shown = badges[limiter.state] if limiter.was_asked else ("plain", "schedule", _("not asked yet"))
    requests = ngettext("%(count)s request today", "%(count)s requests today", limiter.requests_today)
    return {
        "source": limiter.source,
        "badge": formatting.badge(*shown),
        "until": formatting.timestamp(limiter.paused_until) if limiter.paused_until else "",
        "today": requests % {"count": formatting.number(limiter.requests_today)}
        if limiter.requests_today
        else "",
        "reason": limiter.reason,
    }
