"""The life of a task. The only room that writes statuses, leases and fences.

`people` has the verbs of people: start, retry, cancel. `workers` has those of a slice, which holds a
lane: begin, plan, claim, record, hand_back, beat, close. `endings`
writes how stocks and tasks end, `upkeep` brings tasks forward (rescue, fail, the supply of slices).

Every write takes the task's row lock first, then lanes, then items: one order, no deadlock. All
times are the database's, since hosts disagree.
"""

from tasks_app.lifecycle.endings import record
from tasks_app.lifecycle.people import cancel, retry, start
from tasks_app.lifecycle.rows import Claim, Lane, Outcome
from tasks_app.lifecycle.upkeep import fail, rescue
from tasks_app.lifecycle.workers import beat, begin, claim, close, hand_back, plan, warn

__all__ = [
    "Claim",
    "Lane",
    "Outcome",
    "beat",
    "begin",
    "cancel",
    "claim",
    "close",
    "fail",
    "hand_back",
    "plan",
    "record",
    "rescue",
    "retry",
    "start",
    "warn",
]
