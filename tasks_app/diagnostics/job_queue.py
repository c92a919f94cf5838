"""The queue: jobs that nobody takes, and jobs that the workers can't run."""

from collections.abc import Iterator

from tasks_app.diagnostics.findings import Finding, fault, ok, runbook, warning
from tasks_app.diagnostics.texts import gettext_lazy as _, join
from tasks_app.queue import dispatch

STUCK_SECONDS = 120.0  # as in the alert CollectorQueueStuck
LOOKED_AT = 100  # jobs

FLOWS = ok("queue_flows", _("Jobs waiting in the queue: %(waiting)d, taken by workers: %(taken)d."))
STUCK = fault(
    "queue_stuck",
    _("A job has waited for a worker for %(seconds)d s; %(waiting)d jobs wait."),
    _(
        "Start workers if none is alive. Otherwise all are busy or hung: restart"
        " collector-worker, nothing is lost."
    ),
    runbook("CollectorQueueStuck"),
)
UNKNOWN = warning(
    "jobs_unknown",
    _("The queue holds jobs of programs that are not ours: %(paths)s"),
    _("Find out who queues them. Each fails once, and is then deleted."),
)
UNREADABLE = fault(
    "jobs_unreadable",
    _("Jobs of the queue were signed with another DJANGO_SECRET_KEY: %(count)d"),
    _("Give all machines the same DJANGO_SECRET_KEY. The watchdog queues lost jobs of a running task again."),
)


def examine() -> Iterator[Finding]:
    """Takes two queries, and reads the oldest hundred jobs."""
    queue = dispatch.queue_status()
    paths = dispatch.job_paths(LOOKED_AT)
    unknown = sorted({path for path in paths if path is not None} - dispatch.PATHS)
    unreadable = sum(path is None for path in paths)
    if queue.oldest_seconds > STUCK_SECONDS:
        yield STUCK(seconds=queue.oldest_seconds, waiting=queue.waiting)
    if unreadable:
        yield UNREADABLE(count=unreadable)
    if unknown:
        yield UNKNOWN(paths=join(unknown))
    yield FLOWS(waiting=queue.waiting, taken=queue.taken)
