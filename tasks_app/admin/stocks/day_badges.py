"""What is said of a bar's day, as badges: price limits reached, special treatment."""

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from tasks_app.admin.common import formatting
from tasks_app.quotes.daily_limits import COMPUTED, NAMES, UP


def day_badges(limits: dict[str, Any]) -> list[SafeString]:
    """Returns the badges of a day, given the columns of `quotes.daily_limits`.

    What the source did not tell has an asterisk and, as a title, how it is known.
    """
    badges = []
    if at := limits["at_limit"]:
        price = formatting.price(limits["limit_up" if at == UP else "limit_down"])
        text = _("limit up %(price)s") if at == UP else _("limit down %(price)s")
        icon = "vertical_align_top" if at == UP else "vertical_align_bottom"
        why = _("Computed by the board's rules") if limits["limits_from"] == COMPUTED else ""
        badges.append(_badge("info", icon, text % {"price": price}, why))
    if limits["is_st"]:
        why = _("By the recorded names") if limits["st_from"] == NAMES else ""
        badges.append(_badge("warn", "warning", _("ST"), why))
    return badges


def _badge(tone: str, icon: str, text: str, why: str) -> SafeString:
    if not why:
        return formatting.badge(tone, icon, text)
    return format_html('<span title="{}">{}</span>', why, formatting.badge(tone, icon, f"{text}*"))


def is_not_told(limits: dict[str, Any]) -> bool:
    """Returns whether a badge of the day has an asterisk."""
    by_rules = limits["at_limit"] and limits["limits_from"] == COMPUTED
    return bool(by_rules or (limits["is_st"] and limits["st_from"] == NAMES))
