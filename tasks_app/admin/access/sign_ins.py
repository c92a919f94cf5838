"""How a user signs in: whether there is a password, and when, with which result, from which address."""

from typing import Any

from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, pgettext

from tasks_app.admin.audit.views import describe
from tasks_app.admin.common import formatting
from tasks_app.db.keyset import Position
from tasks_app.lifecycle import audit_log
from tasks_app.models.audit import SESSION
from tasks_app.sentences import list_words

SHOWN = 10


def last_sign_ins(user_name: str) -> list[dict[str, Any]]:
    """Returns the last sign-ins, failures and sign-outs of the name, the newest first."""
    wanted = audit_log.Filters(user_name=user_name, subject=SESSION)
    return [describe(entry) for entry in audit_log.page(wanted, Position(), SHOWN).rows]


def table(user_name: str) -> SafeString:
    """Returns them as a table."""
    return render_to_string("admin/access/sign_ins.html", {"sign_ins": last_sign_ins(user_name)})


def account_state(user: User) -> SafeString:
    """Returns where the user may sign in: here, with a token only, or nowhere."""
    if not user.is_active:
        return formatting.badge("plain", "block", _("switched off"))
    if not user.is_staff:
        return formatting.badge("plain", "api", _("API only"))
    return formatting.badge("good", "check_circle", _("active"))


def role(user: User) -> SafeString | str:
    """Returns the user's groups; of a superuser that no group matters."""
    groups = list_words(group.name for group in user.groups.all())
    if not user.is_superuser:
        return groups or formatting.EMPTY
    badge = formatting.badge("info", "shield_person", _("superuser"))
    return formatting.two_lines(badge, groups) if groups else badge


def superuser_state(user: User) -> SafeString:
    """Returns whether the user may do everything, and who can change it."""
    state = ("info", "shield_person", _("Yes")) if user.is_superuser else ("plain", "block", _("No"))
    text = _("Only a superuser can change this. A superuser has every permission, regardless of groups.")
    return formatting.two_lines(formatting.badge(*state), text)


def last_sign_in(user: User) -> SafeString | str:
    return formatting.timestamp(user.last_login) if user.last_login else pgettext("sign-in", "never")


def password_state(user: User) -> SafeString:
    """Returns whether a password is set."""
    is_set = user.has_usable_password()
    return formatting.badge(*("good", "check_circle", _("set")) if is_set else ("plain", "block", _("none")))


def password_state_and_link(user: User) -> SafeString:
    """Returns whether a password is set, and a link to the page that sets another one."""
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    words = _("Set another password") if user.has_usable_password() else _("Set a password")
    return formatting.two_lines(password_state(user), formatting.link(page, words))
