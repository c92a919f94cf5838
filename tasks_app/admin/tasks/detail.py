"""The frame of the task page around its live parts: addresses, the grid's legend, the script's texts."""

from typing import Any

from django.utils.translation import gettext as _

from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.tasks import columns, grid, live_updates
from tasks_app.models import CollectionTask
from tasks_app.models.states import ItemState

INTERVALS = (1, 2, 5, 10, 30)


def build_detail_context(task: CollectionTask, may: TaskPermissions) -> dict[str, Any]:
    """Returns the template context. The task comes from `live_updates.page_tasks`."""
    return {
        "breadcrumbs": [
            Breadcrumb(columns.TASKS, formatting.admin_url("collectiontask")),
            Breadcrumb(formatting.short_id(task.pk)),
        ],
        "live_url": formatting.task_url(task.pk, "live"),
        "stocks_url": formatting.task_url(task.pk, "stocks"),
        "items_url": columns.items_url(task),
        "intervals": INTERVALS,
        "states": [(grid.STATE_LETTERS[state], state.label) for state in ItemState],
        "texts": script_texts(),
        **live_updates.build_parts_context(task, may),
    }


def script_texts() -> dict[str, Any]:
    """Returns the texts of the page's script. `{…}` are its placeholders."""
    return {
        "units": {"d": _("{n} d"), "h": _("{n} h"), "min": _("{n} min"), "s": _("{n} s")},
        "ago": _("{time} ago"),
        "updated": _("Updated {time} ago"),
        "paused": _("The refresh is paused. Updated {time} ago"),
        "final": _("The task has ended; this page no longer changes."),
        "ended": _("{progress}. The task has ended; this page no longer changes."),
        "lost": _("No connection to the server: what you see is {time} old. Next try in {wait}."),
        "failing": _("The server reports an error ({status}). Next try in {wait}."),
        "signed_out": _("You are signed out."),
        "sign_in": _("Sign in again"),
        "forbidden": _("You are no longer allowed to see this task."),
        "gone": _("This task no longer exists."),
        "planning": _("The stock list is being read; the cells appear once it is planned."),
        "no_stocks": _("There are no stocks."),
        "none_such": _("No stock is in this state."),
        "loading": _("loading …"),
        "attempts": _("attempts"),
        "rows": _("bars"),
        "refused": _("refused"),
        "took": _("took"),
        "error": _("error"),
        "cells": _("{count} stocks"),
        "states": {grid.STATE_LETTERS[state]: str(state.label) for state in ItemState},
    }
