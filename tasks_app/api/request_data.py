"""What a request carries besides its body: the user, the task's id and the idempotency key."""

import re
from typing import cast
from uuid import UUID

from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from tasks_app.errors import TaskNotFound
from tasks_app.lifecycle.events import Actor
from tasks_app.models.events import Channel

KEY_HEADER = "Idempotency-Key"
ID = r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
KEY = r"[!-~]([ -~]{0,253}[!-~])?"


def get_actor(request: Request) -> Actor:
    """Returns the user, acting through the API. For views behind a permission that needs a login."""
    return Actor(Channel.API, cast(User, request.user))


def parse_task_id(text: str) -> UUID:
    """Returns the task's id. Raises `TaskNotFound` for text that is no UUID with or without its hyphens.

    `UUID()` would also accept braces, `urn:uuid:` and hyphens anywhere.
    """
    if not re.fullmatch(ID, text):
        raise TaskNotFound(task_id=f"“{text[:40]}”")
    return UUID(text)


def get_idempotency_key(request: Request) -> str | None:
    """Returns the key that makes a repeated request harmless. Raises `ValidationError` for an invalid one."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not re.fullmatch(KEY, key):
        raise ValidationError({KEY_HEADER: [_("Give 1 to 255 printable ASCII characters.")]})
    return key
