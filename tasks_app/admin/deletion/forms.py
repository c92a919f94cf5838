"""The form that selects what a source stored, by market and days."""

from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.common.fields import day_field
from tasks_app.models import CollectionTask, StockList, SyntheticSource
from tasks_app.models.quotes import Market
from tasks_app.quotes.deletion import Selection
from tasks_app.sources import registry


class SelectionForm(forms.Form):
    """A valid form has the `selection`. Any source may be named, though only known ones are offered."""

    source = forms.CharField(
        label=_("Source"),
        max_length=32,
        widget=forms.Select,
        error_messages={"required": _("Name the source whose data are to be deleted.")},
    )
    market = forms.ChoiceField(
        label=_("Market"), choices=[("", _("all markets")), *Market.choices], required=False
    )
    first = day_field(_("First day"), required=False)
    last = day_field(_("Last day"), required=False)

    selection: Selection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"ss-{name}-error"
        names = [str(self["source"].value() or ""), *self.source_names()]
        widget: Any = self.fields["source"].widget
        widget.choices = [
            ("", _("Choose a source")),
            *((name, name) for name in dict.fromkeys(names) if name),
        ]

    def source_names(self) -> list[str]:
        """Returns the names to offer: of the sources here, and of those that have left traces."""
        lists = StockList.objects.values_list("source", flat=True).distinct()
        tasks = CollectionTask.objects.order_by().values_list("source", flat=True).distinct()
        synthetic = SyntheticSource.objects.values_list("name", flat=True)
        found = {*registry.available(settings.COLLECTOR), *lists, *tasks, *synthetic}
        return sorted(found)

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        first, last = data.get("first"), data.get("last")
        if first and last and last < first:
            self.add_error("last", _("The last day is before the first one."))
        if not self.errors:
            self.selection = Selection(data["source"], data["market"], first, last)
        return data
