"""What a user may do with collection tasks."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User

VIEW_TASKS = "tasks_app.view_collectiontask"
START_TASK = "tasks_app.start_task"
CANCEL_TASK = "tasks_app.cancel_task"
VIEW_QUEUE = "tasks_app.view_queuedorder"
REORDER_QUEUE = "tasks_app.reorder_queue"
WITHDRAW_ORDER = "tasks_app.withdraw_order"
PAUSE_TASK = "tasks_app.pause_task"
RETRY_TASK = "tasks_app.retry_task"
VIEW_CALENDAR = "tasks_app.view_calendarday"
CHANGE_CALENDAR = "tasks_app.change_calendarday"
VIEW_SOURCES = "tasks_app.view_sourcesetting"
CHANGE_SOURCES = "tasks_app.change_sourcesetting"
VIEW_STOCKS = "tasks_app.view_stock"
CHANGE_STOCKS = "tasks_app.change_stock"
VIEW_RAW_ANSWERS = "tasks_app.view_recordedcall"
DELETE_DATA = "tasks_app.delete_source_data"
UPLOAD_FILES = "tasks_app.upload_files"
VIEW_TARGETS = "tasks_app.view_target"
CHANGE_TARGETS = "tasks_app.change_target"
VIEW_EXPORTS = "tasks_app.view_export"
VIEW_AUDIT = "tasks_app.view_auditevent"
EXPORT_AUDIT = "tasks_app.export_audit"
EXPORT_DATA = "tasks_app.export_data"
VIEW_INCIDENTS = "tasks_app.view_incident"
SILENCE_INCIDENT = "tasks_app.silence_incident"
VIEW_CHANNELS = "tasks_app.view_noticechannel"
CHANGE_CHANNEL = "tasks_app.change_noticechannel"
INSPECT_SYSTEM = "tasks_app.inspect_system"
CHANGE_PLAN = "tasks_app.change_collectionplan"
RUN_PLAN = "tasks_app.run_plan"


@dataclass(frozen=True)
class TaskPermissions:
    """Whether a user may view, cancel, pause and resume, retry and start tasks."""

    view: bool
    cancel: bool
    pause: bool
    retry: bool
    start: bool

    @classmethod
    def for_user(cls, user: User | AnonymousUser) -> "TaskPermissions":
        """Asks Django, whose backend caches a user's permissions for the request: two queries at most."""
        return cls(
            view=user.has_perm(VIEW_TASKS),
            cancel=user.has_perm(CANCEL_TASK),
            pause=user.has_perm(PAUSE_TASK),
            retry=user.has_perm(RETRY_TASK),
            start=user.has_perm(START_TASK),
        )
