"""The events of a task in readable form: parameters by their names, a collection request unwrapped."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _, gettext_lazy

from tasks_app import reasons
from tasks_app.admin.common import formatting
from tasks_app.admin.tasks import columns
from tasks_app.lifecycle import audit_log
from tasks_app.models import TaskEvent
from tasks_app.models.events import Channel, EventKind
from tasks_app.models.plan_runs import StepKind
from tasks_app.models.plans import Rhythm, Weekday
from tasks_app.models.priorities import PRIORITY_NAMES
from tasks_app.models.quotes import Adjust, InstrumentKind, Market
from tasks_app.models.transfers import ExportLayout
from tasks_app.sentences import list_words

PROGRAM = {Channel.SCHEDULE, Channel.WORKER}  # through which no user acts
EVENT_STYLES = {
    EventKind.STARTED: ("info", "play_arrow"),
    EventKind.PLANNED: ("info", "list_alt"),
    EventKind.PAUSED: ("warn", "pause_circle"),
    EventKind.RESUMED: ("info", "play_circle"),
    EventKind.CANCELLED: ("plain", "block"),
    EventKind.COMPLETED: ("good", "check_circle"),
    EventKind.FAILED: ("bad", "error"),
    EventKind.RESCUED: ("plain", "healing"),
    EventKind.RETRIED: ("info", "replay"),
    EventKind.YIELDING: ("warn", "schedule"),
    EventKind.YIELDED: ("plain", "skip_next"),
    EventKind.CONTINUED: ("info", "play_arrow"),
    EventKind.WARNED: ("bad", "warning"),
}
PARAMETER_NAMES = {  # in the order in which they are shown
    "market": gettext_lazy("market"),
    "source": gettext_lazy("source"),
    "fallbacks": gettext_lazy("further sources"),
    "verify_with": gettext_lazy("compared with"),
    "verify_sample": gettext_lazy("sample (%)"),
    "adjust": gettext_lazy("adjustment"),
    "kind": gettext_lazy("kind"),
    "days": gettext_lazy("days"),
    "stock_codes": gettext_lazy("stock codes"),
    "stocks": gettext_lazy("stocks"),
    "codes": gettext_lazy("stock codes"),
    "by_day": gettext_lazy("whole day in flight"),
    "code": gettext_lazy("reason"),
    "error_code": gettext_lazy("only the error"),
    "error": gettext_lazy("error"),
    "exit_code": gettext_lazy("exit code"),
    "by": gettext_lazy("new task"),
    "message": gettext_lazy("message"),
    "priority": gettext_lazy("priority"),
    "position": gettext_lazy("position"),
    "plan": gettext_lazy("plan"),
    "queued_order": gettext_lazy("started by the queue as order"),
    "continues": gettext_lazy("continues"),
    "task_id": gettext_lazy("task"),
    "task": gettext_lazy("task"),
    "run": gettext_lazy("run of the plan"),
    "lane": gettext_lazy("lane"),
    "name": gettext_lazy("name"),
    "enabled": gettext_lazy("enabled"),
    "rhythm": gettext_lazy("how often"),
    "weekday": gettext_lazy("day of the week"),
    "at": gettext_lazy("time of day"),
    "steps": gettext_lazy("steps"),
    "export_to": gettext_lazy("export into"),
    "export_layout": gettext_lazy("export format"),
    "layout": gettext_lazy("export format"),
    "first": gettext_lazy("first day"),
    "last": gettext_lazy("last day"),
    "first_day": gettext_lazy("first day"),
    "last_day": gettext_lazy("last day"),
    "as_of": gettext_lazy("as known at change"),
    "series": gettext_lazy("series"),
    "bars": gettext_lazy("bars"),
    "since": gettext_lazy("since"),
    "added": gettext_lazy("bars added"),
    "corrected": gettext_lazy("bars corrected"),
    "end_date": gettext_lazy("last day"),
    "start_date": gettext_lazy("first day"),
    **columns.MODES,
}


def _task(value: str) -> Any:
    return formatting.task_link(UUID(value))


def _queued_order(value: int) -> Any:
    return formatting.link(formatting.admin_url("queuedorder", "change", value), f"#{value}")


def _steps(value: list[dict[str, Any]]) -> str:
    return list_words(StepKind(step["kind"]).label for step in value)


def _label_of(choices: Any) -> Callable[[Any], Any]:
    return lambda value: dict(choices).get(value, value)


WRITERS: dict[str, Callable[[Any], Any]] = {  # of values, by parameter
    **dict.fromkeys(("by", "task", "task_id", "continues"), _task),
    **dict.fromkeys(("layout", "export_layout"), _label_of(ExportLayout.choices)),
    "queued_order": _queued_order,
    "steps": _steps,
    **dict.fromkeys(("code", "error_code"), reasons.meaning),
    "priority": _label_of(PRIORITY_NAMES),
    "rhythm": _label_of(Rhythm.choices),
    "weekday": _label_of(Weekday.choices),
}


def describe_event(event: TaskEvent) -> dict[str, Any]:
    """Returns an event for the page: when, what, by whom, through which channel, with which parameters."""
    warning = reasons.translated_warning(event.params) if event.kind == EventKind.WARNED else ""
    tone, icon = EVENT_STYLES.get(EventKind(event.kind), ("plain", "help"))
    if event.kind == EventKind.COMPLETED and event.task.outcome:
        tone, icon = formatting.task_style(event.task)
    return {
        "at": formatting.timestamp(event.at),
        "kind": audit_log.VERBS.get(event.kind, event.kind),
        "tone": tone,
        "icon": icon,
        "user": who_did(event.user_name, event.channel, event.params),
        "channel": channel_name(event.user_name, event.channel, event.params),
        "params": [("", warning)] if warning else [*named_parameters(event.params), *_request(event)],
    }


def who_did(user_name: str, channel: str, params: Any) -> Any:
    """Returns who did it: a user by name, else the system or whoever typed a command."""
    if user_name:
        return user_name
    if channel in PROGRAM or _is_of_queue(params):
        return _("system")
    return _("command line") if channel == Channel.COMMAND else formatting.EMPTY


def channel_name(user_name: str, channel: str, params: Any) -> Any:
    """Returns through which channel it was done.

    What nobody's name stands beside, and the queue has started, keeps in the table the channel of its order.
    """
    if not user_name and channel not in PROGRAM and _is_of_queue(params):
        return _("queue")
    return Channel(channel).label if channel in Channel.values else channel


def _is_of_queue(params: Any) -> bool:
    """Whether an event's parameters are those of a start by the queue."""
    return isinstance(params, dict) and bool(params.get("queued_order") or params.get("continues"))


def _request(event: TaskEvent) -> list[tuple[str, Any]]:
    """Returns the id of the request by which somebody did it, for the log; those of workers repeat it."""
    if not event.request_id or event.channel == Channel.WORKER:
        return []
    return [(_("request in the log"), formatting.monospace(event.request_id))]


def named_parameters(params: dict[str, Any]) -> list[tuple[str, Any]]:
    """Returns (name, value) of the parameters with a value; those of a request are unwrapped.

    In the order of `PARAMETER_NAMES`, others last: PostgreSQL does not keep that in which they were stored.
    """
    flat = {**params.get("order", {}), **{key: value for key, value in params.items() if key != "order"}}
    if {"start_date", "end_date"} <= flat.keys():
        flat["days"] = formatting.date_range(flat.pop("start_date"), flat.pop("end_date"))
    if flat.get("kind") == InstrumentKind.STOCK:
        del flat["kind"]
    if not flat.get("verify_with"):
        flat.pop("verify_sample", None)
    filled = {key: value for key, value in flat.items() if value not in (None, "", [], False)}
    named = {key: filled[key] for key in (*PARAMETER_NAMES, *filled) if key in filled}
    return [(str(PARAMETER_NAMES.get(key, key)), _value(key, value)) for key, value in named.items()]


def _value(key: str, value: Any) -> Any:
    if key in WRITERS:
        return WRITERS[key](value)
    if key == "kind" and value in InstrumentKind.values:
        return InstrumentKind(value).label
    if isinstance(value, bool):
        return _("yes")
    if isinstance(value, list):
        return columns.shorten_codes([str(part) for part in value])
    if isinstance(value, int):
        return formatting.number(value)
    return dict([*Market.choices, *Adjust.choices]).get(value, value)
