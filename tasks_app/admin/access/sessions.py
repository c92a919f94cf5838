"""The page *My sessions*, and on a user's page where that user is signed in; each session can be ended."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _, gettext_noop, ngettext
from django.views.decorators.debug import sensitive_post_parameters

from tasks_app.admin.access import sign_ins
from tasks_app.admin.access.browser_names import browser_name
from tasks_app.admin.access.user_forms import OwnPasswordForm
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.lifecycle import audit, user_sessions
from tasks_app.models import UserSession
from tasks_app.models.audit import SESSION, AuditVerb


def urls() -> list[URLPattern]:
    """Returns the paths of one's own page, in the admin's namespace."""
    wrap = admin.site.admin_view
    return [
        path("password_change/", wrap(own_password_view), name="password_change"),  # before the theme's
        path("my-sessions/", wrap(my_sessions_view), name="my_sessions"),
        path("my-sessions/end-others/", wrap(end_others_view), name="my_sessions_end_others"),
        path("my-sessions/<int:session_id>/end/", wrap(end_view), name="my_sessions_end"),
    ]


@sensitive_post_parameters()
def own_password_view(request: HttpRequest) -> HttpResponseBase:
    """Changes the user's own password."""
    title = _("Change the password")
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(_("My sessions"), reverse("admin:my_sessions")), Breadcrumb(title)],
    }
    view = PasswordChangeView.as_view(
        form_class=OwnPasswordForm,
        success_url=reverse("admin:password_change_done"),
        extra_context=context,
        title=title,
    )
    return view(request)


def my_sessions_view(request: HttpRequest) -> HttpResponse:
    """Shows where the user is signed in, and the last sign-ins."""
    user: Any = request.user
    if request.method == "GET":
        user_sessions.record_own(request)
    title = _("My sessions")
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "rows": [_describe(row, request) for row in user_sessions.of_user(user)],
        "end_others_url": reverse("admin:my_sessions_end_others"),
        "sign_ins": sign_ins.last_sign_ins(user.get_username()),
    }
    return TemplateResponse(request, "admin/access/my_sessions.html", context)


def end_view(request: HttpRequest, session_id: int) -> HttpResponse:
    """GET asks, POST ends one of the user's own sessions. Those of others do not exist here."""
    rows = _others(request, request.user.pk).filter(pk=session_id)
    get_object_or_404(rows)
    return _end(request, request.user, rows, reverse("admin:my_sessions"), _own_trail())


def end_others_view(request: HttpRequest) -> HttpResponse:
    """GET asks, POST ends all of the user's own sessions but this one."""
    rows = _others(request, request.user.pk)
    return _end(request, request.user, rows, reverse("admin:my_sessions"), _own_trail())


def end_of_user(request: HttpRequest, user: User, session_id: int | None) -> HttpResponse:
    """GET asks, POST ends one or, without an id, all of the user's sessions but that of this request."""
    rows = _others(request, user.pk)
    if session_id is not None:
        rows = rows.filter(pk=session_id)
        get_object_or_404(rows)
    page = reverse("admin:auth_user_change", args=[user.pk])
    trail = [Breadcrumb(_("Users"), reverse("admin:auth_user_changelist")), Breadcrumb(str(user), page)]
    return _end(request, user, rows, page, trail)


def table(request: HttpRequest, user: User) -> SafeString:
    """Returns the user's sessions as a table, with links that end them."""
    rows = [_describe(row, request, user) for row in user_sessions.of_user(user)]
    end_all = reverse("admin:auth_user_end_sessions", args=[user.pk])
    return render_to_string("admin/access/sessions.html", {"rows": rows, "end_all_url": end_all})


def _others(request: HttpRequest, user_id: Any) -> Any:
    return UserSession.objects.filter(user=user_id).exclude(session_id=request.session.session_key)


def _own_trail() -> list[Breadcrumb]:
    return [Breadcrumb(_("My sessions"), reverse("admin:my_sessions"))]


def _end(request: HttpRequest, user: Any, rows: Any, back: str, trail: Iterable[Breadcrumb]) -> HttpResponse:
    """Asks, or ends the sessions and says so to the audit record and the reader."""
    if request.method == "POST":
        told = [(row.address, browser_name(row.user_agent)) for row in rows]
        ended = user_sessions.end(rows)
        for address, browser in told:
            detail = audit.sentence(
                gettext_noop("session from %(address)s, %(browser)s"), address=address, browser=browser
            )
            audit.record_request(
                request, AuditVerb.ENDED, SESSION, object_id=user.pk, name=user.get_username(), detail=detail
            )
        text = ngettext("%(count)d session was ended.", "%(count)d sessions were ended.", ended)
        messages.success(request, text % {"count": ended})
        return redirect(back)
    return confirmation.render_confirmation(
        admin.site.get_model_admin(User),
        request,
        **_question(user, len(rows), is_own=user == request.user),
        objects=[
            formatting.two_lines(browser_name(row.user_agent) or formatting.EMPTY, row.address)
            for row in rows
        ],
        cancel_url=back,
        breadcrumbs=trail,
    )


def _question(user: Any, many: int, *, is_own: bool) -> dict[str, Any]:
    """Returns the confirmation's texts. Sentences of their own for one session: Chinese has no plural."""
    if many == 1:
        own, other = _("Sign out of this session?"), _("Sign %(user)s out of this session?")
        return {
            "title": _("End the session"),
            "question": (own if is_own else other) % {"user": user},
            "effects": [_("Whoever uses it has to sign in again. API tokens stay valid.")],
            "confirm_label": _("Yes, sign out"),
        }
    own, other = _("Sign out of these %(many)d sessions?"), _("Sign %(user)s out of these %(many)d sessions?")
    return {
        "title": _("End the sessions"),
        "question": (own if is_own else other) % {"user": user, "many": many},
        "effects": [_("Whoever uses them has to sign in again. API tokens stay valid.")],
        "confirm_label": _("Yes, sign out of all"),
    }


def _describe(row: UserSession, request: HttpRequest, user: User | None = None) -> dict[str, Any]:
    """Returns a session for a page: of a user's, or with None one's own."""
    is_this = row.session_id == request.session.session_key
    if user is None:
        end_url = reverse("admin:my_sessions_end", args=[row.pk])
    else:
        end_url = reverse("admin:auth_user_end_session", args=[user.pk, row.pk])
    return {
        "browser": browser_name(row.user_agent) or formatting.EMPTY,
        "address": row.address or formatting.EMPTY,
        "since": formatting.timestamp(row.signed_in_at, seconds=False),
        "seen": formatting.timestamp(row.seen_at, seconds=False) if row.seen_at else formatting.EMPTY,
        "is_this": is_this,
        "end_url": "" if is_this else end_url,
    }
