"""Storing an answer: checked, written and recorded in one short fenced transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from django.conf import settings
from django.db import DataError, IntegrityError, transaction

from tasks_app import lifecycle
from tasks_app.db import sqlite_priority
from tasks_app.engine import request_planner
from tasks_app.engine.request_planner import RequestPlanner, StoredState
from tasks_app.lifecycle import Claim, Outcome
from tasks_app.market import price_limits
from tasks_app.models import CollectionTask, Series
from tasks_app.models.tasks import ItemState
from tasks_app.quotes import (
    adjusted_series,
    date_ranges,
    findings,
    series,
    upsert,
    validation,
)
from tasks_app.quotes.date_ranges import DateRange
from tasks_app.quotes.series import count_bars_within
from tasks_app.quotes.upsert import Provenance, UpsertResult
from tasks_app.quotes.validation import ValidationResult
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Request
from tasks_app.sources.market_time import market_today

logger = logging.getLogger(__name__)
Bars = Sequence[Bar]
MOVED = "The adjusted prices moved, as after a dividend or split: the series is asked for again as a whole."


@dataclass(frozen=True)
class Answer:
    """What was asked, what the checks left of the answer, and where it came from."""

    request: Request
    sifted: ValidationResult
    origin: Provenance


class Recorder:
    """Records how the stocks of a task ended. Every method raises `StaleClaim` once the claim is lost."""

    def __init__(self, task: CollectionTask, known: RequestPlanner) -> None:
        self.task = task
        self.missing = known
        self.days = known.days
        self._newest: dict[str, date] = {}  # the newest bar that each source has sent to this keeper

    def keep_nothing(self, claim: Claim) -> None:
        """Record a stock of which nothing is missing: no source was asked."""
        with transaction.atomic():
            stored = count_bars_within(self._known(claim).series, self.missing.window())
            self._note_stock(claim, full=self.task.full_collection_mode)
            lifecycle.record(claim, Outcome(ItemState.SKIPPED, skipped=stored))

    def keep(
        self,
        claim: Claim,
        request: Request,
        answer: Bars,
        source: str,
        *,
        certain: bool = False,
        more: int = 0,
    ) -> list[Claim]:
        """Check an answer of a source and store what is good of it; up to `more` stocks claimed with it.

        `certain`: a day without a bar truly had none, since the answer held other stocks' bars of it.
        An adjusted series that has moved is handed back, to be asked for as a whole at once.
        """
        try:
            sifted = self._sift(claim, request, answer)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            self.fail(claim, "bad_answer", f"The source's answer is no list of bars: {error}")
            return []
        try:
            told = Answer(request, sifted, Provenance(source, claim.item_id))
            return self._write(claim, told, certain=certain, more=more)
        except (DataError, IntegrityError) as error:
            logger.exception("the database refused the bars of %s", claim.code)
            self.fail(claim, "not_storable", f"The database refused the bars: {error}")
            return []

    def fail(self, claim: Claim, code: str, message: str) -> None:
        """Record a stock that failed for good."""
        with transaction.atomic():
            outcome = Outcome(ItemState.FAILED, error_code=code[:40], error_message=clean(message))
            lifecycle.record(claim, outcome)

    def _sift(self, claim: Claim, request: Request, answer: Bars) -> ValidationResult:
        known = self._known(claim)
        context = validation.Context(
            today=market_today(request.market),
            non_sessions=self.days.non_sessions,
            price_limits=None
            if request.adjust
            else price_limits.price_limit_for(request.market, request.code, known.stock),
            previous_close=partial(series.close_before, request),
            first_day=known.series.first_day if known.series else None,
        )
        return validation.validate(answer, request, context)

    def _write(self, claim: Claim, answer: Answer, *, certain: bool, more: int) -> list[Claim]:
        """One short transaction: the bars first, the task's row last, so that a cancel never waits."""
        request, bars = answer.request, answer.sifted.bars
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            held = self._known(claim).series
            if held is None or not adjusted_series.is_rebased(held, request, bars):
                outcome = self._add(claim, answer, held, certain=certain)
            elif adjusted_series.spans_series(held, request):
                outcome = self._replace(claim, answer, held)
            else:
                series.mark_for_refetch(held)
                self.missing.forget(claim)
                lifecycle.requeue(claim, "series_moved", MOVED, 0.0, claim.attempts - 1)
                return []
            findings.record_findings(request, answer.origin, answer.sifted)
            return lifecycle.record_and_claim(claim, outcome, more)

    def _add(self, claim: Claim, answer: Answer, held: Series | None, *, certain: bool) -> Outcome:
        """Store the bars beside those that are there; the outcome."""
        request, bars = answer.request, answer.sifted.bars
        before = count_bars_within(held, self.missing.window())
        stored = upsert.upsert_bars(request, answer.origin, bars, expect_new=held is None)
        findings.record_corrections(request, answer.origin, stored.corrections)
        outcome = self._outcome(answer)
        if outcome.state == ItemState.SUCCEEDED:
            self._remember(claim, answer, held, stored, certain=certain)
        skipped = max(stored.skipped, before - stored.corrected)
        return replace(outcome, collected=stored.collected, corrected=stored.corrected, skipped=skipped)

    def _replace(self, claim: Claim, answer: Answer, held: Series) -> Outcome:
        """Put a whole adjusted series in the place of the stored one, or fail and leave it; the outcome."""
        request, bars, outcome = answer.request, answer.sifted.bars, self._outcome(answer)
        lost = adjusted_series.lost_days(request, bars)
        if adjusted_series.is_truncated(held, bars, lost):
            series.mark_for_refetch(held)
            message = f"The source's answer lacks {len(lost)} of {held.bars} days of the series that moved."
            return replace(outcome, state=ItemState.FAILED, error_code="series_cut", error_message=message)
        stored = upsert.upsert_bars(request, answer.origin, bars, overwrite=True)
        adjusted_series.delete_days(request, lost)
        findings.record_rebase(request, answer.origin, stored.corrections, lost)
        self._remember(claim, answer, None, stored, certain=False)
        corrected = stored.corrected + len(lost)
        return replace(outcome, collected=stored.collected, corrected=corrected, skipped=stored.skipped)

    def _known(self, claim: Claim) -> StoredState:
        """What was read of the stock when it was asked for: nobody but its claim's holder changes it."""
        return self.missing.in_hand.get(claim.code) or StoredState()

    def _remember(
        self, claim: Claim, answer: Answer, held: Series | None, stored: UpsertResult, *, certain: bool
    ) -> None:
        """Note what is stored of the stock now, and which days count as answered."""
        covered = self._covered(answer, held, certain=certain)
        series.update_series(answer.request, held, answer.sifted.bars, stored, covered)
        full = self.task.full_collection_mode and self._is_full(claim, answer, covered)
        self._note_stock(claim, full=full)

    def _is_full(self, claim: Claim, answer: Answer, covered: Sequence[DateRange]) -> bool:
        """Whether nothing of the task's days is missing; of a source that may grow, what it has is all."""
        if registry.traits(answer.origin.source, settings.COLLECTOR).history_may_grow:
            return bool(answer.sifted.bars)
        window = request_planner.listed(self.missing.window(), self._known(claim).stock)
        return self.days.missing_range(window, covered) is None

    def _note_stock(self, claim: Claim, *, full: bool) -> None:
        """Make sure the stock is known, and that its history is full, if it is."""
        if full or self._known(claim).stock is None:
            upsert.save_stock(self.task.market, claim.code, full)

    def _outcome(self, answer: Answer) -> Outcome:
        sifted = answer.sifted
        state = ItemState.FAILED if sifted.rejected and not sifted.bars else ItemState.SUCCEEDED
        source = answer.origin.source
        outcome = Outcome(state, refused=len(sifted.rejected), flagged=sifted.flagged_count, source=source)
        if not sifted.rejected:
            return outcome
        first = sifted.rejected[0]
        return replace(outcome, error_code=first.code, error_message=clean(first.message))

    def _covered(self, answer: Answer, held: Series | None, *, certain: bool) -> list[DateRange]:
        """The days that count as answered, now that this answer is in."""
        bars, source = answer.sifted.bars, answer.origin.source
        newest = max(self._newest.get(source, date.min), bars[-1].day if bars else date.min)
        self._newest[source] = newest
        believed = series.answered_until(
            answer.request, held, answer.sifted, self.days, newest, certain=certain
        )
        covered = date_ranges.parse(held.covered) if held else []
        span = answer.request.start, believed or date.min
        history_may_grow = registry.traits(source, settings.COLLECTOR).history_may_grow
        if history_may_grow and bars:  # its silence says nothing of what it will have
            span = bars[0].day, bars[-1].day
        elif history_may_grow or believed is None or believed < answer.request.start:
            return covered
        return date_ranges.add_range(covered, span, self.days.contiguous)


def clean(message: str) -> str:
    """A vendor's sentence as the database can hold it: no NUL, and not a whole page of HTML."""
    return message.replace("\0", "")[:500]
