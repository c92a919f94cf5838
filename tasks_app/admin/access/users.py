"""Users and groups in the site's looks."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Field, Q
from django.http import HttpRequest
from django.utils.translation import gettext as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tasks_app import roles

if TYPE_CHECKING:  # unfold is untyped; its classes are Django's with other looks
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffUserAdmin(UserAdmin[User], ModelAdmin[User]):
    """Who may sign in, and what each may do. Superusers are made and changed by superusers alone."""

    change_list_template = "admin/tasks_app/change_list.html"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        """Groups without the menu that adds one: it opens by mouse alone, and groups have a page."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            for link in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{link}_related", False)
        return _with_rights(field) if db_field.name == "user_permissions" else field

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _in_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _in_reach(request, obj)


@admin.register(Group)
class StaffGroupAdmin(GroupAdmin, ModelAdmin[Group]):
    """Permissions by role."""

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        return _with_rights(field) if db_field.name == "permissions" else field


def _with_rights(field: Any) -> Any:
    """The rights that have a page here, and those that somebody has already, in the reader's language."""
    if field is not None:
        granted = Q(group__isnull=False) | Q(user__isnull=False)
        field.queryset = field.queryset.filter(roles.OURS | roles.ACCESS | granted).distinct()
        field.label_from_instance = _right
    return field


def _right(permission: Permission) -> str:
    """What it is about and what it allows, such as “task · view”."""
    kind, words = permission.content_type, permission.codename
    verbs = {"add": _("Add"), "change": _("Change"), "delete": _("Delete"), "view": _("View")}
    verb = verbs.get(words.removesuffix(f"_{kind.model}"), _(permission.name))
    return f"{_('API token') if kind.model == 'authtoken' else kind.name} · {verb}"


def _in_reach(request: HttpRequest, user: User | None) -> bool:
    """A superuser's account, its password too, is not an administrator's to change."""
    return request.user.is_superuser or user is None or not user.is_superuser
