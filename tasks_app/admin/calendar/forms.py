"""The forms of the calendar's page: market and year, the correction of a day, a file of corrections."""

from datetime import date
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.common.fields import day_field
from tasks_app.models import CalendarDay
from tasks_app.models.quotes import Market

FIRST_YEAR, LAST_YEAR = 1962, 2100
MAX_BYTES = 1_000_000


class YearForm(forms.Form):
    """Which year of which market is shown."""

    market = forms.ChoiceField(label=_("Market"), choices=Market.choices)
    year = forms.IntegerField(label=_("Year"), min_value=FIRST_YEAR, max_value=LAST_YEAR)


class CorrectionForm(forms.Form):
    """A valid form has the `correction`."""

    market = forms.ChoiceField(label=_("Market"), choices=Market.choices)
    day = day_field(_("Day"))
    status = forms.ChoiceField(
        label=_("Status"), choices=[("closed", _("closed")), ("open", _("trading day"))]
    )
    note = forms.CharField(label=_("Note"), max_length=200, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"ss-{name}-error"

    @property
    def correction(self) -> CalendarDay:
        data = self.cleaned_data
        is_session = data["status"] == "open"
        return CalendarDay(market=data["market"], day=data["day"], is_session=is_session, note=data["note"])


def year_of(data: dict[str, Any], today: date) -> tuple[str, int]:
    """Returns market and year of an address, China and this year where it names none or a malformed one."""
    form = YearForm(data)
    form.is_valid()
    return form.cleaned_data.get("market", Market.CN), form.cleaned_data.get("year", today.year)
