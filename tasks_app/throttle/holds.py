"""The hold of a source by one user of it, where its vendor allows one session at a time.

While it lasts, the limiter gives permits to the holder alone. It ends by itself, should the holder die.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

from django.db.models import Q

from tasks_app.db.functions import Clock
from tasks_app.models import SourceGate


@contextmanager
def held(source: str, seconds: float) -> Iterator[str]:
    """Holds a source for so long unless it is renewed. Yields the holder's name, "" if another one has it."""
    holder = uuid4().hex
    SourceGate.objects.bulk_create([SourceGate(source=source)], ignore_conflicts=True)
    holder = holder if renew(source, holder, seconds) else ""
    try:
        yield holder
    finally:
        if holder:
            gate = SourceGate.objects.filter(pk=source, held_by=holder)
            gate.update(held_until=None, held_by="")


def renew(source: str, holder: str, seconds: float) -> bool:
    """Takes or extends the hold. Returns False while another one has it."""
    is_free = Q(held_until__isnull=True) | Q(held_until__lte=Clock()) | Q(held_by=holder)
    gate = SourceGate.objects.filter(is_free, pk=source)
    return gate.update(held_until=Clock() + timedelta(seconds=seconds), held_by=holder) == 1
