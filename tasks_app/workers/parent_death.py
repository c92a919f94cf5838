"""Makes processes end with their parent, so that no orphan continues collecting. Linux only."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
# Looked up here, because a child that was just forked should do as little as possible.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def set_parent_death_signal(parent: int, signum: int = signal.SIGKILL) -> None:
    """Has the kernel send `signum` to this process when its parent ends; at once if it has ended already.

    The kernel watches the parent's *thread* that started this process: start children from the main thread.
    """
    if _prctl is None:
        return
    _prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:  # it died before the line above, and no signal will come
        os.kill(os.getpid(), signum)
