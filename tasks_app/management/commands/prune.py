"""`manage.py prune`: delete old tasks now, rather than a batch at a time by the watchdog."""

from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tasks_app.errors import CollectorError
from tasks_app.lifecycle import retention
from tasks_app.lifecycle.retention import DeletedRows
from tasks_app.management import cli_errors, output
from tasks_app.models import CollectionItem

CENTURY = 36_500


def _days(text: str) -> int:
    if not 1 <= (number := int(text)) <= CENTURY:
        raise ArgumentTypeError(f"must be 1 to {CENTURY}")
    return number


class Command(BaseCommand):
    help = "Delete ended tasks that are older than COLLECTOR_RETENTION_DAYS. Stored bars stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=_days, metavar="N", help="instead of COLLECTOR_RETENTION_DAYS")
        parser.add_argument("--dry-run", action="store_true", help="say what would go, and delete nothing")

    def handle(self, *args: Any, days: int | None, dry_run: bool, no_color: bool, **options: Any) -> None:
        output.speak()
        console = output.console(self.stdout, no_color)
        days = days or settings.COLLECTOR.retention_days
        if not days:
            console.print(_("Every task is kept. Set COLLECTOR_RETENTION_DAYS, or give --days."))
            return
        try:
            with cli_errors.answering():
                _run(console, days, dry_run)
        except CollectorError as error:
            raise CommandError(str(error)) from error


def _run(console: Console, days: int, dry_run: bool) -> None:
    found = _count(days)
    text = _("Tasks that ended more than %(days)s days ago: %(tasks)s; their items: %(items)s.")
    console.print(text % {"days": f"{days:,}", **_told(found)}, soft_wrap=True)
    if found.tasks and not dry_run:
        gone = _prune(console, days, found)
        console.print(_deleted(gone), soft_wrap=True)


def _count(days: int) -> DeletedRows:
    tasks = retention.expired(days)
    items = CollectionItem.objects.filter(task__in=tasks.order_by())
    return DeletedRows(tasks.count(), items.count())


def _prune(console: Console, days: int, found: DeletedRows) -> DeletedRows:
    """Batch by batch, with a line that moves where there is a terminal."""
    tasks = items = 0
    columns = (BarColumn(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        row = progress.add_task("", total=found.total, text="")
        while (gone := retention.prune(days)).total:
            tasks, items = tasks + gone.tasks, items + gone.items
            text = _deleted(DeletedRows(tasks, items))
            progress.update(row, completed=tasks + items, text=text, refresh=True)
    return DeletedRows(tasks, items)


def _deleted(gone: DeletedRows) -> str:
    return _("Deleted tasks: %(tasks)s; items: %(items)s.") % _told(gone)


def _told(counted: DeletedRows) -> dict[str, str]:
    return {"tasks": f"{counted.tasks:,}", "items": f"{counted.items:,}"}
