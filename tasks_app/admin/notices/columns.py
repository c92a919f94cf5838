"""How incidents, channels, deliveries and dead man's switches are shown, on their pages and the overview."""

from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, pgettext

from tasks_app.admin.common import formatting
from tasks_app.market import synthetic
from tasks_app.models import Incident, NoticeChannel, NoticeDelivery, NoticePing
from tasks_app.models.notices import DeliveryState, Severity
from tasks_app.notices import addresses, links, texts

SEVERITIES = {
    Severity.INFO: ("info", "info"),
    Severity.WARNING: ("warn", "warning"),
    Severity.CRITICAL: ("bad", "error"),
}
DELIVERIES = {
    DeliveryState.PENDING: ("plain", "schedule"),
    DeliveryState.SENT: ("good", "check_circle"),
    DeliveryState.FAILED: ("bad", "error"),
    DeliveryState.SKIPPED: ("plain", "skip_next"),
}


def severity(incident: Incident) -> SafeString:
    tone, icon = SEVERITIES[Severity(incident.severity)]
    return formatting.badge(tone, icon, incident.get_severity_display())


def state(incident: Incident) -> SafeString:
    """Returns whether it is open or over."""
    if incident.closed_at:
        return formatting.badge("plain", "task_alt", _("over"))
    return formatting.badge("warn", "pending", pgettext("incident", "open"))


def severity_or_over(incident: Incident) -> SafeString:
    """Returns the severity; of one that is over, that it is."""
    return state(incident) if incident.closed_at else severity(incident)


def headline(incident: Incident) -> str:
    return texts.headline(incident)


def sentence(incident: Incident) -> str:
    return texts.sentence(incident)


def what(incident: Incident) -> SafeString:
    """Returns what it is about, with its sentence below."""
    return formatting.two_lines(texts.headline(incident), texts.sentence(incident))


def market(incident: Incident) -> str:
    return synthetic.mark(incident.market) if incident.market else formatting.EMPTY


def page(incident: Incident) -> SafeString | str:
    """Returns a link to the page of what it is about, unless that is its own."""
    path = links.page_path(incident)
    own = formatting.admin_url("incident", "change", incident.pk)
    if path == own:
        return formatting.EMPTY
    return formatting.link(path, _("Open the task") if incident.params.get("task") else _("Open the page"))


def silenced(incident: Incident) -> SafeString | str:
    if not incident.silenced_until:
        return formatting.EMPTY
    return formatting.two_lines(formatting.timestamp(incident.silenced_until), incident.silenced_by)


def over_since(incident: Incident) -> SafeString | str:
    """Returns when it ended, and who closed it if a user did."""
    when = formatting.timestamp(incident.closed_at)
    return formatting.two_lines(when, incident.closed_by) if incident.closed_by else when


def address(row: NoticeChannel | NoticePing) -> SafeString | str:
    """Returns the kind of a stored address, masked, or why it can't be read."""
    try:
        return formatting.monospace(addresses.describe(row.url))
    except addresses.UnreadableAddress as error:
        return str(error)


def channel_state(channel: NoticeChannel) -> SafeString:
    """Returns a badge: on, off, or failing, with the error."""
    if not channel.enabled:
        return formatting.badge("plain", "toggle_off", _("off"))
    if not channel.failures:
        return formatting.badge("good", "check_circle", _("on"))
    return formatting.two_lines(formatting.badge("bad", "error", _("failing")), channel.error)


def failing_since(channel: NoticeChannel) -> SafeString | str:
    return formatting.timestamp(channel.failing_since)


def ping_state(ping: NoticePing) -> SafeString:
    """Returns a badge: on, off, failing, or withheld because of an incident."""
    if not ping.enabled:
        return formatting.badge("plain", "toggle_off", _("off"))
    if ping.withheld:
        badge = formatting.badge("warn", "pause_circle", _("withheld"))
        return formatting.two_lines(badge, ping.get_withheld_display())
    if ping.error:
        return formatting.two_lines(formatting.badge("bad", "error", _("failing")), ping.error)
    return formatting.badge("good", "check_circle", _("on"))


def delivery(row: NoticeDelivery) -> dict[str, Any]:
    """Returns the cells of a delivery in a table."""
    about: Any = row.get_kind_display()
    if row.incident:
        about = formatting.two_lines(
            formatting.link(
                formatting.admin_url("incident", "change", row.incident.pk), texts.headline(row.incident)
            ),
            row.get_kind_display(),
        )
    return {
        "at": formatting.timestamp(row.created_at),
        "about": about,
        "channel": row.channel.name,
        "state": formatting.badge(*DELIVERIES[DeliveryState(row.state)], row.get_state_display()),
        "attempts": formatting.number(row.attempts),
        "next": formatting.timestamp(row.next_at if row.state == DeliveryState.PENDING else row.ended_at),
        "error": row.error,
    }
