"""What leads a new installation to real A-shares: sources without registration, the filled-in start form."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.translation import gettext as _

from tasks_app import command_lines
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.quotes.coverage import Coverage
from tasks_app.sources import registry

EMBEDDED = "sample"  # five US stocks that come with the code
CODES = "600519 000001 300750"


def build_first_steps(user: User | AnonymousUser, coverage: Sequence[Coverage]) -> dict[str, Any] | None:
    """Returns the panel's context; None once bars of a vendor are stored, or for users who may not start."""
    if not TaskPermissions.for_user(user).start or any(_is_of_vendor(row) for row in coverage):
        return None
    sources = [_describe(name, text) for name, text in _free_sources().items()]
    return {
        "sources": sources,
        "is_ready": any(source["is_installed"] for source in sources),
        "restart": f"{command_lines.manage()} quickstart",
    }


def _free_sources() -> dict[str, str]:
    """Returns the sources of A-shares that need no registration, and what is to be known of each."""
    return {
        "baostock": _(
            "BaoStock; the client takes 1 MB on the disk. A day of the whole market is one request."
        ),
        "akshare": _("Eastmoney through AKShare, which takes 110 MB on the disk"),
        "tencent": _("Tencent through AKShare: other hosts"),
        "sina": _("Sina through AKShare: other hosts"),
    }


def _is_of_vendor(row: Coverage) -> bool:
    if row.source in (None, EMBEDDED) or not row.bars:
        return False
    return not registry.traits(row.source or "", settings.COLLECTOR).is_synthetic


def _describe(name: str, text: str) -> dict[str, Any]:
    query = urlencode({"market": "CN", "source": name, "codes": CODES})
    is_installed = name in registry.available(settings.COLLECTOR)
    return {
        "name": name,
        "text": text,
        "is_installed": is_installed,
        "install": "" if is_installed else command_lines.install(registry.requirements(name)),
        "start": f"{reverse('admin:start')}?{query}" if is_installed else "",
    }
