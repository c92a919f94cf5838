"""JSON payloads of the API, which `--json` prints as well. Times carry their UTC offset."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import orjson
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from tasks_app import reasons
from tasks_app.conf import MARKET_TIME_ZONES, SYNTHETIC_MARKET
from tasks_app.lifecycle import chains, selectors
from tasks_app.lifecycle.chains import Chain
from tasks_app.lifecycle.plan_actions import StartedRun
from tasks_app.lifecycle.plan_runs import run_steps
from tasks_app.market.codes import name_codes
from tasks_app.models import CollectionPlan, CollectionTask, PlanRun, QueuedOrder, StepAttempt
from tasks_app.models.priorities import Priority
from tasks_app.models.states import TaskStatus
from tasks_app.orders import plan_steps, plans
from tasks_app.orders.forecasts import Forecast, describe as describe_forecast
from tasks_app.sentences import join_sentences
from tasks_app.throttle import status as limiter_status

# Keys that are the task's columns: those of the contract, then ours.
CONTRACT_COLUMNS = (
    *("status", "progress", "total_stocks", "processed_stocks", "success_count", "failed_count"),
    *("collected_count", "skipped_count", "start_time", "end_time", "error_message"),
)
FURTHER_COLUMNS = (
    *("outcome", "corrected_count", "refused_count", "flagged_count", "error_code", "market", "source"),
    *("adjust", "kind", "start_date", "end_date", "test_mode", "full_collection_mode", "force_update"),
    *("verify_with", "verify_sample", "compared_count", "differing_count", "uncompared_count"),
    *("heartbeat_at", "paused_at", "yielding_at"),
)
STARTED_COLUMNS = (
    *("start_date", "end_date", "stock_codes", "test_mode", "full_collection_mode", "market", "source"),
    *("adjust", "kind", "force_update", "fallbacks", "verify_with", "verify_sample", "unknown_codes"),
    "total_stocks",
)
PLAN_COLUMNS = (
    *("name", "enabled", "market", "source", "fallbacks", "adjust", "kind", "days", "stock_codes"),
    *("full_collection_mode", "force_update", "verify_with", "verify_sample", "rhythm", "weekday"),
    *("export_to", "export_layout"),
    *("next_at", "waiting_since", "last_at", "late_runs", "error_code", "created_at"),
)
RUN_COLUMNS = (
    *("plan_name", "state", "due_at", "is_late", "skipped", "started_at", "ended_at", "waiting_since"),
    *("not_before", "user_name", "channel", "error_code"),
)
ATTEMPT_COLUMNS = (*("attempt", "state", "export_id", "result", "started_at", "ended_at", "error_code"),)


def encode(payload: object, *, indent: bool = False) -> bytes:
    """Returns JSON in UTF-8; times in the site's time zone, as 2024-01-31T09:30:00+08:00."""
    option = orjson.OPT_PASSTHROUGH_DATETIME | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(payload, default=_encode_value, option=option)


def dumps(payload: object) -> str:
    """Returns one line of JSON."""
    return encode(payload).decode()


def _encode_value(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.get_default_timezone()).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Promise):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be encoded as JSON")


def task_started(task: CollectionTask, ignored_fields: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the response to a start or a retry: the order as it was understood.

    `ignored_fields` are those of the request that have no meaning here.
    """
    text = _("The collection was started: %(start)s to %(end)s.")
    sentences = [text % {"start": task.start_date, "end": task.end_date}]
    if task.market == SYNTHETIC_MARKET:
        text = _("Its quotes are made up. They are stored in the market %(market)s, apart from real ones.")
        sentences.append(text % {"market": SYNTHETIC_MARKET})
    if task.unknown_codes:
        text = _("Unknown codes, left out: %(codes)s.")
        sentences.append(text % {"codes": name_codes(task.unknown_codes)})
    if ignored_fields:
        text = _("Unknown fields, ignored: %(fields)s.")
        sentences.append(text % {"fields": ", ".join(ignored_fields)})
    return {
        "task_id": str(task.pk),
        "status": "started",
        "message": join_sentences(*sentences),
        **_columns(task, STARTED_COLUMNS),
        "ignored_fields": list(ignored_fields),
        "synthetic": task.market == SYNTHETIC_MARKET,
        "priority": task.priority_name,
        "retry_of": str(task.retry_of_id) if task.retry_of_id else None,
    }


def task_cancelled(task: CollectionTask) -> dict[str, Any]:
    """Returns the response to a cancel."""
    return {"message": _("The task was cancelled."), "task_id": str(task.pk)}


def task_paused(task: CollectionTask) -> dict[str, Any]:
    """Returns the response to a pause or a resume."""
    message = _("The task was paused.") if task.paused_at else _("The task was resumed.")
    return {"message": message, "task_id": str(task.pk), "paused_at": task.paused_at}


def current_task(task: CollectionTask | None) -> dict[str, Any]:
    """Returns the running task, or null, in exactly the contract's three keys."""
    keys = task and {"task_id": str(task.pk), "status": task.status, "start_time": task.start_time}
    return {"current_task": keys}


def task_statuses(tasks: Iterable[CollectionTask]) -> list[dict[str, Any]]:
    """Returns the status payloads of many tasks, without further queries for each ended task."""
    tasks = list(tasks)
    details, shares = selectors.failed_details(tasks), selectors.shares_by_source(tasks)
    parts = chains.chains_of(tasks)
    return [_status(task, details[task.pk], shares[task.pk], parts.get(task.pk)) for task in tasks]


def task_status_summary(task: CollectionTask) -> dict[str, Any]:
    """Returns the status payload without `failed_details` and `sources`, which cost queries of their own.

    Both change only together with the counters, so an equal summary means an equal payload.
    """
    return _status(task, [], {}, chains.chains_of([task]).get(task.pk))


def complete_status(summary: dict[str, Any], task: CollectionTask) -> dict[str, Any]:
    """Returns the whole status payload of a summary."""
    details, shares = selectors.failed_details([task]), selectors.shares_by_source([task])
    return summary | {"failed_details": details[task.pk], "sources": dict(shares[task.pk])}


def _status(
    task: CollectionTask, details: list[str], shares: Mapping[str, Any], chain: Chain | None
) -> dict[str, Any]:
    """Returns the contract's status payload, plus keys of ours."""
    return {
        "task_id": str(task.pk),
        **_columns(task, CONTRACT_COLUMNS),
        "error_message": task.error_message or None,
        "failed_details": details,
        **_columns(task, FURTHER_COLUMNS),
        "synthetic": task.market == SYNTHETIC_MARKET,
        "paused_by": task.paused_by if task.paused_at else None,
        "unattended": selectors.is_unattended(task),
        **_source_pause(task),
        "notice": _notice(task),
        "fallbacks": task.fallbacks,
        "plan": {"id": task.plan_id, "name": task.plan_name} if task.plan_id else None,
        "sources": dict(shares),
        "retry_of": str(task.retry_of_id) if task.retry_of_id else None,
        "priority": task.priority_name,
        "yielded_to": {"id": task.yields_to_id, "name": task.yields_to_name} if task.yields_to_id else None,
        "continues": str(task.continues_id) if task.continues_id else None,
        "continued_by": str(chain.continued_by) if chain and chain.continued_by else None,
        "chain": chain_progress(chain) if chain else None,
    }


def chain_progress(chain: Chain) -> dict[str, Any]:
    """Returns the progress of a whole chain, in stocks."""
    names = ("total", "completed", "failed", "remaining", "parts", "goes_on")
    return {name: getattr(chain, name) for name in names}


def _notice(task: CollectionTask) -> str | None:
    """Why a task that completed had nothing to collect, in the reader's language; None otherwise."""
    has_nothing = task.status == TaskStatus.COMPLETED and not task.total_stocks
    return str(reasons.NOTHING_LEFT) if has_nothing and task.full_collection_mode else None


def _source_pause(task: CollectionTask) -> dict[str, Any]:
    """Until when a running task's source takes no requests, and why; nulls while it takes them."""
    limiter = limiter_status.status_of(task.source) if task.status == TaskStatus.RUNNING else None
    if limiter is None or not limiter.is_blocked:
        return {"source_paused_until": None, "source_message": None}
    return {"source_paused_until": limiter.paused_until, "source_message": limiter.reason}


def _columns(task: CollectionTask, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(task, name) for name in names}


def plan(plan: CollectionPlan) -> dict[str, Any]:
    """Returns a plan with what it orders, when it is due, and how its last run began."""
    return {
        "id": plan.pk,
        **{name: getattr(plan, name) for name in PLAN_COLUMNS},
        "at": f"{plan.at:%H:%M}",
        "priority": Priority.name_of(plan.priority),
        "steps": [plan_steps.values_of(step) for step in plan.steps.all()],
        "time_zone": MARKET_TIME_ZONES[plan.market],
        "next_runs": plans.following_runs(plan, timezone.now()),
        "last_task": str(plan.last_task_id) if plan.last_task_id else None,
        "error_message": plan.error_message or None,
        "made_by": plan.created_by.get_username() if plan.created_by else "",
    }


def plan_started(started: StartedRun) -> dict[str, Any]:
    """Returns the response to a run now: that of its task, or of a run whose first step is no task."""
    run = {"run_id": started.run.pk if started.run else None}
    if started.task:
        return {**task_started(started.task), **run}
    message = _("The run was started; its first step begins within seconds.")
    return {"task_id": None, "status": "started", "message": message, **run}


def plan_run(run: PlanRun) -> dict[str, Any]:
    """Returns a run with its steps and every attempt at them; `attempts` should be prefetched."""
    return {
        "id": run.pk,
        "plan_id": run.plan_id,
        **{name: getattr(run, name) for name in RUN_COLUMNS},
        "error_message": run.error_message or None,
        "steps": [
            {
                "position": step.position,
                "kind": step.kind,
                "state": step.state,
                "attempts": [_attempt(attempt) for attempt in step.attempts],
            }
            for step in run_steps(run)
        ],
    }


def _attempt(attempt: StepAttempt) -> dict[str, Any]:
    return {
        **{name: getattr(attempt, name) for name in ATTEMPT_COLUMNS},
        "task_id": str(attempt.task_id) if attempt.task_id else None,
        "overtook": str(attempt.overtook_id) if attempt.overtook_id else None,
        "error_message": attempt.error_message or None,
    }


ORDER_VALUES = (
    *("start_date", "end_date", "market", "source", "adjust", "kind", "stock_codes", "test_mode"),
    *("full_collection_mode", "force_update", "fallbacks", "verify_with", "verify_sample"),
)


def queued_order(row: QueuedOrder, position: int | None) -> dict[str, Any]:
    """Returns a queued order; `position` says when it starts: 1 is next, None if it does not wait."""
    return {
        "id": row.pk,
        "state": row.state,
        "priority": row.priority_name,
        "position": position,
        **{name: row.values[name] for name in ORDER_VALUES},
        "queued_at": row.queued_at,
        "queued_by": row.user_name,
        "channel": row.channel,
        "ended_at": row.ended_at,
        "task_id": str(row.task_id) if row.task_id else None,
        "continues": str(row.continues_id) if row.continues_id else None,
        "error_code": row.error_code,
        "error_message": row.error_message or None,
    }


def queued_order_with_events(row: QueuedOrder, position: int | None) -> dict[str, Any]:
    """Returns a queued order, and who did what to it, oldest first."""
    events = row.events.values("kind", "at", "user_name", "channel", "params")
    return {**queued_order(row, position), "events": list(events)}


def order_queued(row: QueuedOrder, position: int | None) -> dict[str, Any]:
    """Returns the response to a start that was queued."""
    message = _("The order is queued. It starts by itself once no task runs. Position: %(position)s.")
    return {
        "status": "queued",
        "message": message % {"position": "–" if position is None else position},
        **queued_order(row, position),
    }


def plan_deleted(plan: CollectionPlan) -> dict[str, Any]:
    """Returns the response to the deletion of a plan."""
    return {"message": _("The plan “%(name)s” was deleted.") % {"name": plan.name}, "id": plan.pk}


def order_forecast(forecast: Forecast) -> dict[str, Any]:
    """Returns the forecast of an order that is not started."""
    estimated, least, most = forecast.estimate, forecast.least, forecast.most
    return {
        "source": forecast.source,
        "stocks": estimated.stocks,
        "unknown_codes": list(estimated.unknown),
        "requests_at_least": least.requests if least else None,
        "requests_at_most": most.requests if most else None,
        "permits_at_least": least.permits if least else None,
        "permits_at_most": most.permits if most else None,
        "requests_to_compare": estimated.compared,
        "quotas": [
            {
                "window": each.window,
                "most": each.most,
                "used": each.used,
                "left": each.left,
                "resets_at": each.resets_at,
            }
            for each in forecast.quotas
        ],
        "paused_until": forecast.budget.paused_until,
        "fits_today": forecast.fits_today,
        "earliest_end": forecast.earliest_end,
        "earliest_end_of_all": forecast.earliest_end_of_all,
        "summary": join_sentences(*describe_forecast(forecast)),
    }
