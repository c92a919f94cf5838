"""What a user may do with tasks, asked of the database within another query."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Permission, User
from django.db.models import Exists, Q, Value
from django.db.models.expressions import Combinable

NAMES = {
    "view": "view_collectiontask",
    "cancel": "cancel_task",
    "retry": "retry_task",
    "start": "start_task",
}


@dataclass(frozen=True)
class Rights:
    """May look at tasks, cancel, retry and start them."""

    view: bool
    cancel: bool
    retry: bool
    start: bool


def permissions_of(user: Any) -> Rights:
    """By `has_perm`: two queries, unless the user's permissions were asked for before."""
    return Rights(**{verb: user.has_perm(f"tasks_app.{name}") for verb, name in NAMES.items()})


def columns(user: AbstractBaseUser | AnonymousUser) -> dict[str, Combinable]:
    """The same as columns `may_…` of any query, by Django's own tables of users' and groups' permissions."""
    return {f"may_{verb}": _held(user, name) for verb, name in NAMES.items()}


def read(row: Any) -> Rights:
    """What `columns` found."""
    return Rights(**{verb: bool(getattr(row, f"may_{verb}")) for verb in NAMES})


def needs_tables(user: AbstractBaseUser | AnonymousUser) -> bool:
    """False for the superuser, who may do anything."""
    return not (isinstance(user, User) and user.is_active and user.is_superuser)


def _held(user: AbstractBaseUser | AnonymousUser, name: str) -> Combinable:
    if not needs_tables(user):
        return Value(True)
    if not isinstance(user, User) or not user.is_active:
        return Value(False)
    found = Permission.objects.filter(content_type__app_label="tasks_app", codename=name)
    return Exists(found.filter(Q(user=user.pk) | Q(group__user=user.pk)))
