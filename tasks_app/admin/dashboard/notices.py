"""What the overview says of notices: open incidents, and channels and dead man's switches that fail."""

from typing import Any

from django.http import HttpRequest

from tasks_app.admin.access.permissions import VIEW_CHANNELS, VIEW_INCIDENTS
from tasks_app.admin.common import formatting
from tasks_app.admin.notices import columns
from tasks_app.models import Incident, NoticeChannel

SHOWN = 5


def build_notices_context(request: HttpRequest) -> dict[str, Any]:
    """Returns `incidents` and `failing_channels` for those who may see them. Takes two queries at most."""
    user = request.user
    context: dict[str, Any] = {}
    if user.has_perm(VIEW_INCIDENTS):
        opened = Incident.objects.filter(closed_at__isnull=True).order_by("-severity", "-opened_at", "-pk")
        rows = list(opened[: SHOWN + 1])
        context["incidents"] = [_describe(incident) for incident in rows[:SHOWN]]
        context["incidents_url"] = formatting.admin_url("incident", **{"is": "open"})
        context["has_more_incidents"] = len(rows) > SHOWN
    if user.has_perm(VIEW_CHANNELS):
        failing = NoticeChannel.objects.filter(enabled=True, failures__gt=0)
        context["failing_channels"] = [
            {
                "name": formatting.link(formatting.admin_url("noticechannel", "change", each.pk), each.name),
                "state": columns.channel_state(each),
            }
            for each in failing[:SHOWN]
        ]
    return context


def _describe(incident: Incident) -> dict[str, Any]:
    return {
        "badge": columns.severity_or_over(incident),
        "link": formatting.link(
            formatting.admin_url("incident", "change", incident.pk), columns.headline(incident)
        ),
        "sentence": columns.sentence(incident),
        "since": formatting.timestamp(incident.opened_at, seconds=False),
    }
