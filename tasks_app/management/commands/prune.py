"""`manage.py prune`: deletes old tasks, raw answers and changes now; the watchdog does it in batches."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _, gettext_noop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from tasks_app.history import retention as changes
from tasks_app.lifecycle import retention
from tasks_app.lifecycle.retention import DeletedRows
from tasks_app.management import output
from tasks_app.management.cli_arguments import whole_number
from tasks_app.management.cli_errors import CollectorCommand
from tasks_app.models import CollectionItem, RecordedCall
from tasks_app.quotes import raw_answers

CENTURY = 36_500


class Command(CollectorCommand):
    help = gettext_noop(
        "Delete ended tasks that are older than COLLECTOR_RETENTION_DAYS, and raw answers beyond "
        "COLLECTOR_RAW_ANSWERS_MB or COLLECTOR_RAW_ANSWERS_DAYS, and changes older than "
        "COLLECTOR_VERSION_DAYS with what they overwrote. Stored bars stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=whole_number(1, CENTURY),
            metavar="N",
            help=_("instead of COLLECTOR_RETENTION_DAYS"),
        )
        parser.add_argument(
            "--dry-run", action="store_true", help=_("print what would be deleted, and delete nothing")
        )

    def run(self, *args: Any, days: int | None, dry_run: bool, no_color: bool, **options: Any) -> None:
        console = output.console(self.stdout, no_color)
        _prune_raw_answers(console, dry_run=dry_run)
        _prune_changes(console, dry_run=dry_run)
        days = days or settings.COLLECTOR.retention_days
        if not days:
            console.print(_("Every task is kept. Set COLLECTOR_RETENTION_DAYS, or give --days."))
            return
        tasks = retention.expired(days)
        items = CollectionItem.objects.filter(task__in=tasks.order_by())
        expired = DeletedRows(tasks.count(), items.count())
        text = _("Tasks that ended more than %(days)s days ago: %(tasks)s; their items: %(items)s.")
        console.print(text % {"days": f"{days:,}", **_formatted(expired)}, soft_wrap=True)
        if expired.tasks and not dry_run:
            console.print(_deleted(_prune(console, days, expired)), soft_wrap=True)


def _prune_raw_answers(console: Console, *, dry_run: bool) -> None:
    """Says how much is kept, and deletes what is too old or too much."""
    conf, deleted = settings.COLLECTOR, 0
    if not RecordedCall.objects.exists():
        return
    while not dry_run and (batch := retention.prune_raw_answers(conf.raw_answers_mb, conf.raw_answers_days)):
        deleted += batch
    text = _("Raw answers: %(size)s kept, compressed; deleted: %(deleted)s.")
    console.print(text % {"size": filesizeformat(raw_answers.kept_bytes()), "deleted": f"{deleted:,}"})


def _prune_changes(console: Console, *, dry_run: bool) -> None:
    """Says how many changes are too old, and deletes them with what they overwrote."""
    days = settings.COLLECTOR.version_days
    if not days:
        return
    old = changes.expired(days).count()
    while not dry_run and changes.prune(days):
        pass
    text = _("Changes more than %(days)s days ago, with what they overwrote: %(changes)s.")
    console.print(text % {"days": f"{days:,}", "changes": f"{old:,}"}, soft_wrap=True)


def _prune(console: Console, days: int, expired: DeletedRows) -> DeletedRows:
    """Deletes batch by batch, with a progress bar on a terminal."""
    tasks = items = 0
    columns = (BarColumn(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        row = progress.add_task("", total=expired.total, text="")
        while (pruned := retention.prune(days)).total:
            tasks, items = tasks + pruned.tasks, items + pruned.items
            text = _deleted(DeletedRows(tasks, items))
            progress.update(row, completed=tasks + items, text=text, refresh=True)
    return DeletedRows(tasks, items)


def _deleted(pruned: DeletedRows) -> str:
    return _("Deleted tasks: %(tasks)s; items: %(items)s.") % _formatted(pruned)


def _formatted(counts: DeletedRows) -> dict[str, str]:
    return {"tasks": f"{counts.tasks:,}", "items": f"{counts.items:,}"}
