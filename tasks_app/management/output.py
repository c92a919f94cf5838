"""Tasks on a terminal: a summary, a list, and how numbers and times are put."""

import os
from collections.abc import Collection
from typing import IO, cast
from uuid import UUID

from django.core.management.base import OutputWrapper
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks_app import errors
from tasks_app.lifecycle import selectors
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus

COLOURS = {"running": "cyan", "completed": "green", "failed": "red", "cancelled": "yellow"}


def speak() -> None:
    """Answer in the language of the terminal, as LC_ALL, LC_MESSAGES or LANG tell."""
    told = next(filter(None, (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    translation.activate("zh-hans" if told.lower().startswith("zh") else "en")


def console(stream: OutputWrapper, no_color: bool = False) -> Console:
    """A console on a command's stream. Text is printed as it is: an error message is no markup."""
    stream.ending = ""  # or Django would end the bar's control codes with line feeds
    file = cast(IO[str], stream)
    return Console(file=file, markup=False, highlight=False, no_color=no_color or None)


def short(task_id: UUID) -> str:
    """The beginning of the id: enough for people, and for this program's commands."""
    return task_id.hex[:8]


def counts(task: CollectionTask) -> str:
    """How far it is: stocks, bars, failures."""
    if not task.planned_at:
        return _("reading the stock list")
    return _("%(done)s/%(total)s stocks  %(bars)s bars  %(failed)s failed") % {
        "done": f"{task.processed_stocks:,}",
        "total": f"{task.total_stocks:,}",
        "bars": f"{task.collected_count:,}",
        "failed": f"{task.failed_count:,}",
    }


def duration(seconds: float) -> str:
    """12 s, 3:20, 1:03:20."""
    whole = int(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}" if minutes else _("%(seconds)d s") % {"seconds": seconds}


def summarise(task: CollectionTask, console: Console) -> None:
    """A table of all that a task has done, and why stocks failed."""
    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _facts(task):
        table.add_row(label, Text(value, style=COLOURS.get(task.status, "") if value == status(task) else ""))
    console.print(table)


def tabulate(tasks: Collection[CollectionTask], console: Console) -> None:
    """Two lines for each task: 80 columns hold the whole id, which people copy, beside little else."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for head in (_("task"), _("status"), _("started at")):
        table.add_column(head, no_wrap=head != _("started at"), overflow="fold")
    for task in tasks:
        table.add_row(
            f"{task.pk}\n  {counts(task)}",
            Text(status(task), style=COLOURS.get(task.status, "")),
            Text(f"{moment(task)}\n{task.market} {task.source}"),
        )
    console.print(table if tasks else _("There are no such tasks."))


def moment(task: CollectionTask) -> str:
    """When it started, in the site's time zone."""
    return timezone.localtime(task.start_time).strftime("%Y-%m-%d %H:%M")


def status(task: CollectionTask) -> str:
    """The status in the reader's language."""
    return str(TaskStatus(task.status).label)


def _facts(task: CollectionTask) -> list[tuple[str, str]]:
    taken = (task.end_time or timezone.now()) - task.start_time
    order = f"{task.market} {task.source} {task.adjust} {task.start_date} – {task.end_date}"
    facts = [
        (_("task"), str(task.pk)),
        (_("status"), status(task)),
        (_("order"), " ".join(order.split())),
        (_("started at"), f"{moment(task)}, {duration(taken.total_seconds())}"),
        (_("stocks"), f"{task.processed_stocks:,}/{task.total_stocks:,}"),
        (_("succeeded"), f"{task.success_count:,}"),
        (_("failed"), f"{task.failed_count:,}"),
        (_("bars collected"), f"{task.collected_count:,}"),
        (_("bars corrected"), f"{task.corrected_count:,}"),
        (_("bars skipped"), f"{task.skipped_count:,}"),
        (_("bars refused"), f"{task.refused_count:,}"),
        (_("bars flagged"), f"{task.flagged_count:,}"),
    ]
    return facts + _shares(task) + _troubles(task)


def _shares(task: CollectionTask) -> list[tuple[str, str]]:
    """What came from which source, where there was more than one."""
    shares = selectors.shares_by_source([task])[task.pk]
    text = _("%(stocks)s stocks, %(bars)s bars")
    counted = {name: {key: f"{number:,}" for key, number in share.items()} for name, share in shares.items()}
    return [(name, text % share) for name, share in counted.items()]


def _troubles(task: CollectionTask) -> list[tuple[str, str]]:
    why = errors.translated_reason(task.error_code) or task.error_message
    troubles = [(_("error"), why)] if why else []
    for group in selectors.error_groups(task.pk) if task.failed_count else ():
        codes = ", ".join(group["sample_codes"])
        message = errors.translated_reason(group["error_code"]) or group["message"]
        troubles.append((group["error_code"], f"{group['count']:,} × {message} ({codes})"))
    return troubles
