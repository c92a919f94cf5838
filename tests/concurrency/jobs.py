"""Jobs for a real cluster, and a process that queues them: `python -m tests.concurrency.jobs`.

A job leaves lines `pid text` in a file, which is how the tests see where and when it ran.
"""

import json
import os
import sys
import time

from tasks_app.workers import shutdown


def note(path: str, text: str) -> None:
    """One line, appended at once."""
    with open(path, "a") as file:
        file.write(f"{os.getpid()} {text}\n")


def linger(path: str, seconds: float) -> None:
    """Busy for a while, as a request is; says when it begins and when it ends."""
    note(path, "begun")
    time.sleep(seconds)
    note(path, "ended")


def until_drained(path: str) -> None:
    """Busy like a slice: until it is asked to hand back."""
    note(path, "begun")
    while not shutdown.is_requested():
        time.sleep(0.05)
    note(path, "handed back")


def deaf(path: str) -> None:
    """Hangs, and does not listen to its time-out."""
    note(path, "begun")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            note(path, "did not listen")


def die_holding_the_timer(path: str) -> None:
    """As if SIGKILLed just after the job, when django-q2's worker holds its timer's lock."""
    from django_q.signals import post_execute_in_worker

    post_execute_in_worker.connect(lambda **_: os.kill(os.getpid(), 9), weak=False)
    note(path, "begun")


def fork_and_terminate(path: str) -> None:
    """A job's own child must be stoppable, although workers themselves ignore SIGTERM."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, 15)
    note(path, f"child {os.waitpid(child, 0)[1]}")


def serve() -> None:
    """Queues one job per line of stdin: [function, arguments, options]."""
    import django

    django.setup()
    from django_q.tasks import async_task

    for line in sys.stdin:
        function, arguments, options = json.loads(line)
        async_task(f"tests.concurrency.jobs.{function}", *arguments, **options)
        print("queued", flush=True)


if __name__ == "__main__":
    serve()
