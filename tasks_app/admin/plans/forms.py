"""The form of a plan."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tasks_app import errors
from tasks_app.admin.start.forms import FORCE_HELP, FULL_HELP, FULL_LABEL, FURTHER_HELP, VERIFY_HELP
from tasks_app.exports.places import named_folder
from tasks_app.models import CollectionPlan
from tasks_app.models.quotes import Market
from tasks_app.orders import code_lists, order as orders, plans
from tasks_app.sources import registry

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
        label=_("Sample (%)"),
        help_text=_("The share of the stocks that is compared."),
        min_value=1,
        max_value=100,
        initial=orders.WHOLE,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    at = forms.TimeField(
        label=_("Time of day"),
        help_text=_("In the market's time zone. Sources publish the day's bars some time after the close."),
        initial="18:00",
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
        fields = ["name", "enabled", *ORDER_FIELDS, "rhythm", "weekday", "at", "priority", *EXPORT_FIELDS]
        labels = {"kind": _("Kind of security"), "full_collection_mode": FULL_LABEL}
        help_texts = {
            "full_collection_mode": FULL_HELP,
            "force_update": FORCE_HELP,
            "days": _("Days that are already stored are not requested again, so a long range costs little."),
            "export_to": _(
                "After the collection, stored data is exported to this folder inside the folder of all "
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
        if "priority" in self.fields:
            self.fields["priority"].required = False
        if "export_to" in self.fields:
            self.fields["export_to"].widget.attrs["placeholder"] = "cn-daily"
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

    def clean_priority(self) -> int:
        return int(self.cleaned_data["priority"] or self.instance.priority)

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
