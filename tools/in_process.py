"""Runs queued slices in the calling process, without workers."""

from django_q.models import OrmQ

from tasks_app.engine import slice


def work_one() -> bool:
    """Takes a slice off the queue, if it is still there, and runs it. Returns False if there is none."""
    job = OrmQ.objects.order_by("pk").first()
    if job and OrmQ.objects.filter(pk=job.pk).delete()[0]:
        slice.run(*job.task["args"])
    return job is not None


def work(limit: int = 100) -> int:
    """Runs the queued slices until none is left. Returns how many there were."""
    for count in range(limit):
        if not work_one():
            return count
    raise AssertionError("the slices never end")
