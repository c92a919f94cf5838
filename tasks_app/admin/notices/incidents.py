"""The list and the page of incidents; what can be done about one, there or by a link of a message."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter
from django.core.signing import BadSignature
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _, gettext_lazy, pgettext

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CANCEL_TASK, RETRY_TASK, SILENCE_INCIDENT
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.changelist import ReadOnlyAdmin
from tasks_app.admin.common.columns import TIME, cell, count, timestamp
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.notices import columns
from tasks_app.admin.tasks import actions as task_actions, columns as task_columns
from tasks_app.models import CollectionTask, Incident
from tasks_app.notices import actions, links
from tasks_app.notices.links import CANCEL, RETRY, SILENCE, Action

CLOSE = "close"
PERMISSIONS = {CANCEL: CANCEL_TASK, RETRY: RETRY_TASK, SILENCE: SILENCE_INCIDENT, CLOSE: SILENCE_INCIDENT}
SHOWN = 50  # deliveries on an incident's page


def urls() -> list[URLPattern]:
    """Returns the path of signed links, in the admin's namespace."""
    view = admin.site.admin_view(signed_view)
    return [path("notices/<str:token>/", view, name="notice_action")]


class OpenFilter(SimpleListFilter):
    """Open or over."""

    title = gettext_lazy("status")
    parameter_name = "is"

    def lookups(self, request: Any, model_admin: Any) -> Any:
        return [("open", pgettext("incident", "open")), ("over", _("over"))]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("open", "over"):
            return queryset.filter(closed_at__isnull=self.value() == "open")
        return queryset


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin[Incident]):
    """Incidents begin and end by what is observed; a user may silence one, or mark it as over."""

    explanation = gettext_lazy(
        "Failed tasks, late plans, paused sources and the like are listed here. An incident is over once "
        "its cause is gone."
    )
    list_display = ["severity_badge", "state", "what", "market_name", "since", "over_since", "how_often"]
    labelled = ("market_name",)  # on a phone
    list_display_links = ["what"]
    list_filter = [OpenFilter, "event", "market", "severity"]
    ordering = ["-opened_at", "-id"]
    change_form_template = "admin/notices/incident.html"

    class Media:
        css = {"all": ["tasks_app/notices.css"]}

    fieldsets = [
        (None, {"fields": ["severity_badge", "state", "headline", "sentence", "market_name", "page"]}),
        (gettext_lazy("Times"), {"fields": ["since", "over_since", "how_often", "silenced"]}),
    ]
    readonly_fields = [
        *("severity_badge", "state", "headline", "sentence", "market_name", "page", "task_page"),
        *("since", "over_since", "how_often", "silenced"),
    ]

    severity_badge = cell(gettext_lazy("severity"), columns.severity)
    state = cell(gettext_lazy("status"), columns.state)
    what = cell(gettext_lazy("incident"), columns.what)
    headline = cell(gettext_lazy("incident"), columns.headline)
    sentence = cell(gettext_lazy("what happened"), columns.sentence)
    market_name = cell(gettext_lazy("market"), columns.market)
    page = cell(gettext_lazy("related page"), columns.page)
    task_page = cell(gettext_lazy("related task"), columns.page)
    since = timestamp(gettext_lazy("began at"), "opened_at")
    over_since = cell(gettext_lazy("over since"), columns.over_since, TIME)
    how_often = count(gettext_lazy("occurrences"), "times")
    silenced = cell(gettext_lazy("silenced until"), columns.silenced)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.verb_view)
        own = [
            path(f"<int:incident_id>/{verb}/", view, {"verb": verb}, name=f"tasks_app_incident_{verb}")
            for verb in (SILENCE, CLOSE)
        ]
        return [*own, *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: Incident | None = None) -> Any:
        """Calls the link to a task by its name."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not obj.params.get("task"):
            return fieldsets
        return [
            (name, {"fields": ["task_page" if field == "page" else field for field in options["fields"]]})
            for name, options in fieldsets
        ]

    def verb_view(self, request: HttpRequest, incident_id: int, verb: str) -> HttpResponse:
        """GET asks for confirmation, POST silences or closes."""
        return _answer(request, Action(verb, incident_id))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        incident = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if incident:
            title = columns.headline(incident)
            trail = [Breadcrumb(_("Incidents"), formatting.admin_url("incident")), Breadcrumb(title)]
            context = {"verbs": _verbs(request, incident), "deliveries": _deliveries(incident)}
            context |= {"title": title, "breadcrumbs": trail}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})


def signed_view(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks whether to do what a link of a message is for, POST does it, with the user's own rights."""
    try:
        action = links.read_action(token)
    except BadSignature:
        messages.error(request, _("This link is too old, or not complete. Look at the list of incidents."))
        return redirect("admin:index")
    return _answer(request, action)


def _answer(request: HttpRequest, action: Action) -> HttpResponse:
    require_permission(request, PERMISSIONS[action.verb])
    incident = Incident.objects.filter(pk=action.incident).first()
    if incident is None and not action.task:
        return HttpResponse(status=404) if request.method == "POST" else redirect("admin:index")
    if request.method != "POST":
        if not _is_possible(action):
            messages.warning(request, _("There is nothing to retry: no stock of this task is left."))
            return redirect(formatting.task_url(UUID(action.task)))
        return _confirm(request, action, incident)
    if action.task:
        return _carry_out_on_task(request, action)
    return _carry_out(request, action)


def _carry_out(request: HttpRequest, action: Action) -> HttpResponse:
    verb, name = (actions.silence if action.verb == SILENCE else actions.close), request.user.get_username()
    if verb(action.incident, name):
        done = _("Silenced for 24 hours.") if action.verb == SILENCE else _("Marked as over.")
        messages.success(request, done)
    else:
        messages.warning(request, _("It is over already; nothing was changed."))
    return redirect(formatting.admin_url("incident", "change", action.incident))


def _carry_out_on_task(request: HttpRequest, action: Action) -> HttpResponse:
    task_id = UUID(action.task)
    if action.verb == CANCEL:
        result = task_actions.cancel(task_id, task_actions.actor_for(request.user))
        task_actions.report_cancelled(request, [result])
        return redirect(formatting.task_url(task_id))
    started = task_actions.retry(request, task_id, "")
    return redirect(formatting.task_url(started.pk if started else task_id))


def _confirm(request: HttpRequest, action: Action, incident: Incident | None) -> HttpResponse:
    titles = {
        CANCEL: (_("Cancel the task"), _("Cancel this task?"), _("Yes, cancel it")),
        RETRY: (
            _("Retry the task"),
            _("Start a new task with all failed and unprocessed stocks of this one?"),
            _("Yes, start it"),
        ),
        SILENCE: (_("Silence the incident"), _("Silence this incident for 24 hours?"), _("Yes, silence it")),
        CLOSE: (_("Mark the incident as over"), _("Mark this incident as over?"), _("Yes, mark it")),
    }
    effects = {
        CANCEL: [_("What it has stored stays.")],
        RETRY: [_("This task does not change. Only one task runs at a time.")],
        SILENCE: [_("Nobody is told of it for so long, nor of its end. What is wrong stays wrong.")],
        CLOSE: [
            _("Those who were told of it are told that it is over. It opens again if it is observed again.")
        ],
    }
    title, question, label = titles[action.verb]
    task = CollectionTask.objects.filter(pk=action.task).first() if action.task else None
    about = formatting.task_link(task.pk) if task else columns.headline(incident) if incident else action.task
    back = formatting.task_url(task.pk) if task else formatting.admin_url("incident")
    return confirmation.render_confirmation(
        admin.site._registry[Incident],
        request,
        title=title,
        question=question,
        objects=[about],
        effects=effects[action.verb],
        confirm_label=label,
        cancel_url=back,
        breadcrumbs=[Breadcrumb(_("Incidents"), formatting.admin_url("incident"))],
        danger=action.verb == CANCEL,
        cancel_label=_("Keep it running") if action.verb == CANCEL else "",
    )


def _is_possible(action: Action) -> bool:
    """Whether a retry has stocks to collect; True for any other action."""
    if action.verb != RETRY:
        return True
    task = CollectionTask.objects.filter(pk=action.task).first()
    return task is not None and task_columns.can_be_retried(task)


def _verbs(request: HttpRequest, incident: Incident) -> list[dict[str, Any]]:
    """Returns the buttons of an open incident that the user may press."""
    if incident.closed_at:
        return []
    texts = {**links.LABELS, CLOSE: _("Mark the incident as over")}
    found = [*links.actions(incident), Action(CLOSE, incident.pk)]
    return [
        {
            "label": texts[each.verb],
            "url": links.action_path(each)
            if each.task
            else formatting.admin_url("incident", each.verb, incident.pk),
        }
        for each in found
        if request.user.has_perm(PERMISSIONS[each.verb]) and _is_possible(each)
    ]


def _deliveries(incident: Incident) -> list[dict[str, Any]]:
    rows = incident.deliveries.select_related("incident", "channel").order_by("-pk")[:SHOWN]
    return [columns.delivery(row) for row in rows]
