"""Reads of targets and their sessions."""

import re
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from tasks_app import errors
from tasks_app.models import Target, TargetSession

ID = r"[1-9][0-9]{0,17}"


def newest_sessions(*, due_by: Any = None) -> QuerySet[TargetSession]:
    """Returns the newest session of each target, with it; the newest whose deadline was `due_by` a moment.

    That moment is aware, or an expression such as `Now()`.
    """
    rows = TargetSession.objects.filter(target=OuterRef("pk")).order_by("-session")
    newest = (rows if due_by is None else rows.filter(deadline__lte=due_by)).values("pk")[:1]
    of_each = Target.objects.order_by().annotate(newest=Subquery(newest)).values("newest")
    return TargetSession.objects.filter(pk__in=of_each).select_related("target")


def get_target(target_id: str) -> Target:
    """Returns the target of an untrusted id. Raises `TargetNotFound`."""
    target = Target.objects.filter(pk=int(target_id)).first() if re.fullmatch(ID, target_id) else None
    if target is None:
        raise errors.TargetNotFound(target=target_id[:40])
    return target
