"""The list and the page of collection plans, and their verbs."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import path
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CHANGE_PLAN, EXPORT_DATA, RUN_PLAN, START_TASK
from tasks_app.admin.common import formatting
from tasks_app.admin.common.columns import TIME, cell
from tasks_app.admin.common.keys import KeyCheckedAdmin, UnloggedAdmin
from tasks_app.admin.common.paginator import CappedList
from tasks_app.admin.common.titles import TitledAdmin
from tasks_app.admin.plans import actions, columns, forecast as forecasts, head, runs
from tasks_app.admin.plans.forms import EXPORT_FIELDS, ORDER_FIELDS, PlanForm, PlanOrderForm
from tasks_app.admin.plans.step_forms import StepForm, StepFormSet
from tasks_app.admin.tasks.actions import actor_for
from tasks_app.lifecycle import plan_actions
from tasks_app.models import CollectionPlan, PlanStep
from tasks_app.models.plan_runs import MAX_STEPS

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin, StackedInline
else:
    from unfold.admin import ModelAdmin, StackedInline


class StepInline(StackedInline[PlanStep, CollectionPlan]):
    """The steps: whoever may change the plan may change them."""

    model, form = PlanStep, StepForm
    formset: Any = StepFormSet
    extra = 0
    max_num = MAX_STEPS
    verbose_name = _("step")
    verbose_name_plural = _("Steps, one after another; without any, the plan collects what is set above")

    def get_formset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, *args, **kwargs)
        formset.form.may_export = request.user.has_perm(EXPORT_DATA)
        return formset

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("tasks_app.view_collectionplan")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        verb = "change" if obj else "add"
        return request.user.has_perm(f"tasks_app.{verb}_collectionplan") and request.user.has_perm(START_TASK)

    has_add_permission = has_delete_permission = has_change_permission


@admin.register(CollectionPlan)
class PlanAdmin(TitledAdmin, UnloggedAdmin, KeyCheckedAdmin, CappedList, ModelAdmin[CollectionPlan]):  # type: ignore[misc]
    """Changing and switching a plan needs the permission to start a task, and to export if the plan does.

    Changes, switches and runs are recorded as `PlanEvent`s.
    """

    form = PlanForm
    explanation = _("A plan starts a collection at set times, such as every trading day.")
    list_title, add_title = _("Plans"), _("Add a plan")
    verbose_names = (_("plan"), _("plans"))
    history_subject = "plan"
    list_display = ["name", "state", "scope", "schedule", "next_runs", "last_run", "last_result"]
    labelled = ("scope", "schedule", "last_result")  # on a phone
    list_filter = ["enabled", "market"]
    search_fields = ["name"]
    search_help_text = _("Name")
    inlines = [StepInline]
    list_after_template = "admin/plans/list_form.html"
    change_form_outer_before_template = "admin/plans/head.html"
    change_form_outer_after_template = "admin/plans/runs.html"
    fieldsets = [
        (None, {"fields": ["name", "enabled"]}),
        (_("What it collects"), {"fields": [*ORDER_FIELDS]}),
        (_("When"), {"fields": ["rhythm", "weekday", "at", "priority"]}),
        (_("Export afterwards"), {"fields": [*EXPORT_FIELDS]}),
    ]
    readonly_fields = ("forecast", "updating_forecast")

    state = cell(_("status"), columns.state_and_problem)
    scope = cell(_("scope"), columns.scope)
    schedule = cell(_("when"), columns.schedule)
    next_runs = cell(_("next runs"), columns.next_runs, TIME)
    last_run = cell(_("last run"), lambda plan: formatting.timestamp(plan.last_at, seconds=False), TIME)
    last_result = cell(_("last result"), columns.last_result)
    verbs = cell(_("actions"), lambda plan: columns.run_button(plan) + columns.switch_button(plan))
    run_verb = cell(_("actions"), columns.run_button)
    switch_verb = cell(_("actions"), columns.switch_button)
    forecast = cell(_("if it started now"), forecasts.describe)
    updating_forecast = cell(_("if it started now"), forecasts.updating)

    class Media:
        css = {"all": ["tasks_app/plans.css"]}

    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "tasks_app_collectionplan"
        return [
            path("forecast/", wrap(self.forecast_view), name="plan_forecast"),
            path("<int:plan_id>/run/", wrap(self.run_view), name=f"{name}_run"),
            path("<int:plan_id>/switch/", wrap(self.switch_view), name=f"{name}_switch"),
            *super().get_urls(),
        ]

    def forecast_view(self, request: HttpRequest) -> HttpResponse:
        """POST of the form: returns the forecast as HTML. It stores nothing."""
        require_permission(request, START_TASK)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = PlanOrderForm(request.POST)
        if form.is_valid():
            return HttpResponse(forecasts.describe(form.instance))
        problems = [str(message) for messages in form.errors.values() for message in messages]
        return HttpResponse(forecasts.describe_problems(problems))

    def run_view(self, request: HttpRequest, plan_id: int) -> HttpResponse:
        """GET asks for confirmation, POST starts what the plan orders."""
        require_permission(request, RUN_PLAN)
        return actions.run(self, request, plan_id)

    def switch_view(self, request: HttpRequest, plan_id: int) -> HttpResponse:
        """POST switches the plan on (`enabled=1`) or off (`enabled=0`), and returns to where it came from."""
        require_permission(request, CHANGE_PLAN)
        require_permission(request, START_TASK)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        return actions.switch(request, plan_id)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Returns the columns, with the buttons of what the user may do."""
        may_run, may_switch = request.user.has_perm(RUN_PLAN), self.has_change_permission(request)
        buttons = {(True, True): ["verbs"], (True, False): ["run_verb"], (False, True): ["switch_verb"]}
        return [*self.list_display, *buttons.get((may_run, may_switch), [])]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        plan = self.get_object(request, object_id)
        context = {"head": head.describe(plan, request.user), "runs": runs.describe(plan)} if plan else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    def get_fieldsets(self, request: HttpRequest, obj: CollectionPlan | None = None) -> Any:
        """Returns the form's groups and the forecast, which follows the form of those who may change it."""
        may_change = self.has_change_permission(request, obj) if obj else True
        field = "updating_forecast" if may_change else "forecast"
        return [*super().get_fieldsets(request, obj), (_("Estimate"), {"fields": [field]})]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CollectionPlan]:
        return super().get_queryset(request).select_related("last_task")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and request.user.has_perm(START_TASK)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and request.user.has_perm(START_TASK)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, *args, **kwargs)
        form.may_export = request.user.has_perm(EXPORT_DATA)
        return form

    def save_model(self, request: HttpRequest, obj: CollectionPlan, form: Any, change: bool) -> None:
        """Saves the plan with its next run. Its runs are recorded under the user who saved it last."""
        plan_actions.save(obj, actor_for(request.user), form.changed_data)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Stores the steps as a whole, if any changed."""
        if formset.has_changed():
            plan_actions.set_steps(form.instance, formset.steps(), actor_for(request.user))
        formset.save()

    def delete_model(self, request: HttpRequest, obj: CollectionPlan) -> None:
        plan_actions.delete([obj], actor_for(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CollectionPlan]) -> None:
        plan_actions.delete(list(queryset), actor_for(request.user))
