"""Who calls: a knox token behind `Token` or `Bearer`."""

import logging
import re

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.authentication import SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from tasks_app.db.compiled_queries import Prepared

logger = logging.getLogger(__name__)
PREFIXES = (b"token", b"bearer")
_TOKEN = re.compile(rb"[!-~]{1,256}")
_HEADER = re.compile(r"\s*(?:token|bearer)\s+([!-~]{1,256})\s*", re.IGNORECASE | re.ASCII)
_BY_DIGEST = Prepared(
    lambda digest: AuthToken.objects.filter(digest=digest), ["expiry", "user__is_active"], "0" * 128
)


def is_valid(header: str) -> bool:
    """Whether this `Authorization` names a token that is good now: what `Token` says, in one small query."""
    if not (match := _HEADER.fullmatch(header)):
        return False
    row = _BY_DIGEST.row(hash_token(match[1]))
    return row is not None and row[1] and (row[0] is None or row[0] >= timezone.now())


class Token(TokenAuthentication):  # type: ignore[misc]
    """`Authorization: Token …` or `Bearer …`. A malformed token is refused before anything reads it."""

    def authenticate(self, request: Request) -> tuple[object, object] | None:
        # Debug pages hide variables by their name: `token` is one they hide.
        prefix, *token = get_authorization_header(request).split() or [b""]
        if prefix.lower() not in PREFIXES:
            return None
        # Bytes that are no text, or NUL, would break knox's look-up instead of failing it.
        if len(token) != 1 or not _TOKEN.fullmatch(token[0]):
            raise AuthenticationFailed(_("Malformed token. Send “Authorization: Token …” with one token."))
        return self.authenticate_credentials(token[0])  # type: ignore[no-any-return]

    def _cleanup_token(self, auth_token: AuthToken) -> bool:
        """Whether it has expired. knox would read all other tokens of its user, too, at every request."""
        return bool(auth_token.expiry and auth_token.expiry < timezone.now())


class Session(SessionAuthentication):
    """A browser's session; without its form's token it is told so in the reader's language."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as refused:
            logger.warning("%s", refused)  # which origin or cookie: for whoever runs the site
            told = _("The CSRF token is missing or wrong. Load the page again, or use an API token.")
            raise PermissionDenied(told) from None
