"""The page *My tokens*: everyone who signs in issues and revokes tokens of their own."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from knox.models import AuthToken

from tasks_app.admin.access import tokens
from tasks_app.admin.access.token_forms import OwnTokenForm
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.models.audit import AuditVerb

SHOWN = 100


def urls() -> list[URLPattern]:
    """Returns the paths of the page, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("my-tokens/", wrap(my_tokens_view), name="my_tokens"),
        path("my-tokens/<str:token_key>/revoke/", wrap(revoke_view), name="my_tokens_revoke"),
    ]


def my_tokens_view(request: HttpRequest) -> HttpResponse:
    """GET shows the user's own tokens; POST issues one and shows its secret, this once, in the response."""
    user: Any = request.user
    form, secret = OwnTokenForm(user, request.POST or None), ""
    if form.is_valid():
        token, secret = form.issue()
        tokens.log(request, token, AuditVerb.CREATED)
    title, own = _("My tokens"), _own(request)
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "form": form,
        "secret": secret,
        "back": reverse("admin:my_tokens"),
        "rows": [] if secret else [tokens.describe(token) for token in own[:SHOWN]],
        "shown": SHOWN,
        "total": own.count(),
    }
    return TemplateResponse(request, "admin/access/my_tokens.html", context)


def revoke_view(request: HttpRequest, token_key: str) -> HttpResponse:
    """GET asks for confirmation, POST revokes. Tokens of other users do not exist here."""
    token = get_object_or_404(_own(request), token_key=token_key)
    if request.method == "POST":
        tokens.log(request, token, AuditVerb.DELETED)
        token.delete()
        text = _("The token that begins with %(key)s was revoked.")
        messages.success(request, text % {"key": token_key[:8]})
        return redirect("admin:my_tokens")
    row = tokens.describe(token)
    return confirmation.render_confirmation(
        admin.site.get_model_admin(AuthToken),
        request,
        title=_("Revoke the token"),
        question=_("Revoke this token of yours?"),
        effects=[_("Programs that use it are rejected from then on. This cannot be undone.")],
        objects=[formatting.two_lines(row["name"], formatting.monospace(row["key"]))],
        confirm_label=_("Yes, revoke it"),
        cancel_url=reverse("admin:my_tokens"),
        breadcrumbs=[Breadcrumb(_("My tokens"), reverse("admin:my_tokens"))],
    )


def _own(request: HttpRequest) -> Any:
    """Returns the user's own tokens, the newest first."""
    own = AuthToken.objects.filter(user=request.user.pk)
    return own.select_related("user", "details").order_by("-created", "pk")
