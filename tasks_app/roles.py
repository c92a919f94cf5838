"""The roles that a site begins with, as groups: viewer, operator, administrator.

Made after every `migrate`. A group that is already there gets only the rights that this very migrate
brought: what an administrator added stays, what one took away does not come back.
"""

from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet

VIEWER, OPERATOR, ADMINISTRATOR = "viewer", "operator", "administrator"
OURS = Q(content_type__app_label="tasks_app")
LOOK = OURS & Q(codename__startswith="view_")
VERBS = OURS & Q(codename__in=["start_task", "cancel_task", "retry_task"])
PLANS = OURS & Q(content_type__model="collectionplan")
ACCESS = Q(content_type__app_label="auth", content_type__model__in=["user", "group"]) | Q(
    content_type__app_label="knox", content_type__model="authtoken"
)
RIGHTS = {VIEWER: LOOK, OPERATOR: LOOK | VERBS | PLANS, ADMINISTRATOR: OURS | ACCESS}
_earlier: dict[str, set[int]] = {}


def remember(using: str = "default", **_: Any) -> None:
    """Receiver of pre_migrate: note the rights that are there already."""
    _earlier[using] = set(_permissions(using).values_list("pk", flat=True)) if _is_ready(using) else set()


def install(using: str = "default", **_: Any) -> None:
    """Receiver of post_migrate. Does nothing while the tables of rights are missing."""
    if not _is_ready(using):
        return
    from django.contrib.auth.models import Group

    for name, rights in RIGHTS.items():
        group, made = Group.objects.using(using).get_or_create(name=name)
        granted = _permissions(using).filter(rights)
        group.permissions.add(*(granted if made else granted.exclude(pk__in=_earlier.get(using, set()))))


def _permissions(using: str) -> QuerySet[Any]:
    from django.contrib.auth.models import Permission

    return Permission.objects.using(using)


def _is_ready(using: str) -> bool:
    return "auth_group_permissions" in connections[using].introspection.table_names()
