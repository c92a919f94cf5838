"""The targets on the overview: how each kept its last session, and the one that is on."""

from typing import Any

from django.db.models.functions import Now

from tasks_app.admin.common import formatting
from tasks_app.admin.targets import cells
from tasks_app.models import Target, TargetSession
from tasks_app.models.targets import TargetState
from tasks_app.targets import selectors

SHOWN = 8


def list_targets() -> list[dict[str, Any]]:
    """Returns the first eight enabled targets by name, each with its newest sessions. Two queries at most."""
    targets = list(Target.objects.filter(enabled=True).order_by("name")[:SHOWN])
    if not targets:
        return []
    both = selectors.newest_sessions() | selectors.newest_sessions(due_by=Now())
    rows = list(both.order_by("session"))
    newest = {row.target_id: row for row in rows}
    judged = {row.target_id: row for row in reversed(rows)}
    return [_describe(target, newest.get(target.pk), judged.get(target.pk)) for target in targets]


def _describe(target: Target, newest: TargetSession | None, due: TargetSession | None) -> dict[str, Any]:
    """Returns the cells: the session whose deadline passed last, and a newer one whose deadline is ahead."""
    by = f"{target.get_market_display()} · {target.at:%H:%M}"
    return {
        "name": formatting.two_lines(cells.name(target), by),
        "last": _session(due) if due else "",
        "current": _session(newest) if newest and newest != due else "",
    }


def _session(row: TargetSession) -> Any:
    text = row.session.isoformat()
    if row.state == TargetState.LATE:
        text += f" · {cells.lateness(row)}"
    elif row.missing:
        text += f" · {cells.missing_stocks(row)}"
    return formatting.two_lines(cells.state(row), text)
