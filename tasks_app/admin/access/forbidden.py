"""Pages that refuse, and say which right is missing."""

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
VERBS = {"cancel": "cancel_task", "retry": "retry_task", "start": "start_task"}
PAGES = {"changelist": "view", "change": "view", "history": "view", "add": "add", "delete": "delete"}


class MissingRight(PermissionDenied):
    """Refused for want of this right, such as "tasks_app.start_task"."""

    def __init__(self, right: str) -> None:
        super().__init__(right)
        self.right = right


def require(request: HttpRequest, right: str) -> None:
    """Raise `MissingRight` for those who don't have it."""
    if not request.user.has_perm(right):
        raise MissingRight(right)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The site's 403: for staff a page that names the missing right, for others Django's."""
    if not admin.site.has_permission(request):
        return defaults.permission_denied(request, exception)
    right = exception.right if isinstance(exception, MissingRight) else _asked_for(request)
    name = "" if not right or request.user.has_perm(right) else _name(right)
    context = {
        **admin.site.each_context(request),
        "title": _("Not allowed"),
        "right": name,
        "roles": [group.name for group in request.user.groups.order_by("name")],
    }
    answer = TemplateResponse(request, "admin/refused.html", context, status=403)
    return answer.render()


def _asked_for(request: HttpRequest) -> str:
    """The right that a page of the admin asks for, by the page's name; "" where the name tells none."""
    match = request.resolver_match
    model, _under, page = (match.url_name or "" if match else "").rpartition("_")
    action = request.POST.get("action", "").partition("_")[0]
    if verb := VERBS.get(action) or VERBS.get(page):
        return f"tasks_app.{verb}"
    named = (m._meta for m in apps.get_models() if f"{m._meta.app_label}_{m._meta.model_name}" == model)
    meta = next(named, None)
    return f"{meta.app_label}.{PAGES[page]}_{meta.model_name}" if meta and page in PAGES else ""


def _name(right: str) -> str:
    """The right in words, "" for one that does not exist."""
    app, _dot, codename = right.partition(".")
    found = Permission.objects.filter(content_type__app_label=app, codename=codename)
    permission = found.select_related("content_type").first()
    if permission is None:
        return ""
    verb, _under, rest = codename.partition("_")
    model: Any = permission.content_type.model_class()
    if model is None or rest != model._meta.model_name:
        return in_language(permission.name)
    words = {
        "view": _("Can view: %(what)s"),
        "add": _("Can add: %(what)s"),
        "change": _("Can change: %(what)s"),
        "delete": _("Can delete: %(what)s"),
    }
    return words[verb] % {"what": model._meta.verbose_name_plural}
