"""Routes each claimed stock to a source, in fallback order, through that source's rate limiter.

A stock's attempts determine its source: the first COLLECTOR_MAX_ATTEMPTS belong to the first source, the
next ones to the second. So any worker that claims the stock continues where it was.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce, Now

from tasks_app import reasons
from tasks_app.conf import Conf
from tasks_app.engine.answers import CheckedSource
from tasks_app.engine.call_pool import OutOfMemory
from tasks_app.engine.day_fetches import DayFetcher
from tasks_app.engine.request_planner import PlannedRequest, StoredState
from tasks_app.lifecycle import Claim
from tasks_app.market import stock_list
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.models.states import ItemState
from tasks_app.quotes.raw_answers import SourceCallRecord
from tasks_app.quotes.source_comparison import Comparison
from tasks_app.sources import registry
from tasks_app.sources.base import (
    Answer,
    Bar,
    Permanent,
    Request,
    SourceError,
    Transient,
    UnknownStock,
)
from tasks_app.throttle.history import RequestCounter
from tasks_app.throttle.limiter import Blocked, Permit, limiter_for

logger = logging.getLogger(__name__)
MAX_IN_FLIGHT = 16
RECHECK_SECONDS = 1.0
INITIAL_LATENCY = 0.5  # seconds that a source is assumed to take before its first response
NEWEST_WEIGHT = 0.3  # of the newest response in the average latency


class SourceState:
    """One of the task's sources as a slice sees it; `position` is its place in the fallback order."""

    def __init__(self, task: CollectionTask, name: str, position: int, conf: Conf) -> None:
        self.name, self.position, self.conf, self._task_id = name, position, conf, task.pk
        self.limits, self.traits = registry.limits(name, conf), registry.traits(name, conf)
        self.source = CheckedSource(registry.get_source(name, conf), conf)
        self._spellings = stock_list.source_spellings(task.market, name)
        self.limiter = limiter_for(name, conf)
        self.counter = RequestCounter(name)
        self.days = DayFetcher(task, name, self.source, conf)
        self.in_flight = 0
        self._cooldown_until = 0.0
        self._latency = INITIAL_LATENCY
        self._blocked: Blocked | None = None
        self._checked_at = -math.inf

    def fetch(self, request: Request) -> Answer:
        """Requests a stock's bars by the code that the source itself writes."""
        return self.source.fetch(replace(request, code=self.spelling(request.code)))

    def fetch_many(self, requests: Sequence[Request]) -> dict[str, Answer | SourceError]:
        """Requests several stocks' bars of the same days. Returns them by code, as far as they came."""
        spelled = {self.spelling(request.code): request.code for request in requests}
        asked = [replace(request, code=self.spelling(request.code)) for request in requests]
        answers = self.source.fetch_many(asked)
        return {spelled[code]: answer for code, answer in answers.items()}

    def end_session(self) -> None:
        """Ends the source's session if it has one. A failure is logged: it ends with this process at last."""
        if not self.source.has_session:
            return
        try:
            self.source.end_session()
        except SourceError as error:
            logger.warning("the session of %s may still be open: %s", self.name, error)

    def spelling(self, code: str) -> str:
        """Returns the code as the source itself writes it."""
        return self._spellings.get(code, code)

    def free_slots(self) -> int:
        """Returns how many more requests may be in flight: as many as the rate needs at this latency."""
        needed = math.ceil(self.limits.rate * self._latency) + 1 if self.limits.rate else 1
        most = max(self.conf.in_flight, min(needed, MAX_IN_FLIGHT))
        return max(min(most, self.limits.in_flight or most) - self.in_flight, 0)

    def observe_latency(self, seconds: float) -> None:
        """Includes a response in the average latency."""
        self._latency += NEWEST_WEIGHT * (seconds - self._latency)

    def blocked(self) -> Blocked | None:
        """Returns why the limiter permits no request; looked up about once a second."""
        if time.monotonic() - self._checked_at > RECHECK_SECONDS:
            self.set_blocked(self.limiter.blocked())
        return self._blocked

    def set_blocked(self, blocked: Blocked | None) -> None:
        """Stores the limiter's current status."""
        self._blocked, self._checked_at = blocked, time.monotonic()

    def record_outcome(self, permit: Permit, error: SourceError | None, *, of_bars: bool = True) -> bool:
        """Records how a request ended. Returns whether it failed because of the whole source.

        What it answers or refuses besides bars, such as factors, shows nothing of its bars.
        """
        if isinstance(error, Transient):
            is_source_failure = self.limiter.record_failure(permit, error)
        elif not of_bars:
            if permit.is_probe:
                self.limiter.record_success(permit)
            return False
        elif isinstance(error, Permanent) and not isinstance(error, UnknownStock | OutOfMemory):
            is_source_failure = self.limiter.record_refusal(permit, error, self._has_delivered)
        else:
            self.limiter.record_success(permit)
            return False
        self.set_blocked(self.limiter.blocked())
        return is_source_failure

    def wait_seconds(self) -> float:
        """Returns the seconds to wait for the source; infinite if it refuses every request."""
        blocked = self.blocked()
        if blocked is None:
            return 0.0
        return math.inf if blocked.refusal_code else blocked.seconds

    def is_blocked_for_long(self) -> bool:
        """Whether the source is blocked for so long that the next one is tried instead."""
        return self.wait_seconds() > self.conf.fallback_after

    def _has_delivered(self) -> bool:
        """Whether the task has stocks with an answer of this source."""
        items = CollectionItem.objects.filter(task=self._task_id, source=self.name)
        return items.filter(state=ItemState.SUCCEEDED).exists()

    def cool_down(self, seconds: float) -> None:
        """Makes this slice send nothing to the source for a while."""
        self._cooldown_until = time.monotonic() + seconds

    def cooldown_left(self) -> float:
        """Returns the seconds for which this slice sends nothing to the source."""
        return max(self._cooldown_until - time.monotonic(), 0.0)


@dataclass
class AdjustmentProgress:
    """How far a stock's requests for factors and corporate actions have come, see `AdjustmentRequests`.

    `pending` are those to be made, None before that is decided, and `done` those that were made. `bars` were
    received and wait for them; `days_are_complete` belongs to the bars. `notes` says why something is
    missing.
    """

    pending: list[str] | None = None
    done: set[str] = field(default_factory=set)
    bars: Sequence[Bar] | None = None
    days_are_complete: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class ComparisonProgress:
    """How far a stock's comparison with the task's second source has come, see `SecondSource`.

    `request` are the days to compare and `source` where to ask for them, None unless that is to be done;
    `answer` is what came, or `problem` says why nothing did. `days_are_complete`: a day without a bar truly
    had none there. `found` is what the comparison found, None where there was none.
    """

    is_planned: bool = False
    request: PlannedRequest | None = None
    source: SourceState | None = None
    attempts: int = 0
    answer: Answer | None = None
    days_are_complete: bool = False
    problem: str = ""
    found: Comparison | None = None

    @property
    def is_open(self) -> bool:
        """Whether the second source is still to be asked."""
        return self.source is not None and self.answer is None and not self.problem


@dataclass
class StockRequest:
    """The work item of a slice: a claimed stock from its claim to its record.

    `request` holds the missing days, `stored` what the database has, `source` the source to try now,
    `notes` the failures at earlier sources ("name: reason"), `error_code` the first failure's code,
    `adjustment` the requests for adjustment data that belong to it, `records` the calls whose raw answers are
    to be kept with it, and `comparison` how far the one with the task's second source has come.
    """

    claim: Claim
    request: PlannedRequest
    stored: StoredState
    source: SourceState
    notes: list[str] = field(default_factory=list)
    error_code: str = ""
    batch_limit: int = 0  # the most stocks to request it with, halved where that failed; 0: any number
    adjustment: AdjustmentProgress = field(default_factory=AdjustmentProgress)
    records: list[SourceCallRecord] = field(default_factory=list)
    comparison: ComparisonProgress = field(default_factory=ComparisonProgress)

    @property
    def asked_source(self) -> SourceState:
        """The source of which it waits for an answer, or for the turn to ask."""
        return (self.comparison.is_open and self.comparison.source) or self.source

    @property
    def asked_request(self) -> PlannedRequest:
        """The days for which that source is asked."""
        return (self.comparison.is_open and self.comparison.request) or self.request

    @property
    def attempts(self) -> int:
        """The attempts over all sources, as the number that determines the next source."""
        return max(self.claim.attempts, self._earlier_attempts + 1)

    @property
    def attempts_here(self) -> int:
        """The attempts at the current source."""
        return self.attempts - self._earlier_attempts

    @property
    def _earlier_attempts(self) -> int:
        return self.source.position * self.source.conf.max_attempts

    @property
    def history(self) -> str:
        """The failures at earlier sources in one sentence."""
        return "; ".join(self.notes)[:500]

    def restore_history(self) -> None:
        """Reads the failures at earlier sources, which were stored when the stock was requeued."""
        item = CollectionItem.objects.only("error_code", "error_message").get(pk=self.claim.item_id)
        notes = item.error_message.split("; ") if item.error_message else []
        self.notes = [note for note in notes if not note.startswith(f"{self.source.name}: ")]
        self.error_code = item.error_code

    def describe(self, reason: str) -> str:
        """Returns all failures, the current source's last; each with its source if there were several."""
        return "; ".join([*self.notes, f"{self.source.name}: {reason}"]) if self.notes else reason


class SourceRouter:
    """The task's sources that can be used here, in fallback order; at least one can."""

    def __init__(self, task: CollectionTask, conf: Conf) -> None:
        available = registry.available(conf)
        names = [name for name in (task.source, *task.fallbacks) if name in available]
        names = [name for name in names if not registry.why_unusable(name, conf)] or [task.source]
        self.conf = conf
        self.sources = [SourceState(task, name, position, conf) for position, name in enumerate(names)]

    def reachable(self) -> list[str]:
        """Returns the names of the first source and of its fallbacks that are not blocked for long."""
        first, *others = self.sources
        return [first.name, *(other.name for other in others if not other.is_blocked_for_long())]

    def current(self) -> SourceState:
        """Returns the first source that is not blocked for long, else the one blocked the shortest."""
        for source in self.sources:
            if not source.is_blocked_for_long():
                return source
        return min(self.sources, key=SourceState.wait_seconds)

    def route(self, claim: Claim, request: PlannedRequest, stored: StoredState) -> StockRequest:
        """Returns the work item of a claimed stock, at the source that its attempts have reached.

        A source before the current one is skipped: it is blocked for long. So is one before the request's
        own: it has no quotes of these days.
        """
        position = min((claim.attempts - 1) // self.conf.max_attempts, len(self.sources) - 1)
        item = StockRequest(claim, request, stored, self.sources[position])
        if position:
            item.restore_history()
        current = self.current()
        if position < current.position:
            self._note_skipped(item, self.sources[position : current.position])
            item.source = current
        planned = next((one for one in self.sources if one.name == request.source), item.source)
        if item.source.position < planned.position:
            silent = self.sources[item.source.position : planned.position]
            item.notes += [f"{one.name}: no quotes of these days, of any stock" for one in silent]
            item.source = planned
        return item

    def fall_back(self, item: StockRequest, reason: str, code: str) -> bool:
        """Moves the item to the next source that is not blocked for long. Returns False without one.

        The failure is added to the item's notes in either case.
        """
        item.notes.append(f"{item.source.name}: {reason}")
        item.error_code = item.error_code or code
        for source in self.sources[item.source.position + 1 :]:
            if not source.is_blocked_for_long():
                item.source, item.adjustment, item.batch_limit = source, AdjustmentProgress(), 0
                return True
            self._note_skipped(item, [source])
        return False

    def _note_skipped(self, item: StockRequest, sources: Sequence[SourceState]) -> None:
        """Notes that sources were skipped because they are blocked, and why."""
        item.notes += [f"{one.name}: {blocked.reason}" for one in sources if (blocked := one.blocked())]


def describe_refusal(source: str, blocked: Blocked) -> tuple[str, str]:
    """Returns the code and the sentence with which a task fails whose source refuses every request."""
    message = reasons.stored_reason("all_refused", source=source, reason=blocked.reason)
    return blocked.refusal_code, message


def is_stalled(task_id: UUID, conf: Conf) -> bool:
    """Whether no stock of the task has ended for longer than it may wait for a blocked source.

    The time before it was resumed does not count.
    """
    limit = Now() - timedelta(seconds=conf.source_give_up)
    recent = CollectionItem.objects.filter(task=OuterRef("pk"), finished_at__gte=limit)
    task = CollectionTask.objects.filter(pk=task_id).annotate(began=Coalesce("planned_at", "start_time"))
    return task.filter(~Exists(recent), began__lt=limit).exclude(resumed_at__gte=limit).exists()
