"""Targets and their sessions in the JSON of the API."""

from typing import Any

from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.models import Target, TargetSession


def describe_target(target: Target) -> dict[str, Any]:
    """Returns a target. `last` is its newest session, prefetched as `newest`."""
    rows: list[TargetSession] = getattr(target, "newest", [])
    return {
        "id": target.pk,
        "name": target.name,
        "enabled": target.enabled,
        "market": target.market,
        "kind": target.kind,
        "adjust": target.adjust,
        "source": target.source or None,
        "minimum": float(target.minimum),
        "at": f"{target.at:%H:%M}",
        "days_after": target.days_after,
        "time_zone": MARKET_TIME_ZONES[target.market],
        "since": target.since,
        "last": describe_session(rows[0]) if rows else None,
    }


def describe_session(row: TargetSession) -> dict[str, Any]:
    """Returns what became of a session."""
    late = (row.complete_at - row.deadline).total_seconds() if row.complete_at else None
    return {
        "session": row.session,
        "deadline": row.deadline,
        "state": row.state,
        "complete_at": row.complete_at,
        "late_seconds": None if late is None else max(late, 0.0),
        "minimum": float(row.minimum),
        "bars": row.bars,
        "reasons": row.reasons,
        "missing": row.missing,
        "looked_at": row.looked_at,
        "judged_at": row.judged_at,
    }
