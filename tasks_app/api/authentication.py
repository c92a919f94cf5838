"""Authentication by API token (`Token` or `Bearer`) and by a browser's session."""

import logging
import re

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox import auth
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from tasks_app.db.compiled_queries import CompiledQuery

logger = logging.getLogger(__name__)
_PREFIXES = (b"token", b"bearer")
_TOKEN = re.compile(rb"[!-~]{1,256}")
_BY_DIGEST = CompiledQuery(
    lambda digest: AuthToken.objects.filter(digest=digest), ["expiry", "user__is_active"], "0" * 128
)


def has_valid_token(request: HttpRequest) -> bool:
    """Whether `TokenAuthentication` would accept the request; costs one small query and no user."""
    token = _find_token(request)
    row = _BY_DIGEST.row(hash_token(token.decode())) if token else None
    return row is not None and row[1] and (row[0] is None or row[0] >= timezone.now())


def _find_token(request: HttpRequest | Request) -> bytes | None:
    """Returns the token in the header, empty if malformed, None if the header holds no token.

    Other bytes, such as NUL, would break knox's look-up instead of failing it.
    """
    # Debug pages hide variables by their name: `token` is one that they hide.
    prefix, *token = str(request.META.get("HTTP_AUTHORIZATION", "")).encode("latin-1").split() or [b""]
    if prefix.lower() not in _PREFIXES:
        return None
    return token[0] if len(token) == 1 and _TOKEN.fullmatch(token[0]) else b""


class TokenAuthentication(auth.TokenAuthentication):  # type: ignore[misc]
    """`Authorization: Token …` or `Bearer …`. A malformed token is rejected before any query."""

    def authenticate(self, request: Request) -> tuple[object, object] | None:
        token = _find_token(request)
        if token == b"":
            raise AuthenticationFailed(_("Malformed token. Send “Authorization: Token …” with one token."))
        return None if token is None else self.authenticate_credentials(token)

    def _cleanup_token(self, auth_token: AuthToken) -> bool:
        """Whether it has expired. knox would also read all other tokens of its user at every request."""
        return bool(auth_token.expiry and auth_token.expiry < timezone.now())


class SessionAuthentication(authentication.SessionAuthentication):
    """A browser's session. A missing CSRF token is reported in the reader's language."""

    def enforce_csrf(self, request: Request) -> None:
        try:
            super().enforce_csrf(request)
        except PermissionDenied as error:
            logger.warning("%s", error)  # names the origin or cookie at fault: for the site's operators
            message = _("The CSRF token is missing or wrong. Load the page again, or use an API token.")
            raise PermissionDenied(message) from None
