"""The base class of commands: errors as one sentence in the terminal's language, never a traceback."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connection
from django.utils.translation import gettext, gettext_lazy as _

from tasks_app import logs
from tasks_app.db import errors
from tasks_app.db.server import database_name
from tasks_app.errors import CollectorError
from tasks_app.management.argparse_words import translate_argparse, translate_options
from tasks_app.management.output import write_for_terminal


class DatabaseUnavailable(CollectorError):
    code = "database_away"
    template = _("The database %(name)s does not respond: %(reason)s")


class TablesMissing(CollectorError):
    code = "unmigrated"
    template = _("Tables are missing in the database %(name)s. Run: %(manage)s migrate")


class TranslatedCommand(BaseCommand):
    """A command whose help and output are in the terminal's language."""

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        write_for_terminal()
        translate_argparse()
        self.help = gettext(self.help)
        parser = super().create_parser(*args, **kwargs)
        translate_options(parser)
        return parser


class CollectorCommand(TranslatedCommand, ABC):
    """A command that implements `run` and may raise `CollectorError`."""

    def handle(self, *args: Any, **options: Any) -> None:
        name = type(self).__module__.rpartition(".")[2]
        fields = logs.bind(request_id=logs.new_request_id(), command=name)
        try:
            with friendly_database_errors(), quiet_log(), fields:
                self.run(*args, **options)
        except CollectorError as error:
            self.report_error(error)
            raise CommandError(str(error)) from error

    @abstractmethod
    def run(self, *args: Any, **options: Any) -> None:
        """Does the work of the command."""

    def report_error(self, error: CollectorError) -> None:
        """Called before the command fails; a command may print the error in its own form."""


@contextmanager
def quiet_log() -> Iterator[None]:
    """Context with warnings and errors only in the log, whose lines would stand among the command's own.

    Unless DJANGO_LOG_LEVEL asks for them.
    """
    logger = logging.getLogger("tasks_app")
    level = logger.level
    if "DJANGO_LOG_LEVEL" not in os.environ:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def friendly_database_errors() -> Iterator[None]:
    """Turns errors of the database into `DatabaseUnavailable` or `TablesMissing`."""
    try:
        yield
    except Error as error:
        if errors.is_missing_table(error):
            raise TablesMissing(name=database_name()) from error
        reason = " ".join(str(error).split())  # PostgreSQL's messages have several lines
        raise DatabaseUnavailable(name=database_name(), reason=reason or type(error).__name__) from error


def require_database() -> None:
    """Connects now. Raises `DatabaseUnavailable`."""
    with friendly_database_errors():
        connection.ensure_connection()
