"""The source with whose bars a task's are compared: which stocks, which days, and what the comparison found.

A stock is compared once its bars have come and before they are recorded, so that both are one commit: a
worker that is lost in between loses both answers, and nothing is counted twice. The second source is asked
through its own limiter and breaker, by whole days where it serves them. What it refuses fails no stock: the
stock is counted as not compared, with the reason. Its bars are stored nowhere.
"""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from datetime import date
from typing import Any

from tasks_app.conf import Conf
from tasks_app.engine.call_pool import CallPool
from tasks_app.engine.source_router import SourceState, StockRequest
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.models.quotes import Adjust
from tasks_app.orders.order import WHOLE
from tasks_app.quotes import findings, source_agreement, validation
from tasks_app.quotes.source_comparison import Comparison, Side, compare
from tasks_app.quotes.trading_days import trading_days_for
from tasks_app.quotes.upsert import Provenance
from tasks_app.quotes.validation import ValidationResult
from tasks_app.reasons import sanitize_message, stored_reason
from tasks_app.sources import registry
from tasks_app.sources.base import Answer, Request
from tasks_app.sources.market_time import market_today


def is_sampled(task: CollectionTask, code: str) -> bool:
    """Returns whether the stock is among those to compare: the same ones whenever the task is asked."""
    if not task.verify_with:
        return False
    digest = hashlib.sha256(f"{task.pk} {code}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % WHOLE < task.verify_sample


class ComparedSource(SourceState):
    """The second source as a slice sees it."""

    def _has_delivered(self) -> bool:
        items = CollectionItem.objects.filter(task=self._task_id, rows_compared__isnull=False)
        return items.exists()


class SecondSource:
    """Decides what of a task is compared, and compares it. `state` is None where it can't be asked."""

    def __init__(self, task: CollectionTask, conf: Conf) -> None:
        self.task, self.conf, self.name = task, conf, task.verify_with
        self.state: ComparedSource | None = None
        self._problem = ""
        if not self.name:
            return
        if self.name not in registry.available(conf):
            self._problem = stored_reason("second_not_here")
        elif reason := registry.why_unusable(self.name, conf):
            self._problem = sanitize_message(reason)
        else:
            self.state = ComparedSource(task, self.name, -1, conf)

    def plan(self, item: StockRequest) -> bool:
        """Decides once, when a stock's bars have come, whether they are compared.

        Returns whether the second source must be asked before they are recorded.
        """
        check = item.comparison
        if check.is_planned:
            return check.is_open
        check.is_planned = True
        if not is_sampled(self.task, item.claim.code):
            return False
        if self.state is None:
            check.problem = self._problem
        elif item.source.name == self.name:
            check.problem = stored_reason("same_source")
        elif item.claim.losses > 1:
            check.problem = stored_reason("worker_lost")
        elif days := self._days_to_compare(item):
            start, end = days
            check.request = replace(item.request, start=start, end=end, missing_from=start)
            check.source, item.batch_limit = self.state, 0
        else:
            check.problem = stored_reason("not_final")
        return check.is_open

    def take_days(self, item: StockRequest, calls: CallPool[Any]) -> None:
        """Takes the stock's bars from the days of the whole market, if all of them are cached."""
        check = item.comparison
        if check.source is None or check.request is None or item.claim.is_isolated:
            return
        days = check.source.days
        sessions = days.sessions_for(check.request, calls)
        if sessions and not days.missing(sessions):
            check.answer = days.bars_of(item.claim.code, sessions)
            check.days_are_complete = True

    def compare(self, item: StockRequest, result: ValidationResult, suspended: Collection[date]) -> None:
        """Compares the bars of both sources, before the transaction that records them: it takes a while.

        `suspended` are the days on which the first source calls the stock so.
        """
        check = item.comparison
        if check.request is None or check.answer is None or check.problem:
            return
        here = Side(
            [bar for bar in result.bars if check.request.start <= bar.day <= check.request.end],
            suspended,
            {issue.day for issue in result.refused},
        )
        check.found = self._compare(item, here, check.request, check.answer)
        if check.found is None:
            check.problem = stored_reason("nothing_sent")

    def record(self, item: StockRequest, outcome: Outcome) -> Outcome:
        """Records the comparison in the caller's transaction. Returns the outcome with its counts."""
        check = item.comparison
        if check.request is None or check.found is None:
            return replace(outcome, not_compared=check.problem)
        found, origin = check.found, Provenance(item.source.name, item.claim.item_id)
        findings.record_differences(check.request, origin, self.name, found.differences)
        source_agreement.add_counts(check.request, item.source.name, self.name, found.counts)
        return replace(outcome, compared=found.bars, differing=len(found.differences))

    def _compare(self, item: StockRequest, here: Side, request: Request, answer: Answer) -> Comparison | None:
        """Returns None where the second source's silence proves nothing."""
        bars, refused = validation.accept(answer, request, market_today(request.market))
        there = Side(bars, answer.suspended, {issue.day for issue in refused})
        if here.bars and not (bars or refused or answer.suspended or item.comparison.days_are_complete):
            return None
        for name, side in ((item.source.name, here), (self.name, there)):
            if registry.traits(name, self.conf).history_may_grow:  # its silence says nothing of other days
                here, there = _within(here, side), _within(there, side)
        return compare(here, there, adjusted=request.adjust in (Adjust.QFQ, Adjust.HFQ, Adjust.SPLIT))

    def _days_to_compare(self, item: StockRequest) -> tuple[date, date] | None:
        """Returns the requested days that are final at both sources, and that both may have."""
        first, last = item.request.first_missing, item.request.end
        for name in (item.source.name, self.name):
            traits, days = registry.traits(name, self.conf), trading_days_for(self.task.market, name)
            first = max(first, traits.first_day or first)
            last = min(last, days.last_closed, traits.last_day or last)
        return (first, last) if first <= last else None


def _within(side: Side, span: Side) -> Side:
    """Returns the side's bars from the first to the last bar of `span`."""
    days = [bar.day for bar in span.bars]
    first, last = min(days, default=date.max), max(days, default=date.min)
    return replace(side, bars=[bar for bar in side.bars if first <= bar.day <= last])
