"""Runs queued slices in the calling process, without a cluster."""

from django_q.models import OrmQ

from tasks_app.engine import slice


def work(limit: int = 100) -> int:
    """Run the queued slices in this process until none is left; how many there were."""
    for count in range(limit):
        job = OrmQ.objects.order_by("pk").first()
        if job is None:
            return count
        job.delete()
        slice.run(*job.task["args"])
    raise AssertionError("the slices never end")
