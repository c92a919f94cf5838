"""Runs queued jobs in the calling process, without workers."""

from django.utils.module_loading import import_string
from django_q.models import OrmQ


def work_one() -> bool:
    """Takes a job off the queue, if it is still there, and runs it. Returns False if there is none."""
    job = OrmQ.objects.order_by("pk").first()
    if job and OrmQ.objects.filter(pk=job.pk).delete()[0]:
        import_string(job.task["func"])(*job.task["args"])
    return job is not None


def work(limit: int = 100) -> int:
    """Runs the queued jobs until none is left. Returns how many there were."""
    for count in range(limit):
        if not work_one():
            return count
    raise AssertionError("the jobs never end")
