"""The life of a task. The only room that writes statuses, leases and fences.

`people` has the verbs of people: start, retry, cancel. `workers` has those of a slice, which holds a
lane: begin, plan, claim, record, record_and_claim, hand_back, beat, close or decline. `endings` writes
how stocks and tasks end, `upkeep` brings tasks forward (rescue, fail, the supply of slices).

Every write takes the task's row lock first, then lanes, then items: one order, no deadlock. All
times are the database's, since hosts disagree.
"""

from tasks_app.lifecycle.claims import Claim, Lane, Outcome
from tasks_app.lifecycle.completion import record
from tasks_app.lifecycle.recovery import abandon_if_unattended, fail, rescue
from tasks_app.lifecycle.user_actions import cancel, retry, start
from tasks_app.lifecycle.worker_actions import (
    beat,
    begin,
    claim,
    close,
    decline,
    plan,
    record_and_claim,
    requeue,
    warn,
)

__all__ = [
    "Claim",
    "Lane",
    "Outcome",
    "abandon_if_unattended",
    "beat",
    "begin",
    "cancel",
    "claim",
    "close",
    "decline",
    "fail",
    "plan",
    "record",
    "record_and_claim",
    "requeue",
    "rescue",
    "retry",
    "start",
    "warn",
]
