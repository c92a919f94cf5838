"""Encrypts texts for the database with a key derived from DJANGO_SECRET_KEY.

A copy of the database alone does not disclose them. The keys of SECRET_KEY_FALLBACKS still decrypt.
"""

import base64
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

PURPOSE = b"tasks_app.db.encryption"  # other uses of the secret key derive other keys


class Undecipherable(Exception):
    """The text was encrypted with another DJANGO_SECRET_KEY."""


def encrypt(text: str) -> str:
    """Returns the encrypted text, as ASCII."""
    return _cipher(_keys()).encrypt(text.encode()).decode()


def decrypt(text: str) -> str:
    """Returns the text. Raises `Undecipherable`."""
    from cryptography.fernet import InvalidToken

    try:
        return _cipher(_keys()).decrypt(text.encode()).decode()
    except InvalidToken as error:
        raise Undecipherable from error


def _keys() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *map(str, settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> "MultiFernet":
    """Returns the cipher of these keys. Imported here: few processes need the megabytes of the library."""
    from cryptography.fernet import Fernet, MultiFernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = (HKDF(SHA256(), 32, salt=None, info=PURPOSE).derive(key.encode()) for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
