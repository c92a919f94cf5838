"""Data as after a month of use, for the screenshots: `tests.browser.demo_data`, on an empty database.

The quotes are collected from the sample source. The past tasks are rows without items.
"""

import os
import random
from datetime import datetime, time, timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collector_site.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from tasks_app.models import CollectionTask, TaskEvent  # noqa: E402
from tasks_app.models.events import Channel, EventKind  # noqa: E402
from tasks_app.models.tasks import TaskStatus  # noqa: E402
from tests.browser.seed_data import SAMPLE, make_users, start  # noqa: E402
from tools.in_process import work  # noqa: E402

RUNS = 64
SIMULATED, STOCKS = "simulated", 1800
ENDS = [TaskStatus.COMPLETED] * 17 + [TaskStatus.CANCELLED] * 2 + [TaskStatus.FAILED]


def make_past_tasks(user: User, draw: random.Random) -> None:
    """Creates two runs on each day before today, most of which succeeded."""
    today = timezone.now().date()
    days = [today - timedelta(days=1 + number // 2) for number in range(RUNS)]
    evenings = [time(18, 5), time(8, 30)]
    moments = [
        datetime.combine(day, evenings[n % 2], timezone.get_current_timezone()) for n, day in enumerate(days)
    ]
    for at in reversed(moments):
        task = CollectionTask.objects.create(**_task_fields(at, user, draw))
        for kind, when in ((EventKind.STARTED, at), (EventKind(task.status), task.end_time)):
            TaskEvent.objects.create(task=task, kind=kind, at=when, user=user, channel=Channel.ADMIN)


def _task_fields(at: datetime, user: User, draw: random.Random) -> dict[str, Any]:
    """Returns the fields of a task that was started then; its counters add up."""
    status = draw.choice(ENDS)
    share = 1.0 if status == TaskStatus.COMPLETED else draw.uniform(0.1, 0.8)
    processed = round(STOCKS * share)
    failed = processed if status == TaskStatus.FAILED else round(processed * draw.choice([0, 0, 0.002, 0.01]))
    bars = (processed - failed) * draw.choice([1, 1, 1, 21])
    return {
        "status": status,
        "market": "SIM",
        "source": SIMULATED,
        "start_date": at.date() - timedelta(days=draw.choice([1, 1, 1, 30])),
        "end_date": at.date(),
        "start_time": at,
        "planned_at": at + timedelta(seconds=2),
        "heartbeat_at": at,
        "end_time": at + timedelta(seconds=round(processed * draw.uniform(0.9, 1.3))),
        "total_stocks": STOCKS,
        "processed_stocks": processed,
        "success_count": processed - failed,
        "failed_count": failed,
        "collected_count": bars,
        "error_code": "all_failed" if status == TaskStatus.FAILED else "",
        "created_by": user,
    }


def main() -> None:
    call_command("migrate", verbosity=0)
    users = make_users()
    make_past_tasks(users["operator"], random.Random("a month"))
    start(SAMPLE, users["operator"])
    work()


if __name__ == "__main__":
    main()
