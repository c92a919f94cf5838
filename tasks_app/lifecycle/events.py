"""The record of who did what: every verb adds an event in its own transaction."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from tasks_app import logs
from tasks_app.models import TaskEvent
from tasks_app.models.events import Channel, EventKind

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Actor:
    """The user behind a verb and the channel; `user` is None for workers and the terminal."""

    channel: Channel
    user: User | None = None

    @property
    def name(self) -> str:
        return self.user.get_username() if self.user else ""


WORKER = Actor(Channel.WORKER)
LIST_REPEATED = "stock_list_repeated"  # the code of the warning that a stock list is requested again


def record_event(task_id: UUID, kind: EventKind, actor: Actor, **params: Any) -> None:
    """Adds an event, with the id of the request that is bound; once it is committed, it is logged, too.

    `params` must be serialisable as JSON.
    """
    TaskEvent.objects.create(
        task_id=task_id,
        kind=kind,
        user=actor.user,
        user_name=actor.name,
        channel=actor.channel,
        params=params,
        request_id=logs.bound("request_id"),
    )
    who = f"{actor.channel.value} {actor.name}".strip()
    transaction.on_commit(partial(_log, task_id, f"task {kind.value} by {who}"), robust=True)


def _log(task_id: UUID, text: str) -> None:
    with logs.bind(task_id=task_id):
        logger.info("%s", text)


def request_id_of_start(task_id: UUID) -> str:
    """Returns the id of the request that started the task; "" if it had none."""
    started = TaskEvent.objects.filter(task_id=task_id, kind=EventKind.STARTED)
    return started.values_list("request_id", flat=True).first() or ""
