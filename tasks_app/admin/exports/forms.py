"""The form that starts an export."""

from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.common.fields import day_field
from tasks_app.errors import CollectorError
from tasks_app.exports.layouts import LAYOUTS, require_exportable
from tasks_app.exports.places import named_folder
from tasks_app.exports.selection import PARQUET, Selection
from tasks_app.models.quotes import Adjust, Market
from tasks_app.models.transfers import ExportLayout

EVERY = "all"


class ExportForm(forms.Form):
    """A valid form has the `selection` and the `folder`, below COLLECTOR_EXPORT_DIR."""

    name = forms.CharField(label=_("Folder"), max_length=64, initial="quotes")
    layout = forms.ChoiceField(label=_("Format"), initial=PARQUET)
    market = forms.ChoiceField(
        label=_("Market"), choices=[("", _("all markets")), *Market.choices], required=False
    )
    adjust = forms.ChoiceField(
        label=_("Adjustment"),
        choices=[(EVERY, _("all adjustments")), *((each.value or "none", each.label) for each in Adjust)],
        initial=EVERY,
    )
    first = day_field(_("First day"), required=False)
    last = day_field(_("Last day"), required=False)

    selection: Selection
    folder: Path

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        layouts: Any = self.fields["layout"]
        layouts.choices = [(each.value, each.label) for each in ExportLayout if each.value in LAYOUTS]
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"ss-{name}-error"
        self.fields["name"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def clean_name(self) -> str:
        try:
            self.folder = named_folder(self.cleaned_data["name"])
        except CollectorError as error:
            raise forms.ValidationError(str(error)) from error
        return str(self.cleaned_data["name"])

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        first, last = data.get("first"), data.get("last")
        if first and last and last < first:
            self.add_error("last", _("The last day is before the first one."))
        if self.errors:
            return data
        adjust = None if data["adjust"] == EVERY else data["adjust"].replace("none", "")
        self.selection = Selection(data["layout"], data["market"], adjust, first=first, last=last)
        try:
            require_exportable(self.selection)
        except CollectorError as error:
            self.add_error("layout", str(error))
        return data
