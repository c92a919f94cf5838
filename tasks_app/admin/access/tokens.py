"""API tokens: shown once when issued, listed without the secret, revoked permanently."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _, pgettext_lazy
from knox.models import AuthToken

from tasks_app.admin.access.forbidden import MissingPermission, require_permission
from tasks_app.admin.access.token_forms import TokenForm
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.changelist import KeysetChangeList, ReadOnlyAdmin
from tasks_app.admin.common.columns import TIME, cell, timestamp
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.lifecycle import audit, tokens
from tasks_app.models.access import TokenScope
from tasks_app.models.audit import AuditVerb

TITLE = _("API tokens")
ADD = "knox.add_authtoken"
DELETE = "knox.delete_authtoken"
VIEW = "knox.view_authtoken"

admin.site.unregister(AuthToken)


class TokenChangeList(KeysetChangeList):
    """A row links to all tokens of its user: a token has no page, and its primary key is the digest."""

    def url_for_result(self, result: Any) -> str:
        return f"{_list_url()}?{urlencode({'q': result.user.get_username()})}"


@admin.register(AuthToken)
class TokenAdmin(ReadOnlyAdmin[Any]):
    """Tokens are never changed. A token's URL holds its public key, never the digest."""

    list_display = ["owner", "name", "key", "scope", "issued", "expires", "used", "revoke"]
    labelled = ("name", "key")  # on a phone
    list_display_links = ["owner"]
    verbose_names = (_("API token"), TITLE)
    list_select_related = ["user", "details"]
    ordering = ["-created", "pk"]
    search_fields = ["=user__username"]
    search_help_text = _("User name")

    owner = cell(_("user"), lambda token: token.user.get_username())
    name = cell(_("name"), lambda token: describe(token)["name"])
    key = cell(_("begins with"), lambda token: formatting.monospace(f"{token.token_key[:8]}…"))
    scope = cell(pgettext_lazy("token", "scope"), lambda token: describe(token)["scope"])
    issued = timestamp(_("issued at"), "created", seconds=False)
    expires = cell(_("expires at"), lambda token: describe(token)["expires"], TIME)
    used = cell(_("last used at"), lambda token: describe(token)["used"], TIME)
    revoke = cell(
        _("actions"),
        lambda token: formatting.link(
            reverse("admin:knox_authtoken_delete", args=[token.token_key]), _("Revoke")
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(ADD)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(DELETE)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [name for name in self.list_display if name != "revoke" or self.has_delete_permission(request)]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return TokenChangeList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Returns no actions: their checkboxes would carry digests."""
        return {}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"breadcrumbs": [Breadcrumb(TITLE)], "title": TITLE, **(extra_context or {})}
        return super().changelist_view(request, context)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Redirects to the list: a token has no page of its own."""
        if not self.has_view_permission(request):
            raise MissingPermission(VIEW)
        return redirect(_list_url())

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """GET shows the form; POST issues the token and shows its secret, this once, in the response."""
        require_permission(request, ADD)
        user: Any = request.user
        form = TokenForm(user, request.POST or None)
        secret = ""
        if form.is_valid():
            token, secret = form.issue()
            log(request, token, AuditVerb.CREATED)
        title = _("Issue an API token")
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "breadcrumbs": [Breadcrumb(TITLE, _list_url()), Breadcrumb(title)],
            "form": form,
            "secret": secret,
            "back": _list_url(),
        }
        return TemplateResponse(request, "admin/tasks_app/issue_token.html", context)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """GET asks for confirmation, POST revokes."""
        require_permission(request, DELETE)
        token = get_object_or_404(AuthToken.objects.select_related("user"), token_key=object_id)
        if request.method == "POST":
            log(request, token, AuditVerb.DELETED)
            token.delete()
            text = _("The token of %(user)s that begins with %(key)s was revoked.")
            messages.success(request, text % {"user": token.user, "key": token.token_key[:8]})
            return redirect(_list_url())
        return confirmation.render_confirmation(
            self,
            request,
            title=_("Revoke the token"),
            question=_("Revoke this token of %(user)s?") % {"user": token.user},
            effects=[_("Programs that use it are rejected from then on. This cannot be undone.")],
            objects=[self.key(token)],
            confirm_label=_("Yes, revoke it"),
            cancel_url=_list_url(),
            breadcrumbs=[Breadcrumb(TITLE, _list_url())],
        )


def describe(token: AuthToken) -> dict[str, Any]:
    """Returns the texts of a token for its row. Its user and details must have been read with it."""
    details = getattr(token, "details", None)
    scope = tokens.scope_of(token)
    tone, icon = ("plain", "visibility") if scope == TokenScope.READ else ("info", "bolt")
    used_at = details.last_used_at if details else None
    is_expired = bool(token.expiry and token.expiry < timezone.now())
    expires = formatting.timestamp(token.expiry) if token.expiry else _("never")
    return {
        "name": (details.name if details else "") or formatting.EMPTY,
        "key": f"{token.token_key[:8]}…",
        "scope": formatting.badge(tone, icon, scope.label),
        "issued": formatting.timestamp(token.created, seconds=False),
        "expires": formatting.badge("bad", "event_busy", _("expired")) if is_expired else expires,
        "used": formatting.timestamp(used_at, seconds=False) if used_at else _("not yet"),
        "token_key": token.token_key,
    }


def _list_url() -> str:
    return reverse("admin:knox_authtoken_changelist")


def log(request: HttpRequest, token: Any, verb: AuditVerb) -> None:
    """Adds to the audit record."""
    audit.record_request(request, verb, tokens.SUBJECT, **tokens.described(token))
