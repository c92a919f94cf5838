"""The priorities of orders, tasks and plans."""

from django.db import models
from django.utils.translation import pgettext_lazy


class Priority(models.IntegerChoices):
    """Orders of a higher priority start first; a due plan overtakes a running task of a lower one."""

    LOW = -1, pgettext_lazy("priority", "low")
    NORMAL = 0, pgettext_lazy("priority", "normal")
    HIGH = 1, pgettext_lazy("priority", "high")

    @classmethod
    def named(cls, name: str) -> "Priority":
        """Returns the priority of a name such as `low`. Raises `KeyError`."""
        return cls[name.upper()]

    @classmethod
    def name_of(cls, value: int) -> str:
        """Returns the name of a priority as the API writes it, such as `low`."""
        return cls(value).name.lower()


PRIORITY_NAMES = [(Priority.name_of(priority), priority.label) for priority in Priority]
