"""API tokens: issued and shown once, listed without a secret, revoked for good."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from knox.models import AuthToken
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.changelist import BoundedList, ReadOnlyAdmin
from tasks_app.admin.common.columns import cell, moment
from tasks_app.admin.crumbs import Crumb

NAMES = _("API tokens")

admin.site.unregister(AuthToken)


class IssueForm(forms.Form):
    """For whom, and for how long. Only a superuser issues tokens for others."""

    user = forms.ModelChoiceField(User.objects.none(), label=_("User"), widget=UnfoldAdminSelectWidget())
    days = forms.IntegerField(
        label=_("Days until it expires"),
        help_text=_("Empty: it does not expire."),
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget(),
    )

    def __init__(self, by: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        active = User.objects.filter(is_active=True).order_by("username")
        users: Any = self.fields["user"]
        users.initial = by
        users.queryset = active if by.is_superuser else active.filter(pk=by.pk)

    def issue(self) -> tuple[Any, str]:
        """The stored token and its secret, which is stored nowhere."""
        days = self.cleaned_data["days"]
        expiry = timedelta(days=days) if days else None
        token, secret = AuthToken.objects.create(self.cleaned_data["user"], expiry=expiry)
        return token, secret


class TokenList(BoundedList):
    """A row leads to all tokens of its user: a token has no page, and its key is the digest."""

    def url_for_result(self, result: Any) -> str:
        return f"{_list()}?{urlencode({'q': result.user.get_username()})}"


@admin.register(AuthToken)
class TokenAdmin(ReadOnlyAdmin[Any]):
    """A token is never changed. Its address is its public key: the digest is nobody's business."""

    list_display = ["owner", "key", "made", "expires", "revoke"]
    list_display_links = ["owner"]
    names = (_("API token"), _("API tokens"))
    list_select_related = ["user"]
    ordering = ["-created", "pk"]
    search_fields = ["=user__username"]
    search_help_text = _("User name")

    owner = cell(_("user"), lambda token: token.user.get_username())
    key = cell(_("begins with"), lambda token: formatting.mono(f"{token.token_key[:8]}…"))
    made = moment(_("issued at"), "created")
    expires = cell(
        _("expires at"), lambda token: formatting.moment(token.expiry) if token.expiry else _("never")
    )
    revoke = cell(_("revoke"), lambda token: formatting.link(_revoke_url(token), _("Revoke")))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("knox.add_authtoken")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("knox.delete_authtoken")

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return [name for name in self.list_display if name != "revoke" or self.has_delete_permission(request)]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedList]:
        return TokenList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """None: the boxes of an action would carry digests."""
        return {}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return super().changelist_view(
            request, {"crumbs": [Crumb(NAMES)], "title": NAMES, **(extra_context or {})}
        )

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There is no page of one token."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return redirect(_list())

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """GET asks for whom; POST issues the token and shows it, this once, in its answer."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        user: Any = request.user
        form = IssueForm(user, request.POST or None)
        secret = ""
        if form.is_valid():
            token, secret = form.issue()
            _note(user, token, ADDITION)
        title = _("Issue an API token")
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "crumbs": [Crumb(NAMES, _list()), Crumb(title)],
            "form": form,
            "secret": secret,
            "back": _list(),
        }
        return TemplateResponse(request, "admin/tasks_app/issue_token.html", context)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """GET asks, POST revokes."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        token = get_object_or_404(AuthToken.objects.select_related("user"), token_key=object_id)
        if request.method == "POST":
            _note(request.user, token, DELETION)
            token.delete()
            text = _("The token of %(user)s that begins with %(key)s is revoked.")
            messages.success(request, text % {"user": token.user, "key": token.token_key[:8]})
            return redirect(_list())
        return self._ask_revoke(request, token)

    def _ask_revoke(self, request: HttpRequest, token: Any) -> HttpResponse:
        return confirmation.ask(
            self,
            request,
            title=_("Revoke the token"),
            question=_("Revoke this token of %(user)s?") % {"user": token.user},
            facts=[_("Programs that use it are refused from then on. It can't be brought back.")],
            lines=[self.key(token)],
            yes=_("Yes, revoke it"),
            back=_list(),
            crumbs=[Crumb(NAMES, _list())],
        )


def _list() -> str:
    return reverse("admin:knox_authtoken_changelist")


def _revoke_url(token: Any) -> str:
    return reverse("admin:knox_authtoken_delete", args=[token.token_key])


def _note(by: Any, token: Any, flag: int) -> None:
    """Put it on record, without the digest."""
    LogEntry.objects.create(
        user=by,
        content_type=ContentType.objects.get_for_model(AuthToken),
        object_id=token.token_key,
        object_repr=f"{token.user} {token.token_key[:8]}",
        action_flag=flag,
    )
