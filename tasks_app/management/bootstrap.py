"""What a new installation needs before anybody can use it: tables, an administrator, a token."""

import os
import secrets

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from knox.models import AuthToken

from tasks_app.management import cli_errors

ADMIN = "admin"


def migrate() -> None:
    """Bring the tables up to date. Raises `DatabaseAway`."""
    cli_errors.require()
    with cli_errors.answering():
        call_command("migrate", verbosity=0, interactive=False)


def static_files() -> None:
    """Gather them where the web server looks when debug is off; with debug on it finds them by itself."""
    if not settings.DEBUG:
        call_command("collectstatic", verbosity=0, interactive=False)


def admin() -> tuple[User, str | None]:
    """The staff user `admin`, and its password if it was created just now, else None."""
    if user := User.objects.filter(username=ADMIN).first():
        return user, None
    password = os.environ.get("DJANGO_SUPERUSER_PASSWORD") or secrets.token_urlsafe(12)
    return User.objects.create_superuser(ADMIN, password=password), password


def token(user: User) -> str:
    """A new API token. It is stored hashed, so an earlier one can't be shown again; those stay valid."""
    return str(AuthToken.objects.create(user)[1])
