"""The last sign-ins of a user: when, whether it succeeded, from which address."""

from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from tasks_app.admin.audit.views import describe
from tasks_app.db.keyset import Position
from tasks_app.lifecycle import audit_log
from tasks_app.models.audit import SESSION

SHOWN = 10


def last_sign_ins(user_name: str) -> list[dict[str, Any]]:
    """Returns the last sign-ins, failures and sign-outs of the name, the newest first."""
    wanted = audit_log.Filters(user_name=user_name, subject=SESSION)
    return [describe(entry) for entry in audit_log.page(wanted, Position(), SHOWN).rows]


def table(user_name: str) -> SafeString:
    """Returns them as a table."""
    return render_to_string("admin/access/sign_ins.html", {"sign_ins": last_sign_ins(user_name)})
