"""Prepares a new installation: tables and an administrator."""

import os
import secrets

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command

from tasks_app.management import cli_errors

ADMIN = "admin"


def migrate_database() -> None:
    """Brings the tables up to date. Raises `DatabaseUnavailable`."""
    cli_errors.require_database()
    with cli_errors.friendly_database_errors():
        call_command("migrate", verbosity=0, interactive=False)


def collect_static_files() -> None:
    """Collects static files for the web server; on a local site it finds them itself."""
    if not settings.IS_LOCAL:
        call_command("collectstatic", verbosity=0, interactive=False)


def ensure_admin() -> tuple[User, str | None]:
    """Returns the user `admin`, created if missing, and its password if it was created now, else None."""
    if user := User.objects.filter(username=ADMIN).first():
        return user, None
    password = os.environ.get("DJANGO_SUPERUSER_PASSWORD") or secrets.token_urlsafe(12)
    return User.objects.create_superuser(ADMIN, password=password), password
