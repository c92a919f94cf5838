"""Links of messages: to the page of an incident, and signed ones to a verb, which asks whoever follows them.

The paths are written out, because only the web server knows the URLs of pages; a test compares them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.core import signing
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from tasks_app.models import CollectionTask, Incident
from tasks_app.models.notices import NoticeEvent
from tasks_app.models.states import TaskStatus

SALT = "tasks_app.notices.links"
MAX_AGE = 7 * 86_400  # seconds for which a signed link works
SILENCE_HOURS = 24
CANCEL, RETRY, SILENCE = "cancel", "retry", "silence"
LABELS = {CANCEL: _("Cancel the running task"), RETRY: _("Retry"), SILENCE: _("Silence for 24 hours")}
# The pages of what an incident is about, by the parameter with its id; the first one that it has counts.
PAGES = {"plan_id": "collectionplan", "order": "queuedorder", "task": "collectiontask"}
RETRIED = frozenset({NoticeEvent.TASK_FAILED, NoticeEvent.TASK_WITH_FAILURES})


class Action(NamedTuple):
    """What a signed link is for: a verb, the incident whose message has it, and the task of the verb."""

    verb: str
    incident: int
    task: str = ""


def page_path(incident: Incident) -> str:
    """Returns the path of the page that shows what an incident is about."""
    params: dict[str, Any] = incident.params
    if params.get("page"):
        return str(params["page"])
    if name := next(filter(params.get, PAGES), ""):
        return f"/admin/tasks_app/{PAGES[name]}/{params[name]}/change/"
    if params.get("source"):
        return f"/admin/sources/{params['source']}/"
    if incident.event == NoticeEvent.CALENDAR_ENDS:
        return f"/admin/calendar/?market={incident.market}"
    return f"/admin/tasks_app/incident/{incident.pk}/change/"


def actions(incident: Incident) -> Iterator[Action]:
    """Yields what can be done about an open incident: a retry only of a task that left something."""
    if incident.closed_at:
        return
    task = str(incident.params.get("task") or "")
    if incident.event in RETRIED and task and _may_have_left(task):
        yield Action(RETRY, incident.pk, task)
    if incident.event == NoticeEvent.PLAN_LATE and task:
        yield Action(CANCEL, incident.pk, task)
    yield Action(SILENCE, incident.pk)


def _may_have_left(task_id: str) -> bool:
    """Whether a retry of the ended task has stocks to collect, or may have: those of the tasks before it."""
    own = Q(planned_at=None) | Q(success_count__lt=F("total_stocks"))
    ended = CollectionTask.objects.filter(own | Q(continues__isnull=False), pk=task_id)
    return ended.exclude(status=TaskStatus.RUNNING).exists()


def action_path(action: Action) -> str:
    """Returns the path of a verb's confirmation page; it works for a week."""
    return f"/admin/notices/{signing.dumps(list(action), salt=SALT)}/"


def read_action(token: str) -> Action:
    """Returns what a signed link is for. Raises `signing.BadSignature` if it is forged or too old."""
    verb, incident, task = signing.loads(token, salt=SALT, max_age=MAX_AGE)
    return Action(verb, incident, task)


def absolute(path: str) -> str:
    """Returns the whole address of a path; "" without COLLECTOR_BASE_URL, which no request can tell."""
    base = settings.COLLECTOR.base_url
    return f"{base}{path}" if base else ""
