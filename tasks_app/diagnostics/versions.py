"""The versions of the programs that this process runs."""

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from django.conf import settings

CODE = "code"
PROGRAMS = (
    "django",
    "django-q2",
    "djangorestframework",
    "django-unfold",
    "exchange_calendars",
    "pyarrow",
    "psycopg",
)
ROOT = Path(__file__).resolve().parents[2]


def own_version() -> str:
    """Returns the version of this application, such as "1.0.0"."""
    return str(settings.SPECTACULAR_SETTINGS["VERSION"])


@cache
def code_digest() -> str:
    """Returns twelve digits that are the same where the same code is installed.

    Computed at the first call: a process that is to tell what it runs calls it at its start.
    """
    digest = hashlib.sha256()
    for path in sorted(
        path for folder in ("tasks_app", "collector_site") for path in (ROOT / folder).rglob("*.py")
    ):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _installed() -> dict[str, str]:
    found = {}
    for program in PROGRAMS:
        try:
            found[program] = metadata.version(program)
        except metadata.PackageNotFoundError:  # psycopg on a machine that uses SQLite, for example
            found[program] = ""
    return found


def versions() -> dict[str, str]:
    """Returns the versions by name: ours, a digest of our code, Python's, and those of the main packages."""
    ours = {"collector": own_version(), CODE: code_digest(), "python": platform.python_version()}
    return ours | _installed()
