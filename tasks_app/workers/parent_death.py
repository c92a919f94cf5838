"""Children die with their parent, so that no orphan goes on collecting. Linux; a no-op elsewhere."""

import ctypes
import logging
import os
import signal
import sys
import threading

logger = logging.getLogger("tasks_app.worker")

PR_SET_PDEATHSIG = 1
# Looked up once: a freshly forked child should do as little as possible.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_forker = 0


def die_with(parent: int, signum: int = signal.SIGKILL) -> None:
    """Send this process `signum` when `parent`, its parent, ends; at once when it has ended already.

    The kernel watches the parent's *thread* that started us: start children from the main thread.
    """
    if _prctl is None:
        logger.info("no prctl here: processes may outlive their parent for a moment")
        return
    _prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:  # it died before the line above, and no signal will come
        os.kill(os.getpid(), signum)


def bind_forks() -> None:
    """From now on every process that this one forks, and those they fork, die with the one that forked."""
    if _prctl is not None:
        os.register_at_fork(before=_remember_forker, after_in_child=_follow_forker)


def _remember_forker() -> None:
    global _forker
    # A child of a short-lived thread would be killed when the thread ends: leave it alone.
    _forker = os.getpid() if threading.current_thread() is threading.main_thread() else 0


def _follow_forker() -> None:
    if _forker:
        die_with(_forker)
