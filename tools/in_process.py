"""Runs queued slices in the calling process, without workers."""

from django_q.models import OrmQ

from tasks_app.engine import slice


def work(limit: int = 100) -> int:
    """Runs the queued slices until none is left. Returns how many there were."""
    for count in range(limit):
        job = OrmQ.objects.order_by("pk").first()
        if job is None:
            return count
        job.delete()
        slice.run(*job.task["args"])
    raise AssertionError("the slices never end")
