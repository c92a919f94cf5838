"""Storing an answer: checked, written and recorded in one short fenced transaction."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import DataError, IntegrityError, transaction

from tasks_app import lifecycle, turns
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.engine import quality, writer
from tasks_app.lifecycle import Claim, Outcome
from tasks_app.models import CollectionTask
from tasks_app.models.tasks import ItemState
from tasks_app.sources.base import Bar, Request

logger = logging.getLogger(__name__)
Bars = Sequence[Bar]


class Keeper:
    """Records how the stocks of a task ended. Every method raises `LostFence` once the claim is lost."""

    def __init__(self, task: CollectionTask, source: str) -> None:
        self.task = task
        self.source = source

    def keep(self, claim: Claim, request: Request, answer: Bars) -> None:
        """Check an answer and store what is good of it."""
        today = datetime.now(ZoneInfo(MARKET_TIME_ZONES[self.task.market])).date()
        try:
            good, refused = quality.sift(answer, request, today)
        except (TypeError, ValueError, AttributeError) as error:
            self.fail(claim, "bad_answer", f"The source's answer is no list of bars: {error}")
            return
        outcome = Outcome(ItemState.FAILED if refused and not good else ItemState.SUCCEEDED)
        if refused:
            first = refused[0]
            outcome = replace(
                outcome, refused=len(refused), error_code=first.code, error_message=first.message
            )
        try:
            self._write(claim, request, good, outcome)
        except (DataError, IntegrityError) as error:
            logger.exception("the database refused the bars of %s", claim.code)
            self.fail(claim, "not_storable", f"The database refused the bars: {error}")

    def fail(self, claim: Claim, code: str, message: str) -> None:
        """Record a stock that failed for good."""
        with transaction.atomic():
            outcome = Outcome(ItemState.FAILED, error_code=code[:40], error_message=clean(message))
            lifecycle.record(claim, outcome)

    def _write(self, claim: Claim, request: Request, bars: Bars, outcome: Outcome) -> None:
        """One short transaction: the bars first, the task's row last, so that a cancel never waits."""
        turns.let_ahead()
        with transaction.atomic():
            stored = writer.store(request, self.source, bars)
            if outcome.state == ItemState.SUCCEEDED:
                writer.note_stock(request, self.task.full_collection_mode)
            lifecycle.record(claim, replace(outcome, **vars(stored)))


def clean(message: str) -> str:
    """A vendor's sentence as the database can hold it: no NUL, and not a whole page of HTML."""
    return message.replace("\0", "")[:500]
