"""Whom to ask for a stock: the task's sources in their order, each behind its gate.

A stock's attempts say how far it is: the first COLLECTOR_MAX_ATTEMPTS are the first source's, the
next ones the second's. So it goes on where it was, whoever claims it next.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce, Now

from tasks_app.conf import Conf
from tasks_app.engine.day_fetches import DayFetcher
from tasks_app.lifecycle import Claim
from tasks_app.models import CollectionItem, CollectionTask
from tasks_app.sources import registry
from tasks_app.sources.base import Request
from tasks_app.throttle import limiter
from tasks_app.throttle.limiter import Blocked, Permit

GIVEN_UP = "Nothing could be collected for too long: the source %s is paused. %s"
MOST_IN_FLIGHT = 16
LOOK_SECONDS = 1.0
GUESS_SECONDS = 0.5  # that a source takes to answer, until it is known
WEIGHT = 0.3  # of the newest answer in the average time


class SourceState:
    """One of the task's sources, as a slice sees it."""

    def __init__(self, task: CollectionTask, name: str, place: int, conf: Conf) -> None:
        self.name, self.place, self.conf = name, place, conf
        self.limits = registry.limits(name, conf)
        self.source = registry.get_source(name, conf)
        self.gate = limiter.limiter_for(name, conf)
        self.daily = DayFetcher(task, name, self.source, conf)
        self.in_flight = 0
        self.resting_until = 0.0
        self._seconds = GUESS_SECONDS
        self._shut: Blocked | None = None
        self._looked = -math.inf

    def room(self) -> int:
        """How many more requests may be in flight here: what the rate needs at the source's pace."""
        needed = math.ceil(self.limits.rate * self._seconds) + 1 if self.limits.rate else 1
        most = max(self.conf.in_flight, min(needed, MOST_IN_FLIGHT))
        return max(min(most, self.limits.in_flight or most) - self.in_flight, 0)

    def took(self, seconds: float) -> None:
        """An answer took so long."""
        self._seconds += WEIGHT * (seconds - self._seconds)

    def shut(self) -> Blocked | None:
        """Why nothing passes here; looked up about once a second."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self.note(self.gate.look())
        return self._shut

    def note(self, shut: Blocked | None) -> None:
        """The gate was just found so."""
        self._shut, self._looked = shut, time.monotonic()

    def shut_for_long(self) -> bool:
        """So long that the next source is asked instead."""
        return self.shut_seconds() > self.conf.fallback_after

    def shut_seconds(self) -> float:
        """Until something passes here again."""
        return shut.seconds if (shut := self.shut()) else 0.0

    def rest(self, seconds: float) -> None:
        """StockRequest nothing here for a while."""
        self.resting_until = time.monotonic() + seconds

    def resting(self) -> float:
        """Seconds for which nothing is asked."""
        return max(self.resting_until - time.monotonic(), 0.0)


class SourceRouter:
    """The task's sources in their order."""

    def __init__(self, task: CollectionTask, conf: Conf) -> None:
        known = registry.available(conf)
        names = [task.source, *(name for name in task.fallbacks if name in known)]
        self.conf = conf
        self.doors = [SourceState(task, name, place, conf) for place, name in enumerate(names)]

    def first(self) -> SourceState:
        """The source to ask now: the first one that is not shut for long, else the one shut the shortest."""
        for door in self.doors:
            if not door.shut_for_long():
                return door
        return min(self.doors, key=SourceState.shut_seconds)

    def ask(self, claim: Claim, request: Request) -> "StockRequest":
        """A claimed stock at the source that its attempts have reached, or the first one that is open."""
        place = min((claim.attempts - 1) // self.conf.max_attempts, len(self.doors) - 1)
        ask = StockRequest(claim, request, self.doors[place])
        if place:
            ask.recall()
        first = self.first()
        if place < first.place:
            self._pass_by(ask, self.doors[place : first.place])
            ask.door = first
        return ask

    def turn(self, ask: "StockRequest", why: str, code: str) -> bool:
        """Turn to the next open source after this one failed; False when there is none.

        The failure is noted in any case.
        """
        ask.notes.append(f"{ask.door.name}: {why}")
        ask.code = ask.code or code
        following = self.doors[ask.door.place + 1 :]
        for count, door in enumerate(following):
            if not door.shut_for_long():
                ask.door = door
                return True
            self._pass_by(ask, following[count : count + 1])
        return False

    def _pass_by(self, ask: "StockRequest", doors: Sequence[SourceState]) -> None:
        """Note of sources that they were not asked, and why."""
        ask.notes += [f"{door.name}: {shut.why}" for door in doors if (shut := door.shut())]


@dataclass
class StockRequest:
    """A claimed stock in a slice's hands: what to ask, of whom, and what others said before."""

    claim: Claim
    request: Request
    door: SourceState
    notes: list[str] = field(default_factory=list)
    code: str = ""

    @property
    def attempts(self) -> int:
        """How often the stock was tried, as the count that says which source is next."""
        return max(self.claim.attempts, self._before + 1)

    @property
    def tries_here(self) -> int:
        """How often it was tried at this source."""
        return self.attempts - self._before

    @property
    def _before(self) -> int:
        return self.door.place * self.door.conf.max_attempts

    @property
    def told(self) -> str:
        """What the sources before this one said."""
        return "; ".join(self.notes)[:500]

    def recall(self) -> None:
        """Read what the sources before this one had said when the stock was handed back."""
        item = CollectionItem.objects.only("error_code", "error_message").get(pk=self.claim.item_id)
        notes = item.error_message.split("; ") if item.error_message else []
        self.notes = [note for note in notes if not note.startswith(f"{self.door.name}: ")]
        self.code = item.error_code

    def said(self, why: str) -> str:
        """All that the sources said of it, this one last; each by name where there is more than one."""
        return "; ".join([*self.notes, f"{self.door.name}: {why}"]) if self.notes else why


@dataclass
class SourceCall:
    """One request to a source: a stock's, or a day's for all stocks."""

    door: SourceState
    call: Callable[[], Any]
    ask: StockRequest | None = None
    day: date | None = None
    passed: Permit = field(default_factory=Permit)


def is_hopeless(task_id: UUID, conf: Conf) -> bool:
    """No stock of the task has ended for longer than the task may wait for a source that is shut."""
    limit = Now() - timedelta(seconds=conf.source_give_up)
    lately = CollectionItem.objects.filter(task=OuterRef("pk"), finished_at__gte=limit)
    began = CollectionTask.objects.filter(pk=task_id).annotate(began=Coalesce("planned_at", "start_time"))
    return began.filter(~Exists(lately), began__lt=limit).exists()
