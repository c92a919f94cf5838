"""What a user may do with collection tasks."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User

VIEW = "tasks_app.view_collectiontask"
CANCEL = "tasks_app.cancel_task"
RETRY = "tasks_app.retry_task"
START = "tasks_app.start_task"


@dataclass(frozen=True)
class TaskPermissions:
    """Whether a user may view, cancel, retry and start tasks."""

    view: bool
    cancel: bool
    retry: bool
    start: bool

    @classmethod
    def for_user(cls, user: User | AnonymousUser) -> "TaskPermissions":
        """Asks Django, whose backend caches a user's permissions for the request: two queries at most."""
        view, cancel, retry, start = (user.has_perm(name) for name in (VIEW, CANCEL, RETRY, START))
        return cls(view, cancel, retry, start)
