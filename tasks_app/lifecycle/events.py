"""The record of who did what: every verb adds an event in its own transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User

from tasks_app.models import TaskEvent
from tasks_app.models.tasks import Channel, EventKind


@dataclass(frozen=True)
class Actor:
    """The user behind a verb and the channel; `user` is None for workers and the terminal."""

    channel: Channel
    user: User | None = None

    @property
    def name(self) -> str:
        return self.user.get_username() if self.user else ""


WORKER = Actor(Channel.WORKER)


def record_event(task_id: UUID, kind: EventKind, actor: Actor, **params: Any) -> None:
    """Adds an event. `params` must be serialisable as JSON."""
    TaskEvent.objects.create(
        task_id=task_id,
        kind=kind,
        user=actor.user,
        user_name=actor.name,
        channel=actor.channel,
        params=params,
    )
