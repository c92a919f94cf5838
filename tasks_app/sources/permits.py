"""Permits of a call's requests: the engine grants them, a source takes one before each further request."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

FRESH_SECONDS = 0.25  # for which a permit counts: a later request would be too close to the one behind it
_permit: ContextVar[Callable[[int], None] | None] = ContextVar("permit", default=None)
_unused: ContextVar[list[float] | None] = ContextVar("unused_permits", default=None)  # when it was granted
# Yields what raises `Transient` in a call that is to wait no longer.
Waiting = Callable[[], AbstractContextManager[Callable[[], None]]]


def _just_wait() -> AbstractContextManager[Callable[[], None]]:
    return nullcontext(lambda: None)


_waiting: ContextVar[Waiting] = ContextVar("waiting", default=_just_wait)


def take_permit(cost: int = 1) -> None:
    """Waits until the source may send one more request: a further page, a log-in.

    The engine sees to the permit of the first request of each call. Call this before every other one; it
    returns when the request may begin, by the limits of the source over all workers and hosts. Raises
    `Transient` when there is none to be had: the source is paused, or its day's requests are used up. The
    time that it waits does not count as time of the call. Outside the engine it returns at once. It works in
    the thread that the engine calls the source in.
    """
    if take := _permit.get():
        take(cost)
        if (unused := _unused.get()) is not None:
            unused[:] = [time.monotonic()]


def use_permit() -> None:
    """Uses the permit that the call has, or takes one by `take_permit`. Outside the engine it does nothing.

    The call has the engine's permit, or one that its source has taken, until a request uses it. A client that
    is imported by its first call sends it a second late or more: then the next request, whose permit is for
    its own time, would follow too soon, so it takes another.
    """
    if (unused := _unused.get()) is None:
        return
    if not unused or time.monotonic() - unused[0] > FRESH_SECONDS:
        take_permit()
    unused.clear()


@contextmanager
def granting_permits(
    take: Callable[[int], None], waiting: Waiting = _just_wait, *, has_first: bool = True
) -> Iterator[None]:
    """Makes `take` what `take_permit` calls in this thread, and `waiting` the context of `awaiting_turn`.

    With `has_first` the call has the permit of its first request.
    """
    granted = [time.monotonic()] if has_first else []
    token, unused, context = _permit.set(take), _unused.set(granted), _waiting.set(waiting)
    try:
        yield
    finally:
        _permit.reset(token)
        _unused.reset(unused)
        _waiting.reset(context)


def awaiting_turn() -> AbstractContextManager[Callable[[], None]]:
    """Returns a context whose time is none of the call's: it waits for others of this machine.

    It yields a function to be called now and then, which raises `Transient` once the call is to end.
    """
    return _waiting.get()()
