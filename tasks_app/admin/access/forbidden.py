"""The 403 page of the staff pages, which names the missing permission."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views import defaults

in_language = translation.gettext  # under a name that does not look for a text to translate
PAGES = {"changelist": "view", "change": "view", "history": "view", "add": "add", "delete": "delete"}


class MissingPermission(PermissionDenied):
    """The user lacks this permission, such as "tasks_app.start_task"."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


def require_permission(request: HttpRequest, permission: str) -> None:
    """Raises `MissingPermission` unless the user has the permission."""
    if not request.user.has_perm(permission):
        raise MissingPermission(permission)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Returns the site's 403: for staff a page that names the missing permission, for others Django's."""
    if not admin.site.has_permission(request):
        return defaults.permission_denied(request, exception)
    if isinstance(exception, MissingPermission):
        permission = exception.permission
    else:
        permission = _permission_of_page(request)
    is_missing = permission and not request.user.has_perm(permission)
    context = {
        **admin.site.each_context(request),
        "title": _("Not allowed"),
        "permission": _describe(permission) if is_missing else "",
        "roles": [group.name for group in request.user.groups.order_by("name")],
    }
    return TemplateResponse(request, "admin/forbidden.html", context, status=403).render()


def _permission_of_page(request: HttpRequest) -> str:
    """Returns the permission that one of Django's own admin pages needs; "" if unknown."""
    match = request.resolver_match
    model, _separator, page = (match.url_name or "" if match else "").rpartition("_")
    options = (m._meta for m in apps.get_models() if f"{m._meta.app_label}_{m._meta.model_name}" == model)
    meta = next(options, None)
    return f"{meta.app_label}.{PAGES[page]}_{meta.model_name}" if meta and page in PAGES else ""


def _describe(name: str) -> str:
    """Returns the permission in words, "" for one that does not exist."""
    app, _dot, codename = name.partition(".")
    permissions = Permission.objects.filter(content_type__app_label=app, codename=codename)
    permission = permissions.select_related("content_type").first()
    if permission is None:
        return ""
    verb, _separator, rest = codename.partition("_")
    model: Any = permission.content_type.model_class()
    words = {
        "view": _("Can view: %(what)s"),
        "add": _("Can add: %(what)s"),
        "change": _("Can change: %(what)s"),
        "delete": _("Can delete: %(what)s"),
    }
    if model is None or rest != model._meta.model_name or verb not in words:
        return in_language(permission.name)
    return words[verb] % {"what": model._meta.verbose_name_plural}
