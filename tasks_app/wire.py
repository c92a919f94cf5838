"""What the verbs answer, over HTTP and with `--json`: the same JSON, times with their offset."""

import json
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.utils.encoders import JSONEncoder

from tasks_app.models import CollectionTask

CODES_NAMED = 10


class Encoder(JSONEncoder):
    """Times in the site's time zone, as 2024-01-31T09:30:00+08:00."""

    def default(self, obj: Any) -> Any:
        if isinstance(obj, datetime):
            return timezone.localtime(obj).isoformat()
        return super().default(obj)


def dumps(answer: object) -> str:
    """One line of JSON."""
    return json.dumps(answer, cls=Encoder, ensure_ascii=False)


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
