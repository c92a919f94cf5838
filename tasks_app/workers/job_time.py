"""More time for a job whose request consists of many that its source's limiter spaces."""

import math
import signal

from tasks_app.workers import process_state


def extend(seconds: float) -> None:
    """Lets the current job run so many seconds from now, if it has less left.

    Ends both django-q2's time-out, an alarm, and the supervisor's deadline later. Outside a job, nothing.
    """
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0 < left < seconds:
        process_state.own_state.extend_deadline(process_state.own_state.deadline_left() + seconds - left)
        signal.alarm(math.ceil(seconds))
