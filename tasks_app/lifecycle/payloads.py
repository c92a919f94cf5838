"""What the verbs answer, over HTTP and with `--json`: the same JSON, times with their offset."""

from datetime import date, datetime
from typing import Any

import orjson
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from tasks_app.models import CollectionTask

CODES_NAMED = 10


def encode(answer: object, *, indent: bool = False) -> bytes:
    """JSON in UTF-8; times in the site's time zone, as 2024-01-31T09:30:00+08:00."""
    form = orjson.OPT_PASSTHROUGH_DATETIME | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(answer, default=_plain, option=form)


def dumps(answer: object) -> str:
    """One line of JSON."""
    return encode(answer).decode()


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.get_default_timezone()).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def started(task: CollectionTask) -> dict[str, Any]:
    """The answer to a start or a retry: the order as it was understood."""
    return {
        "task_id": str(task.pk),
        "status": "started",
        "message": _message(task),
        "start_date": task.start_date,
        "end_date": task.end_date,
        "stock_codes": task.stock_codes,
        "test_mode": task.test_mode,
        "full_collection_mode": task.full_collection_mode,
        "market": task.market,
        "source": task.source,
        "adjust": task.adjust,
        "force_update": task.force_update,
        "fallbacks": task.fallbacks,
        "unknown_codes": task.unknown_codes,
        "total_stocks": task.total_stocks,
        "retry_of": str(task.retry_of_id) if task.retry_of_id else None,
    }


def cancelled(task: CollectionTask) -> dict[str, Any]:
    """The answer to a cancel."""
    return {"message": _("The task was cancelled."), "task_id": str(task.pk)}


def _message(task: CollectionTask) -> str:
    days = {"start": task.start_date, "end": task.end_date}
    message = _("The collection was started: %(start)s to %(end)s.") % days
    if task.unknown_codes:
        more = ", …" if len(task.unknown_codes) > CODES_NAMED else ""
        unknown = ", ".join(task.unknown_codes[:CODES_NAMED]) + more
        message += " " + _("Unknown codes, left out: %(codes)s.") % {"codes": unknown}
    return message
