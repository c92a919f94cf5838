"""The task list, the task page with its refresh, and the actions cancel, pause, resume and retry."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _, pgettext_lazy

from tasks_app import lifecycle
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CANCEL_TASK, PAUSE_TASK, RETRY_TASK, TaskPermissions
from tasks_app.admin.common import formatting
from tasks_app.admin.common.changelist import KeysetChangeList, ReadOnlyAdmin
from tasks_app.admin.common.columns import NUMERIC, cell, count
from tasks_app.admin.common.filters import SourceFilter, StartedFilter
from tasks_app.admin.tasks import actions, columns, confirmations, detail, grid, live_updates
from tasks_app.lifecycle import chains, selectors
from tasks_app.models import CollectionTask
from tasks_app.models.states import TaskStatus


class TaskChangeList(KeysetChangeList):
    """The list of tasks, each with its `chain`: two further queries for a page with parts of chains."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        parts = chains.chains_of(self.result_list)
        for task in self.result_list:
            task.chain = parts.get(task.pk)


@admin.register(CollectionTask)
class TaskAdmin(ReadOnlyAdmin[CollectionTask]):
    """Tasks to view, cancel, pause, resume and retry; only `lifecycle` changes them."""

    actions = [confirmations.CANCEL, confirmations.PAUSE, confirmations.RESUME, confirmations.RETRY]
    list_display = [
        *("short_id", "state", "progress", "succeeded", "failed", "bars"),
        *("scope", "started", "duration"),
    ]
    labelled = ("progress", "scope", "started")  # on a phone
    list_filter = ["status", "outcome", "market", SourceFilter, "start_time", StartedFilter]
    list_select_related = ["created_by"]
    list_defer = (*selectors.HEAVY_COLUMNS, "error_message")
    ordering = ["-start_time", "-id"]
    search_fields = ["id"]
    search_help_text = _("Task id, or its first characters")
    change_form_template = "admin/tasks_app/task.html"
    fieldsets = [
        (
            _("Parameters"),
            {
                "fields": [
                    *("market", "source", "kind", "adjust", "days", "codes", "unknown"),
                    *("compared_with", "modes", "importance", "retried_from", "continued_task"),
                    *("created_by", "plan_of"),
                ]
            },
        ),
    ]

    short_id = cell(_("task"), lambda task: formatting.short_id(task.pk), "sc-key sc-mono")
    state = cell(_("status"), columns.status_with_chain)
    progress = cell(_("progress"), columns.progress_with_chain)
    succeeded = count(_("succeeded"), "success_count")
    failed = cell(_("failed"), columns.failed, NUMERIC)
    bars = cell(_("bars"), columns.bars, NUMERIC)
    scope = cell(_("scope"), columns.scope)
    started = cell(pgettext_lazy("column", "started"), columns.started)
    duration = cell(_("duration"), columns.duration, NUMERIC)

    days = cell(_("days"), lambda task: formatting.date_range(task.start_date, task.end_date))
    codes = cell(_("stock codes"), columns.codes)
    unknown = cell(_("unknown codes"), lambda task: columns.shorten_codes(task.unknown_codes))
    compared_with = cell(_("compared with"), columns.compared_with)
    modes = cell(_("modes"), columns.modes)
    plan_of = cell(_("plan"), columns.plan_link)
    importance = cell(_("priority"), lambda task: task.get_priority_display())
    continued_task = cell(_("continues"), columns.continued_task)
    retried_from = cell(_("retry of"), columns.retried_from)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CANCEL_TASK)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PAUSE_TASK)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RETRY_TASK)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TaskChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[CollectionTask]:
        return super().get_queryset(request).select_related("created_by")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CollectionTask], search_term: str
    ) -> tuple[QuerySet[CollectionTask], bool]:
        """Finds tasks whose id begins with the term, by a range of the primary key."""
        if not search_term:
            return queryset, False
        ends = selectors.id_range(search_term)
        return (queryset.filter(id__range=ends) if ends else queryset.none()), False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:task_id>/cancel/", wrap(self.cancel_view), name="tasks_app_collectiontask_cancel"),
            path("<uuid:task_id>/pause/", wrap(self.pause_view), name="tasks_app_collectiontask_pause"),
            path("<uuid:task_id>/resume/", wrap(self.resume_view), name="tasks_app_collectiontask_resume"),
            path("<uuid:task_id>/retry/", wrap(self.retry_view), name="tasks_app_collectiontask_retry"),
            path("<uuid:task_id>/live/", wrap(self.live_view), name="tasks_app_collectiontask_live"),
            path("<uuid:task_id>/stocks/", wrap(self.stocks_view), name="tasks_app_collectiontask_stocks"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Refuses actions with an error: Django would drop one and show the list as usual."""
        needed = {
            confirmations.CANCEL: CANCEL_TASK,
            confirmations.PAUSE: PAUSE_TASK,
            confirmations.RESUME: PAUSE_TASK,
            confirmations.RETRY: RETRY_TASK,
        }
        for action in request.POST.getlist("action"):
            if action in needed:
                require_permission(request, needed[action])
        lifecycle.get_running_task()  # which ends it if no worker will
        return super().changelist_view(request, extra_context)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        tasks = live_updates.page_tasks().filter(pk=context["original"].pk)
        task = tasks.get()
        if lifecycle.abandon_if_unattended(task):
            task = tasks.get()
        context |= detail.build_detail_context(task, TaskPermissions.for_user(request.user))
        return super().render_change_form(request, context, *args, **kwargs)

    def live_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """Returns what changed on the task's page."""
        return live_updates.respond(request, task_id)

    def stocks_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """`?block=3` returns the details of the grid's cells 300 to 399 as a JSON array."""
        require_permission(request, "tasks_app.view_collectionitem")
        task = get_object_or_404(CollectionTask.objects.only("market"), pk=task_id)
        block = request.GET.get("block", "")
        details = grid.cell_details(task, int(block)) if block.isdecimal() and len(block) < 6 else []
        return JsonResponse(details, safe=False, json_dumps_params={"ensure_ascii": False})

    @admin.action(permissions=["cancel"], description=_("Cancel selected tasks"))
    def cancel_selected(
        self, request: HttpRequest, queryset: QuerySet[CollectionTask]
    ) -> HttpResponse | None:
        """Asks for confirmation, then cancels the selected tasks and reports the result of each."""
        tasks = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            return confirmations.confirm_cancel_selected(self, request, tasks)
        by = actions.actor_for(request.user)
        actions.report_cancelled(request, [actions.cancel(task.pk, by) for task in tasks])
        return None

    @admin.action(permissions=["pause"], description=_("Pause selected tasks"))
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[CollectionTask]) -> HttpResponse | None:
        """Asks for confirmation, then pauses the running one; messages name those that do not run."""
        tasks = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            return confirmations.confirm_pause(self, request, tasks, confirmations.PAUSE)
        for task in tasks:
            actions.pause(request, task.pk)
        return None

    @admin.action(permissions=["pause"], description=_("Resume selected tasks"))
    def resume_selected(
        self, request: HttpRequest, queryset: QuerySet[CollectionTask]
    ) -> HttpResponse | None:
        """Asks for confirmation, then resumes the paused one; messages name those that are not paused."""
        tasks = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            return confirmations.confirm_resume(self, request, tasks, confirmations.RESUME)
        for task in tasks:
            actions.resume(request, task.pk)
        return None

    @admin.action(permissions=["retry"], description=_("Retry selected tasks"))
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[CollectionTask]) -> HttpResponse | None:
        """Asks for confirmation, then retries. One task runs at a time: messages name those refused."""
        tasks = list(queryset[: self.list_per_page])
        if "confirmed" not in request.POST:
            if retriable := [task for task in tasks if columns.can_be_retried(task)]:
                return confirmations.confirm_retry_selected(self, request, retriable)
            messages.warning(request, _("None of these tasks has stocks left to retry."))
            return None
        for task in tasks:
            actions.retry(request, task.pk, "")
        return None

    def cancel_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """GET asks for confirmation, POST cancels."""
        require_permission(request, CANCEL_TASK)
        page = formatting.task_url(task_id)
        if request.method == "POST":
            actions.report_cancelled(request, [actions.cancel(task_id, actions.actor_for(request.user))])
            return redirect(page)
        task = get_object_or_404(self.get_queryset(request), pk=task_id)
        if task.status == TaskStatus.RUNNING:
            return confirmations.confirm_cancel(self, request, task)
        text = _("There is nothing to cancel: the task is %(status)s.")
        messages.warning(request, text % {"status": task.get_status_display()})
        return redirect(page)

    def pause_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """GET asks for confirmation, POST pauses."""
        require_permission(request, PAUSE_TASK)
        if request.method == "POST":
            actions.pause(request, task_id)
            return redirect(formatting.task_url(task_id))
        task = get_object_or_404(self.get_queryset(request), pk=task_id)
        if task.status == TaskStatus.RUNNING and not task.paused_at:
            return confirmations.confirm_pause(self, request, [task])
        text = _("There is nothing to pause: the task is %(status)s.")
        messages.warning(request, text % {"status": task.get_result_display()})
        return redirect(formatting.task_url(task_id))

    def resume_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """GET asks for confirmation, POST resumes."""
        require_permission(request, PAUSE_TASK)
        if request.method == "POST":
            actions.resume(request, task_id)
            return redirect(formatting.task_url(task_id))
        task = get_object_or_404(self.get_queryset(request), pk=task_id)
        if task.paused_at:
            return confirmations.confirm_resume(self, request, [task])
        text = _("There is nothing to resume: the task is %(status)s.")
        messages.warning(request, text % {"status": task.get_result_display()})
        return redirect(formatting.task_url(task_id))

    def retry_view(self, request: HttpRequest, task_id: UUID) -> HttpResponse:
        """GET asks for confirmation, POST starts the retry and redirects to the new task."""
        require_permission(request, RETRY_TASK)
        if request.method == "POST":
            new = actions.retry(request, task_id, request.POST.get("error_code", ""))
            return redirect(formatting.task_url(new.pk if new else task_id))
        task = get_object_or_404(self.get_queryset(request), pk=task_id)
        error_code = request.GET.get("error_code", "")
        if not columns.can_be_retried(task) or (
            error_code and not confirmations.count_to_retry(task, error_code)
        ):
            messages.warning(request, _("There is nothing to retry: no stock of this task is left."))
            return redirect(formatting.task_url(task_id))
        return confirmations.confirm_retry(self, request, task, error_code)
