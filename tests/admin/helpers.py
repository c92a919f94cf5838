"""Helpers of the staff pages' tests: signed-in clients, URLs, the text of a page, a task."""

import re
from typing import Any

from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState
from tests.factories import make_lane, make_task, make_user, sign_in

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
