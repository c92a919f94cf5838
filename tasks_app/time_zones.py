"""Which time zone a reader's times are in, and how a time is written: never without the name of its zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy as _

from tasks_app.models import UserPreference

CHINA = "Asia/Shanghai"
SESSION_KEY = "time_zone"
NAMES = {  # abbreviations are ambiguous: CST is also Chicago's
    "UTC": _("UTC"),
    CHINA: _("Beijing time"),
    "Asia/Hong_Kong": _("Hong Kong time"),
    "Asia/Tokyo": _("Tokyo time"),
    "Asia/Singapore": _("Singapore time"),
    "Europe/London": _("London time"),
    "America/New_York": _("New York time"),
}


def remember_choice(request: HttpRequest, user: Any, **_: object) -> None:
    """Puts the user's zone into the session, at sign-in and when chosen: pages need no query."""
    rows = UserPreference.objects.filter(user_id=user.pk)
    request.session[SESSION_KEY] = rows.values_list("time_zone", flat=True).first() or ""


def zone_of_reader(request: HttpRequest | None = None) -> ZoneInfo:
    """Returns the zone that the user of the session has chosen, else the default one.

    In a session from before the choice the new one applies after the next sign-in.
    """
    chosen = request.session.get(SESSION_KEY, "") if request else ""
    return ZoneInfo(chosen or default_zone())


def default_zone() -> str:
    """Returns the name of the zone of readers who have chosen none.

    Where DJANGO_TIME_ZONE is not set, readers of Chinese have China's.
    """
    if not settings.TIME_ZONE_IS_SET and (get_language() or "").startswith("zh"):
        return CHINA
    return str(settings.TIME_ZONE)


def name_of(zone: str) -> str:
    """Returns the zone's name in the reader's language, else that of the time zone database."""
    return str(NAMES.get(zone, zone))


def current_name() -> str:
    """Returns the name of the active zone."""
    return name_of(timezone.get_current_timezone_name())


def write(value: datetime, *, seconds: bool = False) -> str:
    """Returns a time in the active zone with the zone's name, such as 2025-08-01 17:30 Beijing time."""
    local = timezone.localtime(value)
    text = f"{local:%Y-%m-%d %H:%M:%S}" if seconds else f"{local:%Y-%m-%d %H:%M}"
    return f"{text} {current_name()}"


def choices() -> list[tuple[str, str]]:
    """Returns all zones for a form: those with a name of ours first, then the others by their names."""
    named = [(zone, zone if zone == "UTC" else f"{zone} ({name})") for zone, name in NAMES.items()]
    return named + [(zone, zone) for zone in sorted(available_timezones() - NAMES.keys()) if "/" in zone]
