"""Helpers of the staff pages' tests: signed-in clients, URLs, the text of a page, a task."""

import json
import re
from dataclasses import asdict
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionItem, CollectionTask, TaskEvent
from tasks_app.models.events import Channel
from tasks_app.models.states import ItemState
from tests.factories import make_lane, make_order, make_task, make_user, sign_in

TASKS = "tasks_app_collectiontask"
ITEMS = "tasks_app_collectionitem"


def staff_client(*permissions: str, **fields: Any) -> Client:
    """Returns a client signed in as a staff user with these permissions."""
    client = Client()
    sign_in(client, make_user(fields.pop("name", "staff"), *permissions, is_staff=True, **fields))
    return client


def superuser_client() -> Client:
    return staff_client(name="root", is_superuser=True)


def url(page: str, *args: Any) -> str:
    return reverse(f"admin:{page}", args=args)


def text_of(response: Any) -> str:
    """Returns the page's text, without tags and runs of blanks."""
    return strip_tags(response.content.decode())


def strip_tags(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def messages_of(response: Any) -> str:
    """Returns the messages that the response, which is not followed, leaves for the next page."""
    return " | ".join(re.sub(r"<[^>]+>", " ", str(m)) for m in get_messages(response.wsgi_request))


def make_half_done() -> CollectionTask:
    """Returns a running task: of its three stocks one has succeeded and one has failed."""
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED, collected=12154))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout", error_message="No answer in 30 s."))
    task.refresh_from_db()
    return task


def insert_ended(status: str, **fields: Any) -> CollectionTask:
    """Returns a task that has ended as `status`: its rows as the verbs leave them, in a tenth of their time.

    A failed one has no incident. Where that matters, `make_ended` of the factories makes it by the verbs.
    """
    order = asdict(make_order(**{"stock_codes": ("000001",), **fields}))
    order["market"] = order["market"] or ("SIM" if order["source"] == "simulated" else "CN")
    ordered = {**order, "fallbacks": list(order["fallbacks"] or ())}
    codes, at = order["stock_codes"], timezone.now()
    state = {"completed": ItemState.SUCCEEDED, "failed": ItemState.FAILED}.get(status, ItemState.PENDING)
    ends = {} if status == "cancelled" else {"attempts": 1, "fence": 1, "started_at": at, "finished_at": at}
    processed = len(codes) if ends else 0
    failed = processed if status == "failed" else 0
    reason = f"Every stock failed ({failed}). The first one is {codes[0]}: "
    task = CollectionTask.objects.create(
        **{**ordered, "stock_codes": list(codes)},
        **dict.fromkeys(("start_time", "planned_at", "heartbeat_at", "end_time"), at),
        status=status,
        total_stocks=len(codes),
        processed_stocks=processed,
        success_count=processed - failed,
        failed_count=failed,
        error_code="all_failed" if failed else "",
        error_message=reason if failed else "",
    )
    items = [CollectionItem(task=task, position=n, code=code, state=state) for n, code in enumerate(codes)]
    for item in items:
        vars(item).update(ends)
    CollectionItem.objects.bulk_create(items)
    who = Channel.COMMAND if status == "cancelled" else Channel.WORKER
    TaskEvent.objects.bulk_create(
        TaskEvent(task=task, kind=kind, channel=channel, at=at, params=params)
        for kind, channel, params in (
            ("started", Channel.COMMAND, {"order": json.loads(json.dumps(ordered, default=str))}),
            (status, who, {"code": task.error_code} if failed else {}),
        )
    )
    task.refresh_from_db()
    return task
