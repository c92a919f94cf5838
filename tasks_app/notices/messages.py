"""Writes the message of some deliveries, in the channel's language and time zone."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from django.utils import timezone, translation
from django.utils.translation import gettext as _, ngettext

from tasks_app.models import NoticeChannel, NoticeDelivery
from tasks_app.models.notices import DeliveryKind, Severity
from tasks_app.notices import links, texts
from tasks_app.notices.transport import Message
from tasks_app.sentences import list_words


def compose(channel: NoticeChannel, deliveries: Sequence[NoticeDelivery]) -> Message:
    """Returns one message that tells all of the deliveries, which are of different incidents."""
    with translation.override(channel.language), timezone.override(ZoneInfo(channel.time_zone)):
        parts = [_describe(each) for each in deliveries]
        title = _title(deliveries[0]) if len(deliveries) == 1 else _summary(deliveries)
        if len(deliveries) > 1:
            parts = [f"{_title(each)}\n{part}" for each, part in zip(deliveries, parts, strict=True)]
        return Message(title, "\n\n".join(parts), _severity(deliveries))


def _title(delivery: NoticeDelivery) -> str:
    """Returns such as "[warning] task failed · CN · nightly"."""
    incident = delivery.incident
    if incident is None:
        return _("Test of the channel “%(name)s”") % {"name": delivery.channel.name}
    mark = _("over") if incident.closed_at else str(incident.get_severity_display())
    return f"[{mark}] {texts.headline(incident)}"


def _summary(deliveries: Sequence[NoticeDelivery]) -> str:
    ended = sum(1 for each in deliveries if each.incident and each.incident.closed_at)
    began = len(deliveries) - ended
    parts = []
    if began:
        parts.append(ngettext("%(count)s notice", "%(count)s notices", began) % {"count": began})
    if ended:
        parts.append(_("%(count)s over") % {"count": ended})
    return _("Stock collector: %(summary)s") % {"summary": list_words(parts, clauses=True)}


def _describe(delivery: NoticeDelivery) -> str:
    """Returns the sentences of a delivery and its links, a line each."""
    incident = delivery.incident
    if incident is None:
        return _("Notices reach this channel. %(user)s pressed the button.") % {"user": delivery.user_name}
    lines = [texts.sentence(incident)]
    if incident.closed_at:
        lines.append(texts.over(incident))
    else:
        lines.append(_("Since %(time)s.") % {"time": texts.clock(incident.opened_at)})
    if page := links.absolute(links.page_path(incident)):
        lines.append(f"{_('Page')}: {page}")
        lines += [
            f"{links.LABELS[each.verb]}: {links.absolute(links.action_path(each))}"
            for each in links.actions(incident)
        ]
    return "\n".join(lines)


def _severity(deliveries: Sequence[NoticeDelivery]) -> Severity | None:
    """Returns the highest severity of what goes on; that of information for tests."""
    open_ones = [
        each.incident.severity for each in deliveries if each.incident and not each.incident.closed_at
    ]
    if open_ones:
        return Severity(max(open_ones))
    return Severity.INFO if any(each.kind == DeliveryKind.TEST for each in deliveries) else None
