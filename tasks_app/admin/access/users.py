"""Users and groups, styled like the rest of the site."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Field, Q
from django.http import HttpRequest
from django.utils.translation import gettext as _
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from tasks_app import roles
from tasks_app.admin.common.keys import KeyCheckedAdmin

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffUserAdmin(KeyCheckedAdmin, UserAdmin[User], ModelAdmin[User]):  # type: ignore[misc]
    """Users and their permissions. Only superusers create and change superusers."""

    change_list_template = "admin/tasks_app/change_list.html"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        """Drops the menu that adds a group: it opens by mouse only, and groups have a page of their own."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "groups" and field is not None:
            for link in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{link}_related", False)
        return _limit_permissions(field) if db_field.name == "user_permissions" else field

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_change(request, obj)


@admin.register(Group)
class StaffGroupAdmin(KeyCheckedAdmin, GroupAdmin, ModelAdmin[Group]):  # type: ignore[misc]
    """Groups, which hold the permissions of a role."""

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        return _limit_permissions(field) if db_field.name == "permissions" else field


def _limit_permissions(field: Any) -> Any:
    """Offers the permissions that have a page here or are granted already, in the user's language."""
    if field is not None:
        granted = Q(group__isnull=False) | Q(user__isnull=False)
        field.queryset = field.queryset.filter(roles.OURS | roles.ACCESS | granted).distinct()
        field.label_from_instance = _permission_label
    return field


def _permission_label(permission: Permission) -> str:
    """Returns the model and the action, such as “task · view”."""
    kind, codename = permission.content_type, permission.codename
    verbs = {"add": _("Add"), "change": _("Change"), "delete": _("Delete"), "view": _("View")}
    verb = verbs.get(codename.removesuffix(f"_{kind.model}"), _(permission.name))
    return f"{_('API token') if kind.model == 'authtoken' else kind.name} · {verb}"


def _may_change(request: HttpRequest, user: User | None) -> bool:
    """Administrators cannot change a superuser's account or password."""
    return request.user.is_superuser or user is None or not user.is_superuser
