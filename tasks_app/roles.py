"""The initial roles, as groups: viewer, operator, administrator.

They are created after every `migrate`. An existing group gets only the permissions that this migrate
created: what an administrator granted or revoked stays so.
"""

from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet

VIEWER, OPERATOR, ADMINISTRATOR = "viewer", "operator", "administrator"
OURS = Q(content_type__app_label="tasks_app")
AUDIT = Q(codename="view_auditevent")  # what everybody did, and from which address
VIEW = OURS & (Q(codename__startswith="view_") | Q(codename="bulk_read")) & ~AUDIT
VERBS = OURS & Q(
    codename__in=[
        *("start_task", "cancel_task", "pause_task", "retry_task", "export_data"),
        *("silence_incident", "inspect_system", "reorder_queue", "withdraw_order"),
    ]
)
PLANS = OURS & Q(content_type__model__in=["collectionplan", "target"])
ACCESS = Q(content_type__app_label="auth", content_type__model__in=["user", "group"]) | Q(
    content_type__app_label="knox", content_type__model="authtoken"
)
PERMISSIONS = {VIEWER: VIEW, OPERATOR: VIEW | VERBS | PLANS, ADMINISTRATOR: OURS | ACCESS}
_existing: dict[str, set[int]] = {}


def record_existing_permissions(using: str = "default", **_: Any) -> None:
    """Receiver of pre_migrate."""
    _existing[using] = set(_permissions(using).values_list("pk", flat=True)) if _is_ready(using) else set()


def create_groups(using: str = "default", **_: Any) -> None:
    """Receiver of post_migrate. Does nothing while the permission tables are missing."""
    if not _is_ready(using):
        return
    from django.contrib.auth.models import Group

    for name, permissions in PERMISSIONS.items():
        group, is_new = Group.objects.using(using).get_or_create(name=name)
        granted = _permissions(using).filter(permissions)
        group.permissions.add(*(granted if is_new else granted.exclude(pk__in=_existing.get(using, set()))))


def _permissions(using: str) -> QuerySet[Any]:
    from django.contrib.auth.models import Permission

    return Permission.objects.using(using)


def _is_ready(using: str) -> bool:
    return "auth_group_permissions" in connections[using].introspection.table_names()
