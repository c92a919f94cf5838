"""`manage.py worker`: one worker machine."""

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from tasks_app.engine.supervisor import Supervisor


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


class Command(BaseCommand):
    help = "Run the workers under a supervisor until SIGTERM or Ctrl-C; the second one stops at once."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--workers", type=_positive, default=settings.COLLECTOR.workers, metavar="N")

    def handle(self, *args: Any, workers: int, **options: Any) -> None:
        settings.DEBUG = False  # else Django keeps the watchdog's last 9,000 queries in memory
        raise SystemExit(Supervisor(workers).run())
