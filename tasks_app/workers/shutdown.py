"""Stop signals of this process: SIGTERM, Ctrl-C and a closed terminal, counted and polled.

A slice polls `is_requested()` between two stocks and, once it is true, hands back what it holds.
"""

import os
import signal
import time
from types import FrameType

POLL_SECONDS = 0.1
_handled: set[int] = set()
_count = 0


def install_handlers() -> None:
    """Starts counting the stop signals of this process. Call it from the main thread."""
    if not _handled:
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_restore_defaults)
    _handled.update((signal.SIGTERM, signal.SIGINT))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # otherwise nohup has it ignored
        _handled.add(signal.SIGHUP)
    for signum in _handled:
        signal.signal(signum, _on_signal)


def signal_count() -> int:
    """Returns how many stop signals have arrived."""
    return _count


def is_requested() -> bool:
    """Whether this process is to stop soon. Cheap enough to call in every iteration of a loop."""
    return _count > 0


def wait(seconds: float) -> None:
    """Sleeps, but returns as soon as a stop is requested."""
    deadline = time.monotonic() + seconds
    while not is_requested() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global _count
    _count += 1


def _block() -> None:
    """Blocks signals during a fork: none may be lost before the child has its own handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _handled)


def _restore_defaults() -> None:
    """Makes signals stop a forked process, also a job's child, until it installs handlers of its own."""
    for signum in _handled:
        signal.signal(signum, signal.SIG_DFL)
    _unblock()
