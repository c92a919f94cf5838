"""The sentences of incidents in the reader's language, made of their parameters."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _, gettext_lazy, ngettext

from tasks_app import reasons, time_zones
from tasks_app.models import Incident
from tasks_app.models.events import Channel
from tasks_app.models.notices import NoticeEvent
from tasks_app.models.quotes import short_name
from tasks_app.sentences import join_sentences

# What is wrong, and of what. The placeholders are the incident's parameters; see the callers of `Cause`.
SENTENCES = {
    NoticeEvent.TASK_FAILED: gettext_lazy("The task %(task)s of %(market)s from %(source)s failed."),
    NoticeEvent.TASK_WITH_FAILURES: gettext_lazy(
        "The task %(task)s of %(market)s from %(source)s is incomplete. Stocks failed: "
        "%(failed)s of %(total)s."
    ),
    NoticeEvent.TASK_WITHOUT_BARS: gettext_lazy(
        "The task %(task)s of %(market)s from %(source)s brought no bars, and none were stored before."
    ),
    NoticeEvent.PLAN_LATE: gettext_lazy(
        "The plan “%(plan)s” has been due since %(due_at)s and does not start."
    ),
    NoticeEvent.PLAN_REFUSED: gettext_lazy("The plan “%(plan)s” was refused, or could not export."),
    NoticeEvent.ORDER_REFUSED: gettext_lazy(
        "The queue refused the order #%(order)s of %(market)s from %(source)s (%(code)s), which %(user)s had "
        "queued. It does not start any more: remove the cause, then order it again."
    ),
    NoticeEvent.DATA_BEHIND: gettext_lazy(
        "The target “%(target)s” is not kept: the session of %(session)s was to be complete by "
        "%(deadline_at)s. Stocks missing: %(missing)s."
    ),
    NoticeEvent.SOURCE_PAUSED: gettext_lazy(
        "The source %(source)s is paused until %(until_at)s: it refuses requests."
    ),
    NoticeEvent.QUOTA_USED: gettext_lazy(
        "The source %(source)s gets no more requests until %(until_at)s: its quota is used up."
    ),
    NoticeEvent.NO_WORKER: gettext_lazy("No worker is alive: nothing is collected and no plan starts."),
    NoticeEvent.DISK_LOW: gettext_lazy("The disk of %(folder)s on %(host)s has %(free_mb)s MB left."),
    NoticeEvent.CALENDAR_ENDS: gettext_lazy(
        "The trading calendar of %(market)s ends on %(end)s: after that, every weekday counts as a trading "
        "day."
    ),
}
WAITING = gettext_lazy("The plan “%(plan)s” has been due since %(due_at)s and waits for another task.")
REFUSED_OF_NOBODY = gettext_lazy(
    "The queue refused the order #%(order)s of %(market)s from %(source)s (%(code)s), which was queued by "
    "%(channel)s. It does not start any more: remove the cause, then order it again."
)
UNREACHABLE = gettext_lazy("The source %(source)s is paused until %(until_at)s: it can't be reached.")
QUEUE_STUCK = gettext_lazy("Jobs have waited for a worker for %(seconds)s seconds, and none takes them.")


def headline(incident: Incident) -> str:
    """Returns what it is and of what, in a few words: "task failed · nightly"."""
    names = (incident.params.get(name) for name in ("target", "plan", "source", "host"))
    name = next(filter(None, names), None)
    about = filter(None, (str(incident.get_event_display()), short_name(incident.market), name))
    return " · ".join(dict.fromkeys(about))


def sentence(incident: Incident) -> str:
    """Returns what is wrong, with its reason where there is one. Times are in the active time zone.

    Parameters of another version, which may lack some, leave the words of the event.
    """
    params = {name: _shown(name, value) for name, value in incident.params.items()}
    try:
        text = str(_template(incident)) % {"market": short_name(incident.market), **params}
    except KeyError:
        text = f"{incident.get_event_display()}: {incident.key}"
    return join_sentences(text, _reason(incident.params), _times(incident))


def _template(incident: Incident) -> Any:
    if incident.event == NoticeEvent.PLAN_LATE and incident.params.get("waiting"):
        return WAITING
    if incident.event == NoticeEvent.ORDER_REFUSED and not incident.params.get("user"):
        return REFUSED_OF_NOBODY
    if incident.event == NoticeEvent.SOURCE_PAUSED and incident.params.get("code") == "unreachable":
        return UNREACHABLE
    if incident.event == NoticeEvent.NO_WORKER and incident.params.get("seconds"):
        return QUEUE_STUCK
    return SENTENCES[NoticeEvent(incident.event)]


def _shown(name: str, value: Any) -> Any:
    """Returns a parameter for a sentence: times and channels by their names, a task by its first digits."""
    if name.endswith("_at") and value:
        return clock(datetime.fromisoformat(value))
    if name == "channel" and value in Channel.values:
        return Channel(value).label
    return str(value)[:8] if name == "task" else value


def clock(moment: datetime) -> str:
    """Returns a time in the active time zone, to the minute, with the zone's name."""
    return time_zones.write(moment)


def _reason(params: Mapping[str, Any]) -> str:
    """Returns why, in the reader's language where the reason has a code, with the stored sentence."""
    return reasons.explain(str(params.get("code") or ""), str(params.get("reason") or ""))


def _times(incident: Incident) -> str:
    if incident.times < 2:
        return ""
    many = ngettext("It happened %(count)s time.", "It happened %(count)s times.", incident.times)
    return str(many) % {"count": incident.times}


def over(incident: Incident) -> str:
    """Returns since when it is over, and who closed it if a user did."""
    assert incident.closed_at is not None  # noqa: S101 - the caller has asked
    times = {"since": clock(incident.opened_at), "until": clock(incident.closed_at)}
    if incident.closed_by:
        return _("Marked as over by %(user)s. It lasted from %(since)s to %(until)s.") % {
            "user": incident.closed_by,
            **times,
        }
    return _("It is over. It lasted from %(since)s to %(until)s.") % times
