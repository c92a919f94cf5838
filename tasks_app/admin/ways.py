"""The ways through a long list: to its start, back, on, to its end."""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from tasks_app.db import keyset


class Way(NamedTuple):
    """A link; without an address where the way ends."""

    title: str
    icon: str
    url: str
    rel: str = ""


def beside(page: keyset.Page[Any], address: Callable[..., str]) -> list[Way]:
    """The four ways from this page. `address(after=…)` makes the link to a place."""
    back, on = page.before, page.after
    return [
        Way(_("First"), "first_page", "" if page.is_first else address()),
        Way(_("Previous"), "chevron_left", address(before=back) if back else "", "prev"),
        Way(_("Next"), "chevron_right", address(after=on) if on else "", "next"),
        Way(_("Last"), "last_page", address(before=keyset.END) if on else ""),
    ]
