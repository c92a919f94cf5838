"""Users and groups, styled like the rest of the site."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import PermissionDenied
from django.db.models import Field, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import get_language, gettext as _, gettext_lazy, pgettext_lazy

from tasks_app import roles
from tasks_app.admin.access import sessions, sign_ins
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import VIEW_AUDIT
from tasks_app.admin.access.user_forms import NewUserForm, OthersPasswordForm, UserForm
from tasks_app.admin.access.widgets import CheckboxList
from tasks_app.admin.common.columns import TIME, cell
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.common.keys import KeyCheckedAdmin
from tasks_app.admin.common.titles import TitledAdmin

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin

DAY_SECONDS = 24 * 60 * 60

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffUserAdmin(TitledAdmin, KeyCheckedAdmin, UserAdmin[User], ModelAdmin[User]):  # type: ignore[misc]
    """Users and their permissions. Only superusers create and change superusers."""

    class Media:
        css = {"all": ["tasks_app/users.css"]}

    list_title, add_title = gettext_lazy("Users"), gettext_lazy("Add a user")
    list_display = ("user_name", "full_name", "group_names", "state", "signed_in_at")
    labelled = ("full_name", "group_names")  # on a phone
    search_help_text = gettext_lazy("User name, name or e-mail")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    filter_horizontal = ()
    form = UserForm
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email")}),
        (
            gettext_lazy("Signing in"),
            {"fields": ("is_active", "is_staff", "password_state_and_link", "signed_in_at")},
        ),
        (gettext_lazy("Permissions"), {"fields": ("groups", "is_superuser", "user_permissions")}),
    )
    readonly_fields = (
        *("password_state", "password_state_and_link", "signed_in_at", "sign_ins", "superuser_state"),
    )
    add_form = NewUserForm
    change_form_outer_after_template = "admin/access/user_sessions.html"
    add_fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name", "email", "role")}),
        (gettext_lazy("Signing in"), {"fields": ("usable_password", "password1", "password2")}),
    )
    user_name = cell(gettext_lazy("user name"), lambda user: user.get_username())
    group_names = cell(gettext_lazy("groups"), sign_ins.role)
    full_name = cell(pgettext_lazy("person", "name"), lambda user: user.get_full_name())
    state = cell(gettext_lazy("state"), sign_ins.account_state)
    password_state = cell(gettext_lazy("password"), sign_ins.password_state)
    password_state_and_link = cell(gettext_lazy("password"), sign_ins.password_state_and_link)
    signed_in_at = cell(gettext_lazy("last sign-in"), sign_ins.last_sign_in, TIME)
    superuser_state = cell(gettext_lazy("May do everything"), sign_ins.superuser_state)
    sign_ins = cell(gettext_lazy("last sign-ins"), lambda user: sign_ins.table(user.get_username()))
    change_password_form = OthersPasswordForm

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        """Without the menu that adds a group: it opens by mouse only, and groups have a page of their own."""
        if db_field.name in ("groups", "user_permissions"):
            field = _as_checkboxes(super().formfield_for_dbfield, db_field, request, **kwargs)
        else:
            field = super().formfield_for_dbfield(db_field, request, **kwargs)
        return _limit_permissions(field) if db_field.name == "user_permissions" else field

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Adds the last sign-ins for those who may see the audit record; no link that only leads to a 403."""
        fieldsets = super().get_fieldsets(request, obj)
        if str(get_language()).startswith("zh"):
            fieldsets = [_family_name_first(each) for each in fieldsets]
        if obj is not None and not self.has_change_permission(request, obj):
            name = "password_state"
            fieldsets = [_replace_field(each, f"{name}_and_link", name) for each in fieldsets]
        if obj is not None and not (request.user.is_superuser and self.has_change_permission(request, obj)):
            fieldsets = [_replace_field(each, "is_superuser", "superuser_state") for each in fieldsets]
        if obj is not None and request.user.has_perm(VIEW_AUDIT):
            fieldsets = [*fieldsets, (_("Sign-ins"), {"fields": ["sign_ins"]})]
        return fieldsets

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:user_id>/end-sessions/", wrap(self.end_sessions_view), name="auth_user_end_sessions"),
            path(
                "<int:user_id>/end-sessions/<int:session_id>/",
                wrap(self.end_sessions_view),
                name="auth_user_end_session",
            ),
            *super().get_urls(),
        ]

    def end_sessions_view(
        self, request: HttpRequest, user_id: int, session_id: int | None = None
    ) -> HttpResponse:
        """GET asks, POST signs the user out: of one session, or everywhere."""
        require_permission(request, "auth.change_user")
        user = get_object_or_404(User, pk=user_id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        return sessions.end_of_user(request, user, session_id)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Adds where the user is signed in, for those who may end it."""
        user = self.get_object(request, object_id)
        if user is not None and self.has_change_permission(request, user):
            extra_context = {**(extra_context or {}), "sessions": sessions.table(request, user)}
        return super().change_view(request, object_id, form_url, extra_context)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:  # noqa: A002
        """Django's, with our trail."""
        response = super().user_change_password(request, id, form_url)
        if isinstance(response, TemplateResponse) and response.context_data:
            user = response.context_data["original"]
            response.context_data["breadcrumbs"] = [
                Breadcrumb(self.list_title, reverse("admin:auth_user_changelist")),
                Breadcrumb(user.get_username(), reverse("admin:auth_user_change", args=[user.pk])),
                Breadcrumb(_("Set another password") if user.has_usable_password() else _("Set a password")),
            ]
        return response

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if problem := _access_problem(form.instance):
            messages.warning(request, problem)

    def response_add(self, request: HttpRequest, obj: User, post_url_continue: str | None = None) -> Any:
        """Shows the link by which a user without a password sets one, this once, in the response."""
        if obj.has_usable_password():
            return super().response_add(request, obj, post_url_continue)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Link to set the password"),
            "link": request.build_absolute_uri(_password_path(obj)),
            "days": settings.PASSWORD_RESET_TIMEOUT // DAY_SECONDS,
            "back": reverse("admin:auth_user_change", args=[obj.pk]),
        }
        return TemplateResponse(request, "admin/access/password_link.html", context)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_change(request, obj)


@admin.register(Group)
class StaffGroupAdmin(TitledAdmin, KeyCheckedAdmin, GroupAdmin, ModelAdmin[Group]):  # type: ignore[misc]
    """Groups, which hold the permissions of a role."""

    list_title, add_title = gettext_lazy("Groups"), gettext_lazy("Add a group")
    verbose_names = (gettext_lazy("group"), gettext_lazy("groups"))
    search_help_text = gettext_lazy("Name")
    filter_horizontal = ()

    class Media:
        css = {"all": ["tasks_app/users.css"]}

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: Any, **kwargs: Any) -> Any:
        if db_field.name != "permissions":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return _limit_permissions(_as_checkboxes(super().formfield_for_dbfield, db_field, request, **kwargs))


def _password_path(user: User) -> str:
    """Returns the path of the page on which the user sets a password; it works once, and for some days."""
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("set_password", args=[key, default_token_generator.make_token(user)])


def _access_problem(user: User) -> str:
    """Returns why an active user can't do what was probably meant, "" if nothing is odd."""
    if not user.is_active or user.is_superuser:
        return ""
    has_permissions = user.groups.exists() or user.user_permissions.exists()
    if user.is_staff and not has_permissions:
        return _("%(user)s can sign in, but is in no group: every page will be refused.") % {"user": user}
    if not user.is_staff and has_permissions:
        return _("%(user)s has permissions, but no staff status: these pages can't be signed in to.") % {
            "user": user
        }
    if not user.is_staff:
        return _("%(user)s is in no group and can't sign in to these pages.") % {"user": user}
    return ""


def _as_checkboxes(make: Any, db_field: Any, request: Any, **kwargs: Any) -> Any:
    """Returns the field with a checkbox for each choice: two lists and arrows need a manual."""
    field = make(db_field, request, widget=CheckboxList(), **kwargs)
    if field is not None:
        field.widget = getattr(field.widget, "widget", field.widget)  # without links beside it
    return field


def _family_name_first(fieldset: Any) -> Any:
    """Returns a group of fields with the names in the order of Chinese."""
    swapped = {"first_name": "last_name", "last_name": "first_name"}
    name, options = fieldset
    return name, {**options, "fields": [swapped.get(field, field) for field in options["fields"]]}


def _replace_field(fieldset: Any, old: str, new: str) -> Any:
    """Returns a group of fields with another one in the place of `old`."""
    name, options = fieldset
    return name, {**options, "fields": [new if field == old else field for field in options["fields"]]}


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
    if codename == "silence_incident":
        verb = _("Can silence an incident and mark it as over")
    return f"{_('API token') if kind.model == 'authtoken' else kind.name} · {verb}"


def _may_change(request: HttpRequest, user: User | None) -> bool:
    """Administrators cannot change a superuser's account or password."""
    return request.user.is_superuser or user is None or not user.is_superuser
