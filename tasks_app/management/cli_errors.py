"""A database that does not answer, told in one sentence rather than a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connection
from django.utils.translation import gettext_lazy as _

from tasks_app.db import errors
from tasks_app.errors import CollectorError


class DatabaseAway(CollectorError):
    code = "database_away"
    template = _("The database %(name)s does not answer: %(reason)s")


class TablesMissing(CollectorError):
    code = "unmigrated"
    template = _("Tables are missing in the database %(name)s. Run: python manage.py migrate")


@contextmanager
def answering() -> Iterator[None]:
    """Turns whatever the database raises into `DatabaseAway` or `TablesMissing`."""
    try:
        yield
    except Error as error:
        if errors.is_missing_table(error):
            raise TablesMissing(name=name()) from error
        raise DatabaseAway(name=name(), reason=one_line(error)) from error


def require() -> None:
    """Connect now. Raises `DatabaseAway`."""
    with answering():
        connection.ensure_connection()


def name() -> str:
    """Where the database is, without its password."""
    place = connection.settings_dict
    if connection.vendor == "sqlite":
        return str(place["NAME"])
    user = f"{place['USER']}@" if place["USER"] else ""
    port = f":{place['PORT']}" if place["PORT"] else ""
    return f"{connection.vendor}://{user}{place['HOST']}{port}/{place['NAME']}"


def one_line(error: Exception) -> str:
    """The error's text on one line: PostgreSQL's come on several."""
    return " ".join(str(error).split()) or type(error).__name__
