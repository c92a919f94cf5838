"""The forms of the coverage page: what is shown, and an area of which the missing days are collected."""

from datetime import date
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from tasks_app.models.quotes import Adjust, Market
from tasks_app.orders import code_lists
from tasks_app.quotes import month_counts
from tasks_app.sources import registry

LONGEST = 120  # months


class MonthField(forms.DateField):
    """A month, as its number (`month_counts.month_of`)."""

    def __init__(self, label: Any) -> None:
        widget = forms.DateInput(format="%Y-%m", attrs={"type": "month", "placeholder": "YYYY-MM"})
        super().__init__(label=label, input_formats=["%Y-%m"], widget=widget)

    def clean(self, value: Any) -> Any:
        day = super().clean(value)
        return month_counts.month_of(day) if isinstance(day, date) else None

    def prepare_value(self, value: Any) -> Any:
        return f"{month_counts.first_day_of(value):%Y-%m}" if isinstance(value, int) else value


class WindowForm(forms.Form):
    """The market, adjustment and months that are shown: at most ten years."""

    market = forms.ChoiceField(label=_("Market"), choices=Market.choices)
    adjust = forms.ChoiceField(label=_("Adjustment"), choices=Adjust.choices, required=False)
    since = MonthField(_("From month"))
    until = MonthField(_("To month"))

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        since, until = data.get("since"), data.get("until")
        if since is not None and until is not None:
            if until < since:
                self.add_error("until", _("The last month is before the first one."))
            elif until - since >= LONGEST:
                self.add_error("until", _("Choose at most %(months)d months.") % {"months": LONGEST})
        return data


class AreaForm(WindowForm):
    """Stocks and months of which the missing days are collected: named stocks, or boards; else the market."""

    boards = forms.MultipleChoiceField(
        label=_("Boards"),
        help_text=_("Stock codes take precedence over boards. Leave both empty for the whole market."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    codes = forms.CharField(
        label=_("Stock codes"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    source = forms.ChoiceField(label=_("Source"))

    def __init__(self, *args: Any, boards: list[tuple[str, str]], market: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if market != Market.CN:  # whose stocks have boards; elsewhere their exchange counts
            self.fields["boards"].label = _("Exchanges")
            self.fields["boards"].help_text = _(
                "Stock codes take precedence over exchanges. Leave both empty for the whole market."
            )
        for name in ("market", "adjust"):
            self.fields[name].widget = forms.HiddenInput()
        choices: dict[str, Any] = {"boards": boards, "source": [(name, name) for name in _sources(market)]}
        for name, values in choices.items():
            field: Any = self.fields[name]
            field.choices = values

    def clean_codes(self) -> list[str]:
        return code_lists.split_codes(self.cleaned_data["codes"])


def _sources(market: str) -> list[str]:
    """Returns the sources that serve a market, the one for it first."""
    conf = settings.COLLECTOR
    first = registry.choose_source(market, conf)
    names = [name for name, source in registry.available(conf).items() if market in source.markets]
    return sorted(names, key=lambda name: name != first)
