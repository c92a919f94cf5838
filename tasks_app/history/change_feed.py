"""The feed of changes: what was stored after a number, in the order of the commits."""

from typing import Any

from django.db.models import F

from tasks_app import errors
from tasks_app.history.versions import read_numbers, settled_changes

FIELDS = ("number", "at", "kind", "market", "adjust", "first_day", "last_day", "rows")


def changes_since(since: int, limit: int, market: str = "") -> dict[str, Any]:
    """Returns up to `limit` changes after the number, and what else a consumer has to know.

    `last` is the number up to which the answer is complete: the next request's `since`. While it is below
    `newest` there are more. Raises `ForgottenChanges` if a change after `since` is no longer kept, or has no
    number because it is older than the numbers.
    """
    numbers = read_numbers()
    if since < numbers.first:
        raise errors.ForgottenChanges(since=since, first=numbers.first)
    if since > numbers.last:
        raise errors.UnknownSince(number=since, last=numbers.last)
    rows = settled_changes().filter(number__gt=since, number__lte=numbers.last)
    if market:
        rows = rows.filter(market=market)
    changes = list(rows.order_by("number").values(*FIELDS, code=F("symbol"))[:limit])
    last = changes[-1]["number"] if len(changes) == limit else numbers.last
    return {"since": since, "last": last, "newest": numbers.last, "first": numbers.first, "changes": changes}
