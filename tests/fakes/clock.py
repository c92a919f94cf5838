"""A clock that tests set, for the engine's threads and the database alike.

It stands still while any thread works, and jumps to the end of the shortest wait once all of them wait. So
what a test sees depends on the waits that were asked for, never on how fast the machine is. Libraries that
freeze time don't do this: freezegun leaves out what `threading` calls, and time-machine left out the
monotonic clock in its version 3.
"""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models.functions import Now

from tasks_app.db import functions
from tasks_app.engine import call_pool, slice, source_router
from tasks_app.throttle import limiter

FIRST_MONOTONIC = 1000.0


class Clock:
    """Stands in for the module `time`. Begins at the real time and knows how many seconds have `elapsed`."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.is_over = False
        self._began = datetime.now(UTC)
        self._changed = threading.Condition()
        self._working = 1  # threads that don't wait: the test's own at first
        self._waits: list[
            tuple[float, Callable[[], bool]]
        ] = []  # when each ends at the latest, or why before

    def monotonic(self) -> float:
        return FIRST_MONOTONIC + self.elapsed

    def now(self) -> datetime:
        """Returns the database's time, aware."""
        return self._began + timedelta(seconds=self.elapsed)

    def sleep(self, seconds: float) -> None:
        """Lets so many seconds pass for all threads."""
        self.wait_for(lambda: False, seconds)

    def duration_of(self, action: Callable[[], object]) -> float:
        """Runs the action. Returns how many seconds it waited."""
        began = self.elapsed
        action()
        return self.elapsed - began

    def wait_for(self, is_met: Callable[[], bool], seconds: float | None = None) -> bool:
        """Returns whether the condition was met within so many seconds, or at all.

        Raises `SystemExit`, which ends a thread quietly, once the test is over or no thread can ever go on.
        """
        wait = (inf if seconds is None else self.elapsed + seconds), is_met
        with self._changed:
            self._waits.append(wait)
            self._working -= 1
            while not (self._is_ready(wait) or self.is_over):
                if not self._jump():
                    self._changed.wait()
            self._working += 1
            self._waits.remove(wait)
            if self.is_over:
                raise SystemExit("The test is over, or every thread waits for another one.")
            return is_met()

    def notify(self, change: Callable[[], object] = lambda: None, working: int = 0) -> None:
        """Makes a change that waits depend on; `working` more threads work from now on."""
        with self._changed:
            change()
            self._working += working
            self._jump()
            self._changed.notify_all()

    def end(self) -> None:
        """Ends every wait."""
        self.notify(lambda: setattr(self, "is_over", True))

    def _is_ready(self, wait: tuple[float, Callable[[], bool]]) -> bool:
        return wait[0] <= self.elapsed or wait[1]()

    def _jump(self) -> bool:
        """Moves the time to the end of the shortest wait if all threads wait. Returns whether it moved."""
        if self._working or self.is_over or any(map(self._is_ready, self._waits)):
            return False
        end = min((end for end, _ in self._waits), default=inf)
        self.is_over = end == inf
        self.elapsed = self.elapsed if self.is_over else end
        self._changed.notify_all()
        return True


class Event:
    """A `threading.Event` whose waits are the clock's: time passes while a thread waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._is_set = clock, False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._clock.notify(lambda: setattr(self, "_is_set", True))

    def wait(self, timeout: float | None = None) -> bool:
        return self._clock.wait_for(self.is_set, timeout)


class ClockQueue:
    """A `SimpleQueue` whose waits are the clock's."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Clock = clock
        self._entries: deque[Any] = deque()

    def empty(self) -> bool:
        return not self._entries

    def put(self, entry: Any) -> None:
        self._clock.notify(lambda: self._entries.append(entry))

    def get(self, timeout: float) -> Any:
        if self._clock.wait_for(lambda: bool(self._entries), timeout):
            return self._entries.popleft()
        raise Empty


class ClockThread(threading.Thread):
    """A thread that the clock waits for while it works."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock

    def start(self) -> None:
        self._clock.notify(working=1)
        super().start()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._clock.notify(working=-1)


def install(patch: pytest.MonkeyPatch) -> Clock:
    """Returns a clock that slices, limiters and the database use until the patches are undone."""
    clock = Clock()

    class Call(call_pool.Call[Any]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.recalled = Event(clock)  # type: ignore[assignment]

    for module in (call_pool, limiter, slice, source_router):
        patch.setattr(module, "time", clock)
    thread = SimpleNamespace(Thread=partial(ClockThread, clock), Lock=threading.Lock)
    patch.setattr(call_pool, "threading", thread)
    patch.setattr(call_pool, "SimpleQueue", partial(ClockQueue, clock))
    patch.setattr(call_pool, "Call", Call)

    def as_sqlite(self: Now, compiler: Any, connection: Any, **context: Any) -> Any:
        time = f"'{clock.now().replace(tzinfo=None)}'"  # as Django's sums of times
        return self.as_sql(compiler, connection, template=time, **context)

    def as_postgresql(self: Now, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template=f"'{clock.now()}'::timestamptz", **context)

    patch.setattr(Now, "as_sqlite", as_sqlite)
    for function in (Now, functions.Clock):
        patch.setattr(function, "as_postgresql", as_postgresql)
    return clock
