"""A slice's stocks: those that wait for a source, those in flight, and what becomes of each response.

A response is stored, or its stock is tried again later, passed to the next source, or recorded as failed.
"""

import random
from collections.abc import Sequence
from datetime import date
from functools import partial
from itertools import takewhile
from typing import Any, cast

from tasks_app import lifecycle
from tasks_app.conf import Conf
from tasks_app.engine import day_fetches, outcomes, raw_answer_records
from tasks_app.engine.adjustment_requests import AdjustmentRequests
from tasks_app.engine.attempt_log import AttemptLog
from tasks_app.engine.call_pool import Call, CallPool, OutOfMemory
from tasks_app.engine.day_fetches import Day
from tasks_app.engine.recorder import Recorder
from tasks_app.engine.source_calls import SourceCall, batches_of
from tasks_app.engine.source_router import SourceRouter, SourceState, StockRequest
from tasks_app.lifecycle import Claim, Lane
from tasks_app.market import silent_days
from tasks_app.reasons import sanitize_message, stored_reason
from tasks_app.sources.base import Answer, Permanent, SourceError, Transient
from tasks_app.throttle.limiter import Blocked, Permit

PROBES = 20  # the most requests sent slowly to find out whether a day has quotes


class RequestQueue:
    """Owns a slice's work items from claim to record. A stock is either in `waiting` or in flight.

    Every method that writes raises `StaleClaim` once the lane or a claim is lost.
    """

    def __init__(
        self,
        lane: Lane,
        router: SourceRouter,
        recorder: Recorder,
        calls: CallPool[Any],
        conf: Conf,
    ) -> None:
        self.lane, self.router, self.recorder, self.calls, self.conf = lane, router, recorder, calls, conf
        self.second = recorder.second
        self.waiting: list[StockRequest] = []
        self.adjustments = AdjustmentRequests(recorder.task, conf)
        self._days_noted = False
        self._answers = 0  # of the first source to requests for single stocks
        self._attempts = AttemptLog()

    @property
    def sources(self) -> list[SourceState]:
        """The task's sources that can be used here, in fallback order, and then the one to compare with."""
        return [*self.router.sources, *filter(None, [self.second.state])]

    def is_empty(self) -> bool:
        """Whether no stock is waiting or in flight."""
        return self.calls.is_idle() and not self.waiting

    def capacity(self, source: SourceState) -> int:
        """Returns how many more stocks could be requested at once. A claim is an attempt, so never more.

        0 while the slice holds a suspect: it must be the only one that can kill the worker.
        """
        if any(item.claim.is_isolated for item in self._requests_in_hand()):
            return 0
        stocks = 1 if self._is_probing(source) else source.traits.batch_size
        return max(self._free_slots(source) * stocks - len(self.waiting), 0)

    def may_isolate(self) -> bool:
        """Whether this process makes no request, not even an abandoned one that goes on in its thread."""
        return self.is_empty() and not self.calls.abandoned

    def add(self, item: StockRequest) -> None:
        """Adds a claimed stock."""
        self.waiting.append(item)

    def send(self, source: SourceState) -> Blocked | None:
        """Sends the requests of the source's waiting stocks that its limiter permits.

        Stocks whose days of the whole market are cached are recorded without a request. Returns why some
        requests could not be sent; None when there is nothing more to send.
        """
        self.record_from_days(source)
        calls = self._needed_calls(source)
        if source.days.problem:
            self._warn_of_days(source, source.days.problem)
            source.days.problem = ""
        count = min(len(calls), self._free_slots(source))
        if not count or source.cooldown_left():
            return None
        if calls[0].day:  # days come first; noted before the permits begin to run out
            self._note_days(in_flight=True)
        cost = calls[0].cost
        count = sum(1 for _ in takewhile(lambda call: call.cost == cost, calls[:count]))
        permits: list[Permit] | Blocked
        if takes_first_permit := source.source.takes_first_permit:
            permits = source.limiter.wait_ahead(cost) or [Permit()] * count
        else:
            permits = source.limiter.reserve(count, cost)
        if isinstance(permits, Blocked):
            self._note_days(in_flight=self._requests_days())
            return permits
        for call, permit in zip(calls, permits, strict=False):
            call.permit = permit
            source.in_flight += 1
            for item in call.items:
                self.waiting.remove(item)
            if call.day:
                source.days.in_flight.add(call.day)
            if self.conf.keeps_raw_answers(source.name):
                call.record = raw_answer_records.record_of(
                    self.recorder.task, source, call.items, call.day, call.content
                )
            first_cost = cost if takes_first_permit else 0
            self.calls.submit(call, call.run, permit.since, permit.until, call.reserve, first_cost=first_cost)
        return Blocked(0.0) if len(permits) < count else None

    def record_from_days(self, source: SourceState) -> None:
        """Records the waiting stocks whose days of the whole market are all cached."""
        for item in self._waiting_for(source):
            if item.comparison.is_open:
                self._compare_from_days(item)
                continue
            sessions = self._sessions_for(item)
            if sessions and not source.days.missing(sessions) and not item.adjustment.pending:
                item.adjustment.bars = source.days.bars_of(item.claim.code, sessions)
                item.records += source.days.records_of(sessions)
                item.adjustment.days_are_complete = True
                self._attempts.add_days(item, source.name, len(item.adjustment.bars))
                if not self.adjustments.plan_after(item, item.adjustment.bars):
                    self.second.plan(item)
                    self._compare_from_days(item)

    def _compare_from_days(self, item: StockRequest) -> None:
        """Records a waiting stock, unless the second source is to be asked for it by itself."""
        if item.comparison.is_open:
            self.second.take_days(item, self.calls)
        if not item.comparison.is_open:
            self.waiting.remove(item)
            self._record(item)

    def complete(self, call: Call[SourceCall], *, claim_more: bool) -> list[Claim]:
        """Handles a call that has ended. With `claim_more`, new stocks are claimed in a record's commit.

        Returns the new claims.
        """
        source_call, error, source = call.key, call.error, call.key.source
        self._end(source_call, unsent=call.missed)
        self._note_days(in_flight=self._requests_days())
        if call.missed:
            return []
        source.observe_latency(call.seconds)
        outcomes.count(source.counter, call)
        source_call.log_end(call)
        self._attempts.add(source_call.items, source.name, source_call.content, call)
        of_bars = not source_call.content
        is_source_failure = source.record_outcome(source_call.permit, error, of_bars=of_bars)
        if error and (source.blocked() or error.retry_after):  # others about to send must wait as well
            self.recall_waiting()
        if source_call.record and isinstance(error, Permanent):
            source_call.record.error_code = error.code[:40]
        if source_call.day:
            self._complete_day(source_call, call.result, error, is_source_failure)
        if (
            error
            and len(source_call.items) > 1
            and not (is_source_failure or outcomes.concerns_source(error))
        ):
            for item in source_call.items:
                item.batch_limit = len(source_call.items) // 2
                self.add(item)
            return []
        claims: list[Claim] = []
        for item in source_call.items:
            is_last = item is source_call.items[-1]
            if self._take_answer(item, source_call, error or call.result, is_source_failure):
                claims += self._record_if_complete(item, claim_more=claim_more and is_last)
        return claims

    def _take_answer(
        self, item: StockRequest, call: SourceCall, result: Any, is_source_failure: bool
    ) -> bool:
        """Takes what a request brought for one of its stocks, or its error; False if it brought neither."""
        if call.content:
            self._complete_adjustment(item, call, result)
            return True
        if len(call.items) > 1 and not isinstance(result, SourceError):
            result = result.get(item.claim.code)
            if result is None:
                item.batch_limit = 1
                self.add(item)
                return False
        if item.comparison.is_open:  # its raw answer is not kept: a replay would store the bars
            self._complete_comparison(item, result)
            return True
        if call.record and not isinstance(result, Transient | OutOfMemory):
            item.records.append(call.record)
        if isinstance(result, SourceError):
            self._handle_failure(item, result, is_source_failure)
        else:
            self._take_bars(item, result)
        return True

    def _take_bars(self, item: StockRequest, bars: Answer) -> None:
        """Takes a stock's response."""
        source = item.source
        self._answers += self._is_own(source)
        item.adjustment.bars = bars
        if refuted := source.days.refute([bar.day for bar in bars]):
            self._fail_day(source, refuted, day_fetches.NO_BARS, None)

    def _record_if_complete(self, item: StockRequest, *, claim_more: bool) -> list[Claim]:
        """Records a stock that needs no further request. Returns the new claims."""
        if item.adjustment.bars is None:
            return []
        if item.adjustment.pending or self.adjustments.plan_after(item, item.adjustment.bars):
            self.add(item)
            return []
        if self.second.plan(item):
            self.second.take_days(item, self.calls)
        if item.comparison.is_open:
            self.add(item)
            return []
        # After a suspect, the next claim begins with the other suspects.
        may_claim = claim_more and not item.claim.is_isolated and not self._is_probing(item.source)
        return self._record(item, self.capacity(self.router.current()) if may_claim else 0)

    def recall_waiting(self) -> None:
        """Takes back the calls that still wait for their permitted time."""
        for call in self.calls.recall():
            self._end(call, unsent=True)
        self._note_days(in_flight=self._requests_days())

    def release_blocked(self, source: SourceState, blocked: Blocked) -> None:
        """Requeues the stocks of a blocked source; it costs them no attempt."""
        source.set_blocked(blocked)
        delay = 0.0 if source is self.router.current() else blocked.seconds
        for item in self._waiting_for(source):
            self.waiting.remove(item)
            if item.comparison.is_open:
                item.comparison.problem = blocked.reason
                self._record(item)
                continue
            if item.adjustment.bars is not None:
                item.adjustment.notes += (f"{one}: {blocked.reason}" for one in item.adjustment.pending or ())
                self._record(item)
                continue
            lifecycle.requeue(item.claim, item.error_code, item.history, delay, item.attempts - 1)

    def release_all(self) -> None:
        """Drops the waiting stocks: closing the lane requeues them. One that fell back keeps its source.

        Those that wait to be compared are dropped, too: both sources are asked again.
        """
        for item in self.waiting:
            if item.comparison.is_open:
                continue
            if item.adjustment.bars is not None:
                self._record(item)
            elif item.attempts > item.claim.attempts:
                lifecycle.requeue(item.claim, item.error_code, item.history, 0.0, item.attempts - 1)
        self.waiting.clear()

    def release_all_but_compared(self) -> None:
        """Drops the waiting stocks, except those that wait to be compared."""
        compared = [item for item in self.waiting if item.comparison.is_open]
        self.release_all()
        self.waiting = compared

    def stop_comparing(self) -> None:
        """Records the stocks that wait to be compared as they are."""
        for item in [item for item in self.waiting if item.comparison.is_open]:
            self.waiting.remove(item)
            item.comparison.problem = stored_reason("too_slow")
            self._record(item)

    def _record(self, item: StockRequest, claim_more: int = 0) -> list[Claim]:
        """Records a stock with its bars. Returns the new claims."""
        progress = item.adjustment
        bars = () if progress.bars is None else progress.bars  # without a bar it may still say why
        return self.recorder.store(
            item, bars, days_are_complete=progress.days_are_complete, claim_more=claim_more
        )

    def _complete_comparison(self, item: StockRequest, result: Answer | SourceError) -> None:
        """Takes the second source's bars of a stock, or why there are none; it may be asked again."""
        comparison = item.comparison
        if not isinstance(result, SourceError):
            comparison.answer = result
            return
        if isinstance(result, OutOfMemory) and not item.claim.is_isolated:
            item.adjustment.bars = None
            lifecycle.suspect(item.claim, result.code, str(result))
            return
        comparison.attempts += 1
        if isinstance(result, Transient) and comparison.attempts < self.conf.max_attempts:
            if comparison.source:
                comparison.source.cool_down(self.retry_delay(comparison.attempts, result))
        else:
            comparison.problem = sanitize_message(str(result))

    def _complete_adjustment(self, item: StockRequest, call: SourceCall, answer: Any) -> None:
        """Stores a stock's factors or corporate actions, or notes why there are none; the stock goes on."""
        progress, content = item.adjustment, call.content
        if isinstance(answer, OutOfMemory) and not item.claim.is_isolated:
            progress.bars = None
            lifecycle.suspect(item.claim, answer.code, str(answer))
            return
        progress.done.add(content)
        progress.pending = [other for other in progress.pending or () if other != content]
        if not isinstance(answer, SourceError):
            self.adjustments.store(item, content, answer, call.record)
        else:
            if call.record and isinstance(answer, Permanent):
                item.records.append(call.record)
            progress.notes.append(f"{content}: {answer}")
        if progress.bars is None:
            self.add(item)

    def _free_slots(self, source: SourceState) -> int:
        """Returns how many more requests may be in flight: few until it is known whether there are quotes."""
        if not self._is_probing(source):
            return source.free_slots()
        few = max(silent_days.WITNESSES - self.recorder.silent_answers, 1)
        return max(min(source.free_slots(), few - source.in_flight), 0)

    def _is_probing(self, source: SourceState) -> bool:
        """Whether it is open if the first source has quotes of the newest days.

        The first five answers show it, further ones if some of them were of stocks that prove nothing.
        """
        most = PROBES if self.recorder.silent_answers else silent_days.WITNESSES
        return self._is_own(source) and not self.recorder.has_quotes and self._answers < most

    def _is_own(self, source: SourceState) -> bool:
        """Whether it is the task's own source: a fallback may be the first one that can be used here."""
        return source.name == self.recorder.task.source

    def _requests_in_hand(self) -> list[StockRequest]:
        in_flight = [item for call in self.calls.in_flight() for item in call.items]
        return [*self.waiting, *in_flight]

    def _requests_days(self) -> bool:
        return any(source.days.in_flight for source in self.sources)

    def _note_days(self, *, in_flight: bool) -> None:
        """Records in the lane whether a day is in flight, if that has changed."""
        if in_flight != self._days_noted:
            lifecycle.note_days(self.lane, in_flight=in_flight)
            self._days_noted = in_flight

    def _waiting_for(self, source: SourceState) -> list[StockRequest]:
        return [item for item in self.waiting if item.asked_source is source]

    def _sessions_for(self, item: StockRequest) -> tuple[date, ...]:
        """Returns the days of the whole market that answer the stock's request; none for a suspect.

        It is requested by itself: a day's response that kills the worker is not its fault.
        """
        days = item.asked_source.days
        return () if item.claim.is_isolated else days.sessions_for(item.asked_request, self.calls)

    def _needed_calls(self, source: SourceState) -> list[SourceCall]:
        """Returns the calls that the waiting stocks need: each missing day once, then the stocks."""
        days = source.days
        missing_days: set[date] = set()
        stocks: list[SourceCall] = []
        for_bars: list[StockRequest] = []
        for item in self._waiting_for(source):
            if missing := days.missing(self._sessions_for(item)):
                missing_days.update(missing)
                continue
            if item.adjustment.bars is None:
                self.adjustments.plan_before(item)
            if further := self.adjustments.request_for(item):
                content, function = further
                stocks.append(SourceCall(source, function, [item], content=content))
            else:
                for_bars.append(item)
        stocks += [self._call_for(source, items) for items in batches_of(for_bars, source.traits.batch_size)]
        to_send = sorted(missing_days - days.in_flight)
        return [SourceCall(source, partial(days.fetch, day), day=day) for day in to_send] + stocks

    def _call_for(self, source: SourceState, items: Sequence[StockRequest]) -> SourceCall:
        """Returns the call for the bars of one stock, or of several."""
        requests = [item.asked_request for item in items]
        if len(requests) == 1:
            return SourceCall(source, partial(source.fetch, requests[0]), items)
        return SourceCall(source, partial(source.fetch_many, requests), items)

    def _end(self, call: SourceCall, *, unsent: bool) -> None:
        """Ends a call; the stock of a request that was never sent waits again."""
        call.source.in_flight -= 1
        if call.day:
            call.source.days.in_flight.discard(call.day)
        if unsent:
            call.source.limiter.cancel(call.permit)
            for item in call.items:
                self.add(item)

    def _handle_failure(self, item: StockRequest, error: SourceError, is_source_failure: bool) -> None:
        """Requeues the stock for another attempt, passes it to the next source, or records its failure."""
        if isinstance(error, OutOfMemory) and not item.claim.is_isolated:
            lifecycle.suspect(item.claim, error.code, str(error))
        elif is_source_failure or (
            isinstance(error, Transient) and item.attempts_here < self.conf.max_attempts
        ):  # a failure of the whole source costs the stock no attempt
            message, code = sanitize_message(item.describe(str(error))), item.error_code or error.code
            delay = self.retry_delay(item.attempts_here, error)
            lifecycle.requeue(item.claim, code[:40], message, delay, item.attempts - is_source_failure)
        elif self.router.fall_back(item, str(error), error.code):
            self.add(item)
        else:
            message = str(error) if len(self.router.sources) == 1 else "; ".join(item.notes)
            self.recorder.fail(item.claim, item.error_code, message, item.records)

    def _complete_day(
        self, call: SourceCall, bars: Day, error: SourceError | None, is_source_failure: bool
    ) -> None:
        """Caches a day of the whole market; else retries after a pause, or gives up requesting days."""
        source, day = call.source, cast(date, call.day)
        problem = source.days.find_problem(day, bars) if error is None else str(error)
        if error is None and not problem:
            source.days.store(day, bars, call.record)
            return
        if not is_source_failure and source.days.drop_compared(day):
            return
        if error is None and not bars and source.days.doubt(day):
            return
        self._fail_day(source, day, problem, error, is_source_failure=is_source_failure)

    def _fail_day(
        self,
        source: SourceState,
        day: date,
        problem: str,
        error: SourceError | None,
        *,
        is_source_failure: bool = False,
    ) -> None:
        """Retries a day of the whole market after a pause, or gives up requesting days."""
        may_pass = error is None or (isinstance(error, Transient) and error.code != "timeout")
        if is_source_failure or source.days.record_failure(may_pass):
            source.cool_down(self.retry_delay(max(source.days.cache.failures, 1), error))
            return
        self._warn_of_days(source, f"{day}: {problem}")

    def _warn_of_days(self, source: SourceState, problem: str) -> None:
        """Records that the stocks are requested one by one, and why."""
        code = "compared_by_stock" if source is self.second.state else day_fetches.FAILED
        lifecycle.warn(self.lane, code, source=source.name, reason=sanitize_message(problem))

    def retry_delay(self, attempts: int, error: SourceError | None) -> float:
        """Returns the seconds before the next attempt: as the source demands, else growing, with jitter."""
        delay = (error and error.retry_after) or self.conf.backoff * 2 ** (attempts - 1)
        return min(delay, self.conf.backoff_max) * random.uniform(1.0, 1.5)  # noqa: S311 - jitter
