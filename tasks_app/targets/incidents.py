"""The incidents of targets: one while the session whose deadline passed last is not complete."""

from dataclasses import replace
from datetime import datetime

from tasks_app import notices
from tasks_app.models import Incident, Target, TargetSession
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.models.targets import TargetState
from tasks_app.notices import Cause
from tasks_app.targets.selectors import newest_sessions


def report(now: datetime) -> None:
    """Opens, updates and ends the incidents, one per target at most, as of `now` (aware).

    One is critical, and told of again, once the session before was missed as well.
    """
    behind = newest_sessions(due_by=now).filter(target__enabled=True, complete_at__isnull=True)
    notices.reconcile(NoticeEvent.DATA_BEHIND, [_cause(row) for row in behind])


def record_past(row: TargetSession, until: datetime) -> None:
    """Records the past incident of a session that is judged late or missed, `until` a moment (aware).

    Not if it was observed: then watchdogs ran. Missed sessions in a row, and a late one after them, are one
    incident; while the last of them is not complete, its open incident tells of it. Call it in the
    transaction that judges.
    """
    cause = _cause(row)
    known = Incident.objects.filter(event=NoticeEvent.DATA_BEHIND, key=cause.key)
    if known.filter(params__session=row.session.isoformat()).exists():
        return
    after = row.target.sessions.filter(session__gt=row.session).order_by("session").first()
    if row.state == TargetState.MISSED and after and not after.is_met:
        if after.complete_at is None and not known.filter(opened_at=until).exists():
            return
        cause = replace(cause, severity=Severity.CRITICAL)
    notices.record_past(NoticeEvent.DATA_BEHIND, cause, row.deadline, until)


def _cause(row: TargetSession) -> Cause:
    target = row.target
    before = target.sessions.filter(session__lt=row.session).order_by("-session").first()
    is_second = before is not None and before.state == TargetState.MISSED
    params = {
        "target": target.name,
        "session": row.session.isoformat(),
        "deadline_at": row.deadline.isoformat(),
        "missing": row.missing or 0,
        "page": page_path(target),
    }
    return Cause(str(target.pk), Severity.CRITICAL if is_second else Severity.WARNING, target.market, params)


def page_path(target: Target) -> str:
    """Returns the path of the target's page; only the web server could make it of its URLs."""
    return f"/admin/targets/{target.pk}/"
