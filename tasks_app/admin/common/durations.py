"""How long something took, in words."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from tasks_app.models import CollectionTask


def in_words(length: timedelta) -> str:
    """The two largest units: "3 d 4 h", "3 h 5 min", "5 min 12 s", "12 s". Never negative."""
    seconds = max(0, int(length.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return _("%(days)d d %(hours)d h") % {"days": days, "hours": hours % 24}
    if hours:
        return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes % 60}
    if minutes:
        return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": seconds % 60}
    return _("%(seconds)d s") % {"seconds": seconds}


def about(length: timedelta) -> str:
    """An estimate, no more exact than it can be: "40 s", "12 min", "3 h 10 min", "2 d 4 h"."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return _("%(seconds)d s") % {"seconds": max(5, 5 * round(seconds / 5))}
    minutes = round(seconds / 60)
    if minutes < 60:
        return _("%(minutes)d min") % {"minutes": minutes}
    return in_words(timedelta(minutes=10 * round(minutes / 10)))


def task_duration(task: "CollectionTask", now: datetime | None = None) -> timedelta:
    """From the task's start to its end, or until now while it runs."""
    return (task.end_time or now or timezone.now()) - task.start_time
