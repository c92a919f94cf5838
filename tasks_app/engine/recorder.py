"""Records how stocks end: a response is validated, stored and counted in one short fenced transaction."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from django.conf import settings
from django.db import DataError, IntegrityError, transaction

from tasks_app import errors, lifecycle
from tasks_app.db import sqlite_priority
from tasks_app.engine.request_planner import RequestPlanner, StoredState, listed_days
from tasks_app.engine.source_router import StockRequest
from tasks_app.errors import sanitize_message
from tasks_app.lifecycle import Claim, Outcome
from tasks_app.market import price_limits
from tasks_app.models import CollectionTask, Series
from tasks_app.models.states import ItemState
from tasks_app.quotes import (
    adjusted_series,
    adjustment_data,
    date_ranges,
    findings,
    retractions,
    series,
    upsert,
    validation,
)
from tasks_app.quotes.series import count_bars_within
from tasks_app.quotes.upsert import Provenance, UpsertResult
from tasks_app.quotes.validation import ValidationResult
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, Bar
from tasks_app.sources.market_time import market_today

logger = logging.getLogger(__name__)


class Recorder:
    """Records the stocks of a task. Every method raises `StaleClaim` once the claim is lost."""

    def __init__(self, task: CollectionTask, planner: RequestPlanner) -> None:
        self.task, self.planner = task, planner
        self.days = planner.days
        self._newest_days: dict[str, date] = {}  # the newest bar that each source has sent to this slice

    def record_skipped(self, claim: Claim, stored: StoredState) -> None:
        """Records a stock of which nothing is missing: no request was made."""
        with transaction.atomic():
            skipped = count_bars_within(stored.series, self.planner.window())
            self._note_stock(claim, stored, is_full=self.task.full_collection_mode)
            lifecycle.record(claim, Outcome(ItemState.SKIPPED, skipped=skipped))

    def fail(self, claim: Claim, code: str, message: str) -> None:
        """Records a stock that failed for good."""
        with transaction.atomic():
            outcome = Outcome(ItemState.FAILED, error_code=code[:40], error_message=sanitize_message(message))
            lifecycle.record(claim, outcome)

    def store(
        self, item: StockRequest, bars: Sequence[Bar], *, days_are_complete: bool = False, claim_more: int = 0
    ) -> list[Claim]:
        """Validates a response, stores its valid bars and records the stock; a rebased series is requeued.

        `days_are_complete`: a day without a bar truly had none, because the response held other stocks'
        bars of that day. Up to `claim_more` stocks are claimed in the same commit and returned.
        """
        result = self._validate(item, bars)
        answer = bars if isinstance(bars, Answer) else Answer()
        try:
            return self._write(item, result, answer, days_are_complete, claim_more)
        except (DataError, IntegrityError) as error:
            logger.exception("the database refused the bars of %s", item.claim.code)
            self.fail(item.claim, "not_storable", errors.stored_reason("not_storable", error=error))
            return []

    def _validate(self, item: StockRequest, bars: Sequence[Bar]) -> ValidationResult:
        request, stored = item.request, item.stored
        limit = price_limits.price_limit_for(request.market, request.code, stored.stock)
        context = validation.Context(
            today=market_today(request.market),
            non_sessions=self.days.non_sessions,
            price_limits=None if request.adjust else limit,
            previous_close=partial(series.close_before, request),
            first_day=stored.series.first_day if stored.series else None,
            explains_jump=partial(adjustment_data.explains_jump, request),
        )
        return validation.validate(bars, request, context)

    def _write(
        self,
        item: StockRequest,
        result: ValidationResult,
        answer: Answer,
        days_are_complete: bool,
        claim_more: int,
    ) -> list[Claim]:
        """One short transaction: the bars first, the task's row last, so that a cancel never waits."""
        request, current = item.request, item.stored.series
        origin = Provenance(item.source.name, item.claim.item_id)
        sqlite_priority.yield_to_interactive()
        with transaction.atomic():
            if current is None or not adjusted_series.is_rebased(current, request, result.bars):
                outcome = self._add_bars(item, result, answer, origin, days_are_complete)
            elif adjusted_series.spans_series(current, request):
                outcome = self._replace_series(item, result, origin, current)
            else:  # the whole adjusted series must be requested again
                series.mark_for_refetch(current)
                self.planner.forget(item.claim)
                message = errors.stored_reason("series_moved")
                lifecycle.requeue(item.claim, "series_moved", message, 0.0, item.claim.attempts - 1)
                return []
            findings.record_findings(request, origin, result)
            if item.adjustment.lacks:
                adjustment_data.mark_lacking(request, origin.source, item.adjustment.lacks)
            notes = "; ".join([*answer.notes, *item.adjustment.notes])
            outcome = replace(outcome, note=sanitize_message(notes))
            return lifecycle.record_and_claim(item.claim, outcome, claim_more)

    def _add_bars(
        self,
        item: StockRequest,
        result: ValidationResult,
        answer: Answer,
        origin: Provenance,
        days_are_complete: bool,
    ) -> Outcome:
        """Adds the bars to the stored series, and removes those that the source no longer has."""
        request, current = item.request, item.stored.series
        stored_before = count_bars_within(current, self.planner.window())
        stored = upsert.upsert_bars(request, origin, result.bars, expect_new=current is None)
        findings.record_corrections(request, origin, stored.corrections)
        outcome, removed = _outcome_of(item, result), 0
        if outcome.state == ItemState.SUCCEEDED:
            removed = self._remove_retracted(item, result, answer, origin)
            self._update_series(item, result, current, stored, days_are_complete, recount=bool(removed))
        corrected = stored.corrected + removed
        skipped = max(stored.skipped, stored_before - corrected)
        return replace(outcome, collected=stored.collected, corrected=corrected, skipped=skipped)

    def _remove_retracted(
        self, item: StockRequest, result: ValidationResult, answer: Answer, origin: Provenance
    ) -> int:
        """Removes the bars that were wrong because the source no longer has them. Returns their number."""
        source = item.source.name
        if not self.task.force_update or not registry.traits(source, settings.COLLECTOR).retracts_bars:
            return 0
        removed = retractions.remove_retracted(
            item.request, source, result, answer.suspended, self.days.non_sessions
        )
        findings.record_retractions(item.request, origin, removed)
        return len(removed)

    def _replace_series(
        self, item: StockRequest, result: ValidationResult, origin: Provenance, current: Series
    ) -> Outcome:
        """Replaces a whole adjusted series, or fails and keeps the stored one."""
        request, outcome = item.request, _outcome_of(item, result)
        lost = adjusted_series.lost_days(request, result.bars)
        if adjusted_series.is_truncated(current, result.bars, lost):
            series.mark_for_refetch(current)
            message = errors.stored_reason("series_cut", lost=len(lost), stored=current.bars)
            return replace(outcome, state=ItemState.FAILED, error_code="series_cut", error_message=message)
        stored = upsert.upsert_bars(request, origin, result.bars, overwrite=True)
        adjusted_series.delete_days(request, lost)
        findings.record_rebase(request, origin, stored.corrections, lost)
        self._update_series(item, result, None, stored, days_are_complete=False)
        corrected = stored.corrected + len(lost)
        return replace(outcome, collected=stored.collected, corrected=corrected, skipped=stored.skipped)

    def _update_series(
        self,
        item: StockRequest,
        result: ValidationResult,
        current: Series | None,
        stored: UpsertResult,
        days_are_complete: bool,
        *,
        recount: bool = False,
    ) -> None:
        """Updates the series' summary, its answered days, and whether the stock's history is full."""
        request, bars, source = item.request, result.bars, item.source.name
        newest = max(self._newest_days.get(source, date.min), bars[-1].day if bars else date.min)
        self._newest_days[source] = newest
        answered = series.answered_until(
            request, current, result, self.days, newest, certain=days_are_complete
        )
        covered = date_ranges.parse(current.covered) if current else []
        history_may_grow = registry.traits(source, settings.COLLECTOR).history_may_grow
        if history_may_grow and bars:  # its silence says nothing about what it will have tomorrow
            covered = date_ranges.add_range(covered, (bars[0].day, bars[-1].day), self.days.contiguous)
        elif not history_may_grow and answered and answered >= request.start:
            covered = date_ranges.add_range(covered, (request.start, answered), self.days.contiguous)
        series.update_series(request, current, bars, stored, covered, recount=recount)
        is_full = False
        if self.task.full_collection_mode:
            window = listed_days(self.planner.window(), item.stored.stock)
            is_full = bool(bars) if history_may_grow else self.days.missing_range(window, covered) is None
        self._note_stock(item.claim, item.stored, is_full=is_full)

    def _note_stock(self, claim: Claim, stored: StoredState, *, is_full: bool) -> None:
        """Makes sure that the stock has a row, and marks its full history."""
        if is_full or stored.stock is None:
            upsert.save_stock(self.task.market, claim.code, is_full)


def _outcome_of(item: StockRequest, result: ValidationResult) -> Outcome:
    """Returns the outcome without counts of stored bars: a response with only refused bars has failed."""
    state = ItemState.FAILED if result.refused and not result.bars else ItemState.SUCCEEDED
    refused = len(result.refused)
    outcome = Outcome(state, source=item.source.name, refused=refused, flagged=result.flagged_count)
    if not refused:
        return outcome
    first = result.refused[0]
    return replace(outcome, error_code=first.code, error_message=sanitize_message(first.message))
