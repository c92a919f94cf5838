"""The API token of `quickstart`, kept in a file of the user's own, so that a start does not issue a new one.

Only digests are stored in the database. So the token itself lies in a file that only this user of the machine
may read, beside the database or the cache. It is replaced as soon as it no longer works.
"""

import logging
import os
import re
import stat
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from knox.crypto import hash_token
from knox.models import AuthToken

from tasks_app.lifecycle import audit, tokens
from tasks_app.lifecycle.events import Actor
from tasks_app.models.access import TokenScope
from tasks_app.models.audit import AuditVerb
from tasks_app.models.events import Channel

NAME = "quickstart"
_TOKEN = re.compile(r"[!-~]{1,256}")
logger = logging.getLogger(__name__)


def keep_token(user: User) -> str:
    """Returns the kept token if it works for the user and may operate, else a new one, which is kept."""
    path = Path(settings.QUICKSTART_TOKEN_FILE)
    kept = _read(path)
    if kept and _works(kept, user):
        return kept
    with transaction.atomic():
        token, secret = tokens.issue(user, NAME, TokenScope.OPERATE, None)
        audit.record(AuditVerb.CREATED, tokens.SUBJECT, Actor(Channel.COMMAND), **tokens.described(token))
    try:
        _write(path, secret)
    except OSError as error:
        logger.warning("The API token %s… can't be kept in %s: %s", token.token_key[:8], path, error)
    return secret


def _works(secret: str, user: User) -> bool:
    unexpired = Q(expiry__isnull=True) | Q(expiry__gte=Now())
    token = AuthToken.objects.filter(unexpired, digest=hash_token(secret), user=user, user__is_active=True)
    found = token.select_related("details").first()
    return found is not None and tokens.scope_of(found) == TokenScope.OPERATE


def _read(path: Path) -> str:
    """Returns the token in the file; "" if there is none, or others may have read or written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # there is none, or none of ours
        return ""
    with open(descriptor, encoding="ascii", errors="replace") as file:
        status = os.fstat(file.fileno())
        is_ours = os.name == "nt" or (
            status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        )
        text = file.read(300).strip()
    return text if is_ours and _TOKEN.fullmatch(text) else ""


def _write(path: Path, secret: str) -> None:
    """Replaces the file in one step: another start reads the old or the new token, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")
    draft.replace(path)
