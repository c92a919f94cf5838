"""The refresh of a source's stock list, a step of a plan, as django-q2 runs it."""

import logging
from functools import partial
from typing import Any

from django.conf import settings

from tasks_app import errors
from tasks_app.engine import item_planner
from tasks_app.engine.source_check import LINE_SECONDS
from tasks_app.lifecycle import plan_runs, run_order
from tasks_app.lifecycle.plan_runs import StaleRun
from tasks_app.market import stock_list
from tasks_app.models import StepAttempt
from tasks_app.models.plan_runs import AttemptState
from tasks_app.orders import order as orders
from tasks_app.sources import registry
from tasks_app.sources.base import SourceError
from tasks_app.sources.market_time import market_today
from tasks_app.workers import job_time

MARGIN = 60.0  # seconds beyond those of the request and its wait for a permit: to store the list
logger = logging.getLogger("tasks_app.worker")


def run(attempt_id: int, generation: int) -> None:
    """Requests and stores the list of a queued step, and ends the step; once, however often it is called."""
    seconds = settings.COLLECTOR.fetch_timeout + LINE_SECONDS + MARGIN
    if (attempt := plan_runs.begin_job(attempt_id, generation, seconds)) is None:
        return
    job_time.extend(seconds)
    try:
        try:
            counts = _refresh(attempt)
        except (errors.OrderError, SourceError) as error:
            plan_runs.end_step(attempt, AttemptState.FAILED, error.code, str(error))
        else:
            plan_runs.end_step(attempt, AttemptState.COMPLETED, result=counts)
    except StaleRun:
        logger.info("another worker refreshes the stock list of step %s", attempt)


def _refresh(attempt: StepAttempt) -> dict[str, int]:
    """Stores the list. Returns its size and how many stocks it added, renamed and delisted.

    Raises `OrderError`, `SourceError`, and `StaleRun` when another worker has taken the job.
    """
    step, conf = run_order.step_of(attempt.run), settings.COLLECTOR
    market, name, kind = step["market"], step["source"], step["of"]
    orders.check_market(market, orders.get_source(name, conf))
    symbols = item_planner.fetch_stock_list_now(name, market, conf, kind)
    options: dict[str, Any] = {
        "today": market_today(market),
        "kind": kind,
        "accept_shrink": registry.traits(name, conf).list_is_free,
    }
    synced = stock_list.sync(market, name, symbols, **options, fence=partial(plan_runs.require_job, attempt))
    return {name: getattr(synced, name) for name in ("size", "added", "renamed", "delisted")}
