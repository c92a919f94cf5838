"""Tasks: their list, the page of one, and the verbs cancel and retry."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _

from tasks_app.admin import asking, pages, show, verbs
from tasks_app.admin.base import ReadOnlyAdmin
from tasks_app.admin.cells import cell, count, moment
from tasks_app.admin.filters import SourceFilter
from tasks_app.models import CollectionTask
from tasks_app.models.tasks import TaskStatus


@admin.register(CollectionTask)
class TaskAdmin(ReadOnlyAdmin[CollectionTask]):
    """Tasks to look at, to cancel and to retry; `lifecycle` alone changes them."""

    actions = [asking.ACTION]
    list_display = [
        *("short_id", "state", "progress", "succeeded", "failed", "bars"),
        *("scope", "started", "duration"),
    ]
    list_filter = ["status", "market", SourceFilter, "start_time"]
    list_select_related = ["created_by"]
    list_defer = ("stock_codes", "unknown_codes", "error_message")
    ordering = ["-start_time", "-id"]
    search_fields = ["id"]
    search_help_text = _("Task id, or how it begins")
    change_form_template = "admin/tasks_app/task.html"
    fieldsets = [
        (
            _("Scope"),
            {
                "fields": [
                    *("market", "source", "adjust", "days", "codes", "unknown"),
                    *("modes", "retried_from", "created_by"),
                ]
            },
        ),
        (_("Bars"), {"fields": ["collected", "corrected", "skipped", "refused"]}),
        (_("Times"), {"fields": ["began", "planned", "heartbeat", "ended", "duration"]}),
    ]

    short_id = cell(_("task"), lambda task: show.short(task.pk))
    state = cell(_("status"), pages.label)
    progress = cell(_("progress"), show.progress)
    succeeded = count(_("succeeded"), "success_count")
    failed = cell(_("failed"), pages.failed)
    bars = count(_("bars"), "collected_count")
    scope = cell(_("scope"), pages.scope)
    started = cell(_("started"), pages.started)
    duration = cell(_("duration"), pages.duration)

    days = cell(_("days"), lambda task: show.days(task.start_date, task.end_date))
    codes = cell(_("stock codes"), pages.codes)
    unknown = cell(_("unknown codes"), lambda task: pages.few(task.unknown_codes))
    modes = cell(_("modes"), pages.modes)
    retried_from = cell(_("retry of"), pages.retried_from)
    collected = count(_("collected"), "collected_count")
    corrected = count(_("corrected"), "corrected_count")
    skipped = count(_("already stored"), "skipped_count")
    refused = count(_("refused"), "refused_count")
    began = moment(_("started at"), "start_time")
    planned = moment(_("planned at"), "planned_at")
    heartbeat = moment(_("last heartbeat"), "heartbeat_at")
    ended = moment(_("ended at"), "end_time")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tasks_app.cancel_task")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tasks_app.retry_task")

    def get_queryset(self, request: HttpRequest) -> QuerySet[CollectionTask]:
        return super().get_queryset(request).select_related("created_by")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CollectionTask], search_term: str
    ) -> tuple[QuerySet[CollectionTask], bool]:
        """Tasks whose id begins with the term: a range of the primary key."""
        if not search_term:
            return queryset, False
        digits = search_term.strip().replace("-", "").lower()
        if not 4 <= len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
            return queryset.none(), False
        ends = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        return queryset.filter(id__range=ends), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:task_id>/cancel/", wrap(self.cancel_view), name="tasks_app_collectiontask_cancel"),
            path("<uuid:task_id>/retry/", wrap(self.retry_view), name="tasks_app_collectiontask_retry"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Refuse the action aloud: Django would drop it, and show the list as if nothing had been asked."""
        if asking.ACTION in request.POST.getlist("action") and not self.has_cancel_permission(request):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        task: CollectionTask = context["original"]
        context |= pages.about(task)
        context["may_cancel"] = task.status == TaskStatus.RUNNING and self.has_cancel_permission(request)
        context["may_retry"] = pages.is_left(task) and self.has_retry_permission(request)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(permissions=["cancel"], description=_("Cancel selected tasks"))
    def cancel_selected(
        self, request: HttpRequest, queryset: QuerySet[CollectionTask]
    ) -> HttpResponse | None:
        """Ask first; then cancel the selected tasks of the page, and say what happened to each."""
        tasks = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            return asking.cancel_selected(self, request, tasks)
        by = verbs.actor(request.user)
        verbs.say_cancelled(request, [verbs.cancel(task.pk, by) for task in tasks])
        return None

    def cancel_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """GET asks, POST cancels."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied
        page = show.url("collectiontask", "change", task_id)
        if request.method == "POST":
            verbs.say_cancelled(request, [verbs.cancel(task_id, verbs.actor(request.user))])
            return redirect(page)
        task = get_object_or_404(self.get_queryset(request), pk=task_id)
        if task.status == TaskStatus.RUNNING:
            return asking.cancel(self, request, task)
        text = _("There is nothing to cancel: the task is %(status)s.")
        messages.warning(request, text % {"status": task.get_status_display()})
        return redirect(page)

    def retry_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """GET asks, POST starts the retry and leads to the new task."""
        if not self.has_retry_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            new = verbs.retry(request, task_id, request.POST.get("error_code", ""))
            return redirect(show.url("collectiontask", "change", new.pk if new else task_id))
        task = get_object_or_404(self.get_queryset(request), pk=task_id)
        return asking.retry(self, request, task, request.GET.get("error_code", ""))
