"""A check of a source, as django-q2 runs it."""

import logging
from collections.abc import Iterator
from dataclasses import asdict

from django.conf import settings
from django.utils import translation

from tasks_app import errors
from tasks_app.engine.source_check import LINE_SECONDS, CapabilityCheck, check_source
from tasks_app.lifecycle import source_checks
from tasks_app.lifecycle.source_checks import StaleCheck
from tasks_app.orders import order as orders
from tasks_app.workers import job_time

MARGIN = 30.0  # seconds beyond those of a request and its wait for a permit
logger = logging.getLogger("tasks_app.worker")


def run(source: str, generation: int) -> None:
    """Makes the requests of a queued check, and stores what each of them brought as soon as it is known."""
    seconds = settings.COLLECTOR.fetch_timeout + LINE_SECONDS + MARGIN
    if (check := source_checks.begin(source, generation, seconds)) is None:
        return
    with translation.override(check.language):
        try:
            job_time.extend(seconds)
            for result in _results(source, check.market):
                source_checks.add_result(check, {**asdict(result), "works": result.works}, seconds)
                job_time.extend(seconds)
            source_checks.end(check)
        except StaleCheck:
            logger.info("a later check of %s was asked for", source)


def _results(source: str, market: str) -> Iterator[CapabilityCheck]:
    """Yields the results; one that says why, if this machine can't use the source."""
    try:
        orders.check_market(market, orders.get_source(source, settings.COLLECTOR))
    except errors.OrderError as error:
        yield CapabilityCheck("settings", market, error_code=error.code, error=str(error))
        return
    yield from check_source(source, market, settings.COLLECTOR)
