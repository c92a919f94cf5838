"""`manage.py worker`: runs this machine's workers."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils.translation import gettext_noop

from tasks_app.management import cli_arguments
from tasks_app.management.cli_errors import TranslatedCommand
from tasks_app.workers.supervisor import Supervisor


class Command(TranslatedCommand):
    help = gettext_noop(
        "Run the workers under a supervisor until SIGTERM or Ctrl-C; the second one stops at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        default = settings.COLLECTOR.workers
        parser.add_argument("--workers", type=cli_arguments.WORKERS, default=default, metavar="N")

    def handle(self, *args: Any, workers: int, **options: Any) -> None:
        raise SystemExit(Supervisor(workers).run())
