"""Collection plans: their form, their list, and a plan's columns, which the overview shows, too."""

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import path
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tasks_app import errors
from tasks_app.admin import plan_forecast
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import EXPORT_DATA, START_TASK
from tasks_app.admin.common import formatting
from tasks_app.admin.common.columns import cell
from tasks_app.admin.common.keys import KeyCheckedAdmin
from tasks_app.admin.common.paginator import CappedPaginator
from tasks_app.admin.start.forms import FURTHER_HELP, VERIFY_HELP
from tasks_app.admin.tasks import columns
from tasks_app.conf import MARKET_TIME_ZONES
from tasks_app.exports.places import named_folder
from tasks_app.lifecycle import plan_actions
from tasks_app.lifecycle.events import Actor
from tasks_app.market import synthetic
from tasks_app.models import CollectionPlan
from tasks_app.models.plans import Rhythm
from tasks_app.models.quotes import InstrumentKind, Market
from tasks_app.models.tasks import Channel
from tasks_app.orders import code_lists, order as orders, plans
from tasks_app.sources import registry

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin


ORDER_FIELDS = [
    "market",
    "source",
    "kind",
    "further",
    "verify_with",
    "verify_sample",
    "adjust",
    "days",
    "codes",
    "full_collection_mode",
    "force_update",
]


EXPORT_FIELDS = ["export_to", "export_layout"]


def state(plan: CollectionPlan) -> SafeString:
    """Returns a badge: on, off, or waiting for another task to end."""
    if not plan.enabled:
        return formatting.status_badge("cancelled", _("off"))
    if plan.waiting_since:
        return formatting.status_badge("pending", _("waiting for another task"))
    return formatting.badge("good", "check_circle", _("on"))


def scope(plan: CollectionPlan) -> SafeString:
    """Returns market, source and number of days."""
    days = _("the last %(days)s days") % {"days": formatting.number(plan.days)}
    kind = "" if plan.kind == InstrumentKind.STOCK else f" · {plan.get_kind_display()}"
    return formatting.two_lines(f"{synthetic.mark(plan.market)}{kind} · {plan.source}", days)


def schedule(plan: CollectionPlan) -> SafeString:
    """Returns how often it runs, at what time of day, and in which time zone."""
    often = plan.get_weekday_display() if plan.rhythm == Rhythm.WEEKLY else plan.get_rhythm_display()
    return formatting.two_lines(f"{often}, {plan.at:%H:%M}", MARKET_TIME_ZONES[plan.market])


def last_result(plan: CollectionPlan) -> SafeString | str:
    """Returns the last task and its status, or why none was started."""
    if plan.error_code:
        return formatting.two_lines(formatting.status_badge("failed", _("not started")), plan.error_message)
    if plan.last_task is None:
        return formatting.deleted_task(plan.last_task_id) if plan.last_task_id else formatting.EMPTY
    return formatting.two_lines(columns.status_label(plan.last_task), formatting.task_link(plan.last_task.pk))


class PlanForm(forms.ModelForm[CollectionPlan]):
    """A plan as staff fill it in. Its order must be valid today; one that exports needs `may_export`."""

    may_export = False

    source = forms.ChoiceField(label=_("Source"), widget=UnfoldAdminSelectWidget)
    further = forms.CharField(
        label=_("Further sources"),
        help_text=FURTHER_HELP,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
    )
    verify_with = forms.ChoiceField(
        label=_("Compare with"), help_text=VERIFY_HELP, required=False, widget=UnfoldAdminSelectWidget
    )
    verify_sample = forms.IntegerField(
        label=_("Sample in percent"),
        help_text=_("How many percent of the stocks are compared."),
        min_value=1,
        max_value=100,
        initial=orders.WHOLE,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    at = forms.TimeField(
        label=_("Time of day"),
        help_text=_("In the market's time zone. Sources publish the day's bars some time after the close."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "time"}),
    )
    codes = forms.CharField(
        label=_("Stock codes"),
        help_text=_("Leave empty for the whole market. Separate codes with commas, spaces or line breaks."),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    class Meta:
        model = CollectionPlan
        fields = ["name", "enabled", *ORDER_FIELDS, "rhythm", "weekday", "at", *EXPORT_FIELDS]
        help_texts = {
            "days": _("Days that are already stored are not requested again, so a long range costs little."),
            "weekday": _("Used only with “every week”."),
            "export_to": _(
                "When the collection has ended, stored data are exported into this folder below that of all "
                "exports. Leave empty for none."
            ),
            "export_layout": _("Parquet exports everything; the other formats what this plan collects."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names: Any = self.fields["source"]
        names.choices = [(name, name) for name in registry.available(settings.COLLECTOR)]
        seconds: Any = self.fields["verify_with"]
        seconds.choices = [("", _("none")), *names.choices]
        self.fields["source"].initial = registry.choose_source(Market.CN, settings.COLLECTOR) or ""
        self.fields["further"].initial = orders.write_fallbacks(self.instance.fallbacks)
        self.fields["codes"].initial = " ".join(self.instance.stock_codes or ())

    def clean(self) -> dict[str, Any]:
        """Reports the errors of an order at their fields."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            self.instance.fallbacks = orders.parse_fallbacks(data["further"])
            self.instance.stock_codes = code_lists.split_codes(data["codes"]) or None
            self._validate_order(data)
        return data

    def clean_verify_sample(self) -> int:
        return self.cleaned_data["verify_sample"] or orders.WHOLE

    def clean_export_to(self) -> str:
        name = str(self.cleaned_data["export_to"])
        is_switched_off = self.changed_data == ["enabled"] and not self.cleaned_data.get("enabled")
        if name and not self.may_export and not is_switched_off:
            raise forms.ValidationError(_("You lack the permission to export data."))
        if name:
            try:
                named_folder(name)
            except errors.CollectorError as error:
                raise forms.ValidationError(str(error)) from error
        return name

    def _validate_order(self, data: dict[str, Any]) -> None:
        fields = {name: data[name] for name in ORDER_FIELDS if name not in ("codes", "further")}
        lists = {"stock_codes": self.instance.stock_codes, "fallbacks": self.instance.fallbacks}
        plan = CollectionPlan(**fields, **lists)
        try:
            plans.check_order(plan)
        except errors.OrderError as error:
            field = {"stock_codes": "codes", "fallbacks": "further"}.get(error.field, error.field)
            self.add_error(field if field in self.fields else None, str(error))
            return
        self.instance.stock_codes = plan.stock_codes


class PlanOrderForm(PlanForm):
    """The part of the form that says what is collected: it is valid before the plan has a name and a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.fields.keys() - set(ORDER_FIELDS):
            del self.fields[name]


@admin.register(CollectionPlan)
class PlanAdmin(KeyCheckedAdmin, ModelAdmin[CollectionPlan]):  # type: ignore[misc]
    """Changing a plan needs the permission to start a task, and to export if the plan does.

    Changes are recorded as `PlanEvent`s.
    """

    form = PlanForm
    list_display = ["name", "state", "scope", "schedule", "next_run", "last_run", "last_result"]
    list_filter = ["enabled", "market"]
    search_fields = ["name"]
    search_help_text = _("Name")
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    sortable_by = ()
    fieldsets = [
        (None, {"fields": ["name", "enabled"]}),
        (_("What it collects"), {"fields": [*ORDER_FIELDS]}),
        (_("When"), {"fields": ["rhythm", "weekday", "at"]}),
        (_("Export afterwards"), {"fields": [*EXPORT_FIELDS]}),
    ]

    readonly_fields = ("forecast", "updating_forecast")

    state = cell(_("status"), state)
    scope = cell(_("scope"), scope)
    schedule = cell(_("when"), schedule)
    next_run = cell(_("next run"), lambda plan: formatting.timestamp(plan.next_at, seconds=False))
    last_run = cell(_("last run"), lambda plan: formatting.timestamp(plan.last_at, seconds=False))
    last_result = cell(_("last result"), last_result)
    forecast = cell(_("if it started now"), plan_forecast.describe)
    updating_forecast = cell(_("if it started now"), plan_forecast.updating)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.forecast_view)
        return [path("forecast/", view, name="plan_forecast"), *super().get_urls()]

    def forecast_view(self, request: HttpRequest) -> HttpResponse:
        """POST of the form: returns the forecast as HTML. It stores nothing."""
        require_permission(request, START_TASK)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        form = PlanOrderForm(request.POST)
        if form.is_valid():
            return HttpResponse(plan_forecast.describe(form.instance))
        problems = [str(message) for messages in form.errors.values() for message in messages]
        return HttpResponse(plan_forecast.describe_problems(problems))

    def get_fieldsets(self, request: HttpRequest, obj: CollectionPlan | None = None) -> Any:
        """Returns the form's groups and the forecast, which follows the form of those who may change it."""
        may_change = self.has_change_permission(request, obj) if obj else True
        forecast = (_("Forecast"), {"fields": ["updating_forecast" if may_change else "forecast"]})
        return [*super().get_fieldsets(request, obj), forecast]

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
        plan_actions.save(obj, _actor(request), form.changed_data)

    def delete_model(self, request: HttpRequest, obj: CollectionPlan) -> None:
        plan_actions.delete([obj], _actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CollectionPlan]) -> None:
        plan_actions.delete(list(queryset), _actor(request))


def _actor(request: HttpRequest) -> Actor:
    return Actor(Channel.ADMIN, cast(User, request.user))
