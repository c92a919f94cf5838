"""How incidents begin, change and end. Of several hosts that observe a cause, one opens its incident."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from tasks_app.models import Incident
from tasks_app.models.notices import NoticeEvent, Severity


@dataclass(frozen=True)
class Cause:
    """A cause of an event, as it is observed now.

    `key` tells it from the event's other causes, in at most 150 characters. `params` (serialisable as JSON)
    are what the event's sentences in `notices.texts` are made of. Of its market's rules if it has one.
    """

    key: str
    severity: Severity = Severity.WARNING
    market: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def open_incident(event: NoticeEvent, cause: Cause, *, again: bool = False) -> None:
    """Opens the cause's incident in the caller's transaction, or updates the open one.

    An open one is told of anew only if the severity has risen or it happened `again`.
    """
    incident = _open(event).filter(key=cause.key).first()
    if incident is None:
        facts = {"market": cause.market, "severity": cause.severity, "params": cause.params}
        # Another host may have opened it since: the constraint on open incidents lets one of them pass.
        Incident.objects.bulk_create([Incident(event=event, key=cause.key, **facts)], ignore_conflicts=True)
    elif again or (incident.severity, incident.params) != (cause.severity, cause.params):
        news = again or cause.severity > incident.severity
        _open(event).filter(pk=incident.pk, revision=incident.revision).update(
            severity=cause.severity,
            params=cause.params,
            times=F("times") + int(again),
            revision=F("revision") + int(news),
            changed_at=Now(),
        )


def record_past(event: NoticeEvent, cause: Cause, began_at: datetime, ended_at: datetime) -> None:
    """Records an incident between two moments (aware) that was over before it was observed. Nobody is told.

    Nothing if an incident of the cause lasted at some time between them. One that begins with the end of this
    one is the same, and is given its beginning and severity.
    """
    known = Incident.objects.filter(event=event, key=cause.key)
    until = Q(closed_at__isnull=True) | Q(closed_at__gt=began_at)
    if known.filter(until, opened_at__lt=ended_at).exists():
        return
    following = known.filter(opened_at=ended_at, closed_at__isnull=False)
    if not following.update(opened_at=began_at, severity=cause.severity):
        facts = {"market": cause.market, "severity": cause.severity, "params": cause.params}
        times = {"opened_at": began_at, "closed_at": ended_at}
        Incident.objects.create(event=event, key=cause.key, routed=1, **facts, **times)


def close_incident(event: NoticeEvent, key: str, by: str = "") -> bool:
    """Ends the cause's open incident, in the caller's transaction. Returns whether there was one."""
    return bool(_close(_open(event).filter(key=key), by))


def close_incidents(events: Iterable[NoticeEvent], key: str) -> None:
    """Ends the open incidents of several events that have the same cause, likewise. Costs one query."""
    _close(Incident.objects.filter(event__in=list(events), key=key, closed_at__isnull=True), "")


def close_matching(event: NoticeEvent, market: str, params: dict[str, Any], *, opened_until: Any) -> None:
    """Ends the event's open incidents of a market with these parameters that began by then, likewise."""
    wanted = {f"params__{name}": value for name, value in params.items()}
    _close(_open(event).filter(market=market, opened_at__lte=opened_until, **wanted), "")


def close_by_id(incident_id: int, by: str) -> bool:
    """Ends an incident for a user; one whose cause goes on is opened anew. Returns whether it was open."""
    return bool(_close(Incident.objects.filter(pk=incident_id, closed_at__isnull=True), by))


def reconcile(event: NoticeEvent, causes: Iterable[Cause], *, among: Collection[str] | None = None) -> None:
    """Opens the incidents of these causes and ends the event's others; of the keys `among`, if given.

    Call it with all causes that exist now. Without a change it costs one query.
    """
    now = {cause.key: cause for cause in causes}
    known = {incident.key: incident for incident in _open(event)}
    for key, cause in now.items():
        incident = known.get(key)
        if incident is None or (incident.severity, incident.params) != (cause.severity, cause.params):
            open_incident(event, cause)
    for key in known.keys() - now.keys():
        if among is None or key in among:
            close_incident(event, key)


def _open(event: NoticeEvent) -> QuerySet[Incident]:
    return Incident.objects.filter(event=event, closed_at__isnull=True)


def _close(incidents: QuerySet[Incident], by: str) -> int:
    return incidents.update(closed_at=Now(), changed_at=Now(), closed_by=by, revision=F("revision") + 1)
