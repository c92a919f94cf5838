"""The life cycle of a task. Only this package writes statuses, leases and fences.

A user starts, cancels, retries, pauses or resumes a task (`user_actions`): a start creates the task with its
lanes, and queues slices. A due plan makes a task of a lower priority yield (`yielding`), and another one
continues that: the tasks of such a chain are one run (`chains`). A slice acts through its lane
(`worker_actions`): it begins, plans the task's items unless they are planned, and claims items; for each
claim it records how the stock ended or requeues it for another attempt; meanwhile it beats, and at the end it
closes, or it declines a task that this host can't work on.
`completion` writes how stocks and tasks end. `recovery` rescues a task whose workers were lost, fails one
that can't continue, and supplies tasks with slices. `retention` deletes old tasks, `data_deletion` what a
source stored. `slot` is the lock of whatever no task may run beside.

Plans: `plan_actions` are the verbs of users, `plan_runs` begins and ends the steps of runs.

Lock order: the plan, its run, the slot (starts, retries and deletions of data only), the task, its lanes, its
items. Every verb locks the task's row first, so verbs of one task never deadlock. All times are the
database's, because hosts disagree.
"""

from tasks_app.lifecycle.claims import Claim, Lane, Outcome, lock_lane
from tasks_app.lifecycle.completion import record
from tasks_app.lifecycle.data_deletion import delete_source_data
from tasks_app.lifecycle.recovery import (
    OUT_OF_MEMORY,
    abandon_if_unattended,
    abort,
    fail,
    get_running_task,
    get_task,
    rescue,
    rescue_lane,
)
from tasks_app.lifecycle.user_actions import cancel, pause, resume, retry, start
from tasks_app.lifecycle.worker_actions import (
    Halt,
    beat,
    begin,
    claim,
    close,
    decline,
    fail_by,
    keep,
    note_days,
    plan,
    record_and_claim,
    repeat_stock_list,
    requeue,
    suspect,
    warn,
)

__all__ = [
    "OUT_OF_MEMORY",
    "Claim",
    "Halt",
    "Lane",
    "Outcome",
    "abandon_if_unattended",
    "abort",
    "beat",
    "begin",
    "cancel",
    "claim",
    "close",
    "decline",
    "delete_source_data",
    "fail",
    "fail_by",
    "get_running_task",
    "get_task",
    "keep",
    "lock_lane",
    "note_days",
    "pause",
    "plan",
    "record",
    "record_and_claim",
    "repeat_stock_list",
    "requeue",
    "rescue",
    "rescue_lane",
    "resume",
    "retry",
    "start",
    "suspect",
    "warn",
]
