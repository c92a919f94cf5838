"""Texts of findings: translated when they are shown, lists cut to a length that can be read."""

from collections.abc import Iterable

from django.utils.translation import gettext_lazy

__all__ = ["gettext_lazy", "join"]
MOST = 8


def join(names: Iterable[object]) -> str:
    """Returns the first names, and "…" if there are more than eight."""
    found = [str(name) for name in names]
    return ", ".join(found[:MOST]) + (", …" if len(found) > MOST else "")
