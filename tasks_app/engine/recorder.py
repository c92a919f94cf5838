"""Records how stocks end: a response is validated, stored and counted in one short fenced transaction."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from django.conf import settings
from django.db import DataError, IntegrityError, transaction

from tasks_app import lifecycle, reasons
from tasks_app.db import sqlite_priority
from tasks_app.engine.request_planner import PlannedRequest, RequestPlanner, StoredState, is_full
from tasks_app.engine.second_source import SecondSource
from tasks_app.engine.source_router import StockRequest
from tasks_app.lifecycle import Claim, Outcome
from tasks_app.market import codes, price_limits, silent_days
from tasks_app.models import CollectionTask, Series
from tasks_app.models.quotes import InstrumentKind
from tasks_app.models.states import ItemState
from tasks_app.quotes import (
    absences,
    adjusted_series,
    adjustment_data,
    date_ranges,
    findings,
    raw_answers,
    retractions,
    series,
    upsert,
    validation,
)
from tasks_app.quotes.absences import AbsentDays, AnsweredRequest
from tasks_app.quotes.corrections import BarDiff, rescale_ratio
from tasks_app.quotes.date_ranges import DAY, DateRange
from tasks_app.quotes.raw_answers import SourceCallRecord
from tasks_app.quotes.series import AnsweredDays, count_bars_within
from tasks_app.quotes.trading_days import TradingDays
from tasks_app.quotes.upsert import Provenance, UpsertResult
from tasks_app.quotes.validation import Issue, ValidationResult
from tasks_app.reasons import sanitize_message
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, Bar, Request
from tasks_app.sources.market_time import market_today

logger = logging.getLogger(__name__)
MAX_START_GAP = timedelta(
    days=15
)  # from a stock's first requested day to its first bar: no holiday is longer
NEWEST_DAYS = 10  # of an answer, by which a day without any quotes is noticed


class Recorder:
    """Records the stocks of a task. Every method raises `StaleClaim` once the claim is lost."""

    def __init__(self, task: CollectionTask, planner: RequestPlanner) -> None:
        self.task, self.planner = task, planner
        self.days = planner.days
        self.second = SecondSource(task, settings.COLLECTOR)
        self._newest_days: dict[str, date] = {}  # the newest bar that each source has sent to this slice
        self.silent_answers = 0  # of the first source without a bar that was to be expected, in this slice
        self._days_with_quotes: dict[str, set[date]] = defaultdict(set)  # newest days of bars, by source

    @property
    def has_quotes(self) -> bool:
        """Whether the first source has sent a bar to this slice."""
        return bool(self._days_with_quotes[self.task.source])

    def record_skipped(self, claim: Claim, stored: StoredState) -> None:
        """Records a stock of which nothing is missing: no request was made."""
        with transaction.atomic():
            skipped = count_bars_within(stored.series, self.planner.window())
            current = stored.series
            covered = date_ranges.parse(current.covered) if current else ()
            full = is_full(stored.stock, covered, self.days)
            if full and current:
                series.mark_full(current)
            self._note_stock(claim, stored, is_full=full)
            note = self._note_of_silence(stored)
            lifecycle.record(claim, Outcome(ItemState.SKIPPED, skipped=skipped, note=note))

    def fail(self, claim: Claim, code: str, message: str, records: Sequence[SourceCallRecord] = ()) -> None:
        """Records a stock that failed for good, with the raw answers that are kept of it."""
        with transaction.atomic():
            outcome = Outcome(ItemState.FAILED, error_code=code[:40], error_message=sanitize_message(message))
            raw_answers.save(records, claim.item_id, claim.code)
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
        self.second.compare(item, result, answer.suspended)
        try:
            return self._write(item, result, answer, days_are_complete, claim_more)
        except (DataError, IntegrityError) as error:
            logger.exception("the database refused the bars of %s", item.claim.code)
            message = reasons.stored_reason("not_storable", error=error)
            self.fail(item.claim, "not_storable", message, item.records)
            return []

    def _validate(self, item: StockRequest, bars: Sequence[Bar]) -> ValidationResult:
        context = validation_context(item.request, item.stored, self.days)
        return validation.validate(bars, item.request, context)

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
                outcome = self._replace_series(item, result, answer, origin, current)
            else:  # the whole adjusted series must be requested again
                series.mark_for_refetch(current)
                self.planner.forget(item.claim)
                message = reasons.stored_reason("series_moved")
                lifecycle.requeue(item.claim, "series_moved", message, 0.0, item.claim.attempts - 1)
                return []
            adjustment_data.mark_ex_days_of(request, result.bars)
            notes = "; ".join([*answer.notes, *item.adjustment.notes])
            outcome = replace(outcome, note=sanitize_message(notes))
            missing_from = request.missing_from if request.compares else None
            raw_answers.save(item.records, item.claim.item_id, item.claim.code, missing_from)
            if outcome.state == ItemState.SUCCEEDED:
                outcome = self.second.record(item, outcome)
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
        rescaled: list[Issue] = []
        stored = upsert.upsert_bars(
            request,
            origin,
            result.bars,
            expect_new=current is None,
            review=partial(self._review, request, rescaled),
        )
        findings.record_corrections(request, origin, stored.corrections)
        result = _without_known_flags(item, result, stored)
        result = replace(result, flags=[*rescaled, *result.flags])
        findings.record_findings(request, origin, result)
        outcome, removed = _outcome_of(item, result, stored.collected), 0
        if outcome.state == ItemState.SUCCEEDED:
            removed = self._remove_retracted(item, result, answer, origin)
            believed_from = request.start if days_are_complete else _believed_from(item, result, answer)
            answered = self._answered_days(
                item, result, answer, current, certain=days_are_complete, believed_from=believed_from
            )
            self._note_stock(item.claim, item.stored, is_full=answered.is_full)
            series.update_series(request, current, result.bars, stored, answered, recount=bool(removed))
        elif current:
            series.record_absences(current, self._absences(item, result, answer))
        self._note_quotes(item, result, answer, days_are_complete)
        corrected = stored.corrected + removed
        skipped = max(stored.skipped, stored_before - corrected)
        if request.compares:  # bars outside of the task's days are not counted
            first = self.planner.window()[0]
            skipped = stored_before - sum(diff.new.day >= first for diff in stored.corrections)
        return replace(outcome, collected=stored.collected, corrected=corrected, skipped=skipped)

    def _review(
        self, request: PlannedRequest, rescaled: list[Issue], found: Sequence[BarDiff]
    ) -> Sequence[BarDiff]:
        """Returns the corrections to store: none of compared bars whose prices all changed by one ratio.

        Their vendor has adjusted its past, which would turn the last stored bars of an unadjusted series into
        adjusted ones. `rescaled` gets a flag that says so.
        """
        compared = [diff for diff in found if diff.is_correction and diff.new.day < request.missing_from]
        ratio = None if request.adjust or self.task.force_update else rescale_ratio(compared)
        if ratio is None:
            return found
        params = {"ratio": f"{ratio:.6g}", "first": compared[0].new.day.isoformat()}
        rescaled.append(Issue("past_rescaled", compared[-1].new, params))
        return [diff for diff in found if diff.new.day >= request.missing_from]

    def _note_of_silence(self, stored: StoredState) -> str:
        """Returns a sentence with the days not requested of a stock because no stock has quotes of them."""
        if not (days := self.planner.days_without_quotes(stored)):
            return ""
        texts = ", ".join(day.isoformat() for day in days)
        sources = ", ".join(self.planner.sources())
        return f"not requested for {texts}: {sources} had no quotes of that day for any stock"

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
        self,
        item: StockRequest,
        result: ValidationResult,
        answer: Answer,
        origin: Provenance,
        current: Series,
    ) -> Outcome:
        """Replaces a whole adjusted series, or fails and keeps the stored one."""
        request, outcome = item.request, _outcome_of(item, result)
        lost = adjusted_series.lost_days(request, result.bars)
        if adjusted_series.is_truncated(current, result.bars, lost):
            series.mark_for_refetch(current)
            findings.record_findings(request, origin, result)
            message = reasons.stored_reason("series_cut", lost=len(lost), stored=current.bars)
            return replace(outcome, state=ItemState.FAILED, error_code="series_cut", error_message=message)
        stored = upsert.upsert_bars(request, origin, result.bars, overwrite=True)
        adjusted_series.delete_days(request, lost)
        findings.record_findings(request, origin, result)
        findings.record_rebase(request, origin, stored.corrections, lost)
        answered = self._answered_days(item, result, answer, None, believed_from=request.start)
        self._note_stock(item.claim, item.stored, is_full=answered.is_full)
        series.update_series(request, None, result.bars, stored, answered)
        if current.full_at and not answered.is_full:
            series.withdraw_full_history(request.market, request.code)
        corrected = stored.corrected + len(lost)
        return replace(outcome, collected=stored.collected, corrected=corrected, skipped=stored.skipped)

    def _answered_days(
        self,
        item: StockRequest,
        result: ValidationResult,
        answer: Answer,
        current: Series | None,
        *,
        certain: bool = False,
        believed_from: date,
    ) -> AnsweredDays:
        """Returns the series' answered days with this answer's; `current` None leaves out older ones.

        The days before `believed_from` do not count as answered.
        """
        request, bars, source = item.request, result.bars, item.source.name
        newest = max(self._newest_days.get(source, date.min), bars[-1].day if bars else date.min)
        self._newest_days[source] = newest
        answered = series.answered_until(request, current, result, self.days, newest, certain=certain)
        covered = date_ranges.parse(current.covered) if current else []
        history_may_grow = registry.traits(source, settings.COLLECTOR).history_may_grow
        if history_may_grow and bars:  # its silence says nothing about what it will have tomorrow
            covered = date_ranges.add_range(covered, (bars[0].day, bars[-1].day), self.days.contiguous)
        elif not history_may_grow and answered and answered >= believed_from:
            covered = date_ranges.add_range(covered, (believed_from, answered), self.days.contiguous)
        absent = self._absences(item, result, answer)
        return AnsweredDays(covered, absent, is_full(item.stored.stock, covered, self.days))

    def _absences(self, item: StockRequest, result: ValidationResult, answer: Answer) -> list[AbsentDays]:
        """Returns why days of the series have no bar, with what this answer says of the missing ones."""
        request, current = item.request, item.stored.series
        first = request.first_missing
        asked: DateRange = first, min(request.end, self.days.last_closed)
        answered = AnsweredRequest(
            asked,
            item.source.name,
            market_today(request.market),
            bars=[bar.day for bar in result.bars if bar.day >= first],
            suspended=answer.suspended,
            refused={issue.day for issue in result.refused},
            expected=self.days.expected,
        )
        before = absences.clear(absences.parse(current.absences) if current else (), [asked])
        return absences.overlay(before, answered.absences())

    def _note_quotes(
        self, item: StockRequest, result: ValidationResult, answer: Answer, days_are_complete: bool
    ) -> None:
        """Notes of which newest days the source has quotes, and of which this answer has none.

        Not of one that a stock fell back to: the request may have been planned for days of another source.
        """
        if item.source.name != item.request.source or self.task.total_stocks <= silent_days.WITNESSES:
            return
        request, market, source = item.request, self.task.market, item.source.name
        first = request.first_missing  # stored bars that are compared say nothing of the newest days
        days = [bar.day for bar in result.bars[-NEWEST_DAYS:]] + [issue.day for issue in result.refused]
        days = [day for day in days if day >= first]
        if days_are_complete:
            days += self.days.expected(first, min(request.end, self.days.last_closed))
        known = self._days_with_quotes[source]
        if new := set(days) - known:
            silent_days.forget(market, source, new)
            known |= new
        lacking = self._unexpectedly_lacking(item, answer)
        if lacking := [day for day in lacking if day not in known]:
            last_bar = result.bars[-1].day if result.bars else None
            silent_days.add_answers(self.task, request.code, lacking, last_bar, source)
            self.planner.forget_silent_days()
            self.silent_answers += source == self.task.source

    def _unexpectedly_lacking(self, item: StockRequest, answer: Answer) -> Sequence[date]:
        """Returns the first days after the stock's stored bars, if the answer is about them.

        A stock that traded up to the session before should have a bar on them, unless it is suspended now.
        """
        request, current, stock = item.request, item.stored.series, item.stored.stock
        if current is None or current.last_day is None or (stock and stock.delisted_on):
            return ()
        end = min(request.end, self.days.last_closed)
        following = self.days.expected(current.last_day + DAY, end) if current.last_day < end else ()
        settled = self.planner.silent_days_of(item.source.name)
        following = [day for day in following if day not in settled][:NEWEST_DAYS]
        if not following or following[0] < request.start:
            return ()
        return [day for day in following if day not in answer.suspended]

    def _note_stock(self, claim: Claim, stored: StoredState, *, is_full: bool) -> None:
        """Makes sure that the stock has a row, and marks its full history when it becomes full.

        Before its series is written, whose trigger sums it up in that row: a stock list may add it meanwhile.
        """
        becomes_full = is_full and not (stored.series and stored.series.full_at)
        if becomes_full or stored.stock is None:
            upsert.save_stock(self.task.market, claim.code, becomes_full)


def validation_context(request: Request, stored: StoredState, days: TradingDays) -> validation.Context:
    """Returns what the validation of a stock's response needs to know, given what is stored of it."""
    limit = price_limits.price_limit_for(request.market, request.code, stored.stock)
    return validation.Context(
        today=market_today(request.market),
        non_sessions=days.non_sessions,
        price_limits=None if request.adjust else limit,
        is_index=codes.kind_of(request.market, request.code) == InstrumentKind.INDEX,
        previous_close=partial(series.close_before, request),
        first_day=stored.series.first_day if stored.series else None,
        explains_jump=partial(adjustment_data.explains_jump, request),
    )


def _believed_from(item: StockRequest, result: ValidationResult, answer: Answer) -> date:
    """Returns the first day of a response that counts as answered.

    A stock that was listed already should have bars soon after the requested start. If it has none, and the
    source does not confirm that, its history may have been cut: the days before the first bar are requested
    again, and a second such response is believed.
    """
    start, stock, series = item.request.start, item.stored.stock, item.stored.series
    if answer.is_whole or not result.bars or stock is None or stock.listed_on is None:
        return start
    first = result.bars[0].day
    was_told_before = series is not None and series.first_day is not None and series.first_day <= first
    if was_told_before or first - max(start, stock.listed_on) <= MAX_START_GAP:
        return start
    return first


def _without_known_flags(
    item: StockRequest, result: ValidationResult, stored: UpsertResult
) -> ValidationResult:
    """Returns the result without the flags of compared bars that are still the same: they were counted."""
    changed, first = {diff.new.day for diff in stored.corrections}, item.request.missing_from
    return replace(result, flags=[flag for flag in result.flags if flag.day >= first or flag.day in changed])


def _outcome_of(item: StockRequest, result: ValidationResult, collected: int = 0) -> Outcome:
    """Returns the outcome without counts of stored bars.

    A response with only refused bars of the missing days has failed, whatever it has of the compared ones,
    unless bars of these were `collected`.
    """
    start, missing_from = item.request.start, item.request.missing_from
    is_refused = any(not start <= issue.day < missing_from for issue in result.refused)
    has_news = collected > 0 or any(bar.day >= missing_from for bar in result.bars)
    state = ItemState.FAILED if is_refused and not has_news else ItemState.SUCCEEDED
    refused = len(result.refused)
    outcome = Outcome(state, source=item.source.name, refused=refused, flagged=result.flagged_count)
    if not refused:
        return outcome
    first = result.refused[0]
    return replace(outcome, error_code=first.code, error_message=sanitize_message(first.message))
