"""Collection plans: what starts by itself, when, and how it went the last time."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from tasks_app import errors
from tasks_app.admin import planwords
from tasks_app.admin.access.permissions import START_TASK
from tasks_app.admin.common import formatting
from tasks_app.admin.common.columns import cell
from tasks_app.admin.common.paginator import CappedPaginator
from tasks_app.db.functions import database_now
from tasks_app.models import CollectionPlan
from tasks_app.models.quotes import Market
from tasks_app.orders import code_lists, order as orders, plans
from tasks_app.sources import registry

if TYPE_CHECKING:  # unfold is untyped; its classes are Django's with other looks
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin


class PlanForm(forms.ModelForm[CollectionPlan]):
    """A plan as staff fill it in. Its order must make sense today."""

    source = forms.ChoiceField(label=_("Source"), widget=UnfoldAdminSelectWidget)
    at = forms.TimeField(
        label=_("Time of day"),
        help_text=_("In the market's time zone. Sources have the day's bars some time after the close."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "time"}),
    )
    codes = forms.CharField(
        label=_("Stock codes"),
        help_text=_("Empty: the whole market. Else codes with commas, blanks or new lines between them."),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    class Meta:
        model = CollectionPlan
        fields = [
            *("name", "enabled", "market", "source", "adjust", "days", "codes"),
            *("full_collection_mode", "force_update", "rhythm", "weekday", "at"),
        ]
        help_texts = {
            "days": _("Days that are stored already are not asked for again, so a long span costs little."),
            "weekday": _("Only for “every week”."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names: Any = self.fields["source"]
        names.choices = [(name, name) for name in registry.available(settings.COLLECTOR)]
        self.fields["source"].initial = registry.choose_source(Market.CN, settings.COLLECTOR)
        self.fields["codes"].initial = " ".join(self.instance.stock_codes or ())

    def clean(self) -> dict[str, Any]:
        """Refuse what `orders` refuses, beside the field."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            self.instance.stock_codes = code_lists.split(data["codes"]) or None
            self._resolve(data)
        return data

    def _resolve(self, data: dict[str, Any]) -> None:
        names = ("market", "source", "adjust", "days", "full_collection_mode", "force_update")
        tried = CollectionPlan(**{name: data[name] for name in names}, stock_codes=self.instance.stock_codes)
        try:
            order = plans.order_of(tried, database_now())
            resolved = orders.resolve(order, orders.latest_today(), settings.COLLECTOR)
        except errors.OrderError as error:
            field = "codes" if error.field == "stock_codes" else error.field
            self.add_error(field if field in self.fields else None, str(error))
            return
        self.instance.stock_codes = list(resolved.stock_codes or ()) or None


@admin.register(CollectionPlan)
class PlanAdmin(ModelAdmin[CollectionPlan]):
    """Whoever may start a collection and change plans plans one. Django's own log keeps who changed what."""

    form = PlanForm
    list_display = ["name", "state", "what", "when", "following", "latest", "result"]
    list_filter = ["enabled", "market"]
    search_fields = ["name"]
    search_help_text = _("Name")
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    sortable_by = ()
    fieldsets = [
        (None, {"fields": ["name", "enabled"]}),
        (
            _("What it collects"),
            {
                "fields": [
                    *("market", "source", "adjust", "days", "codes"),
                    *("full_collection_mode", "force_update"),
                ]
            },
        ),
        (_("When"), {"fields": ["rhythm", "weekday", "at"]}),
    ]

    state = cell(_("status"), planwords.state)
    what = cell(_("scope"), planwords.scope)
    when = cell(_("when"), planwords.rhythm)
    following = cell(_("next run"), lambda plan: formatting.timestamp(plan.next_at, seconds=False))
    latest = cell(_("last run"), lambda plan: formatting.timestamp(plan.last_at, seconds=False))
    result = cell(_("last result"), planwords.result)

    def get_queryset(self, request: HttpRequest) -> QuerySet[CollectionPlan]:
        return super().get_queryset(request).select_related("last_task")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and request.user.has_perm(START_TASK)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and request.user.has_perm(START_TASK)

    def save_model(self, request: HttpRequest, obj: CollectionPlan, form: Any, change: bool) -> None:
        """Save it with its next run; who saved it last is who its runs are recorded for."""
        obj.created_by = request.user if request.user.is_authenticated else None
        plans.set_clock(obj)
        super().save_model(request, obj, form, change)
