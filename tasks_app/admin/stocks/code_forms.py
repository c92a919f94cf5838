"""The forms of the codes' page: market, an alias, a change of code, a file of changes."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from tasks_app.admin.common.fields import day_field
from tasks_app.market import code_changes, codes, stock_files
from tasks_app.models.quotes import Market

MAX_BYTES = 1_000_000
REAL_MARKETS = [choice for choice in Market.choices if choice[0] != Market.SIM]


class MarketForm(forms.Form):
    """Which market is shown; China where the address names none or a malformed one."""

    market = forms.ChoiceField(label=_("Market"), choices=REAL_MARKETS)

    @property
    def chosen(self) -> str:
        return self.cleaned_data["market"] if self.is_valid() else Market.CN.value


class CodesForm(forms.Form):
    """A form that belongs to a market, which the page has chosen.

    `save` stores what it says; what it refuses is shown at `main_field`.
    """

    main_field = "code"
    market = forms.ChoiceField(choices=REAL_MARKETS, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(data, files, auto_id=f"{type(self).__name__}-%s", **kwargs)
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"ss-{name}-error"

    def save(self) -> str:
        """Returns what was stored, in words. Raises `CollectorError` or `ValueError` with a sentence."""
        raise NotImplementedError  # each of the forms below has its own; a Form's metaclass rules out ABC


class AliasForm(CodesForm):
    """A text that stands for a code."""

    alias = forms.RegexField(rf"^{codes.SPELLING}$", label=_("Alias"), max_length=24)
    code = forms.RegexField(rf"^{codes.SPELLING}$", label=_("Stands for the code"), max_length=24)

    def save(self) -> str:
        data = self.cleaned_data
        return str(codes.add_alias(data["market"], data["alias"], data["code"]))


class ChangeForm(CodesForm):
    """A change of one security's code."""

    main_field = "new"
    old = forms.CharField(label=_("Old code"), max_length=24)
    new = forms.CharField(label=_("New code"), max_length=24)
    changed_on = day_field(_("First day of the new code"))

    def save(self) -> str:
        data = self.cleaned_data
        schema = stock_files.change_schema(data["market"], data["changed_on"])
        pair = schema.parse({"old": data["old"], "new": data["new"]})
        code_changes.store_changes(data["market"], [pair])
        return f"{pair.old} → {pair.new} ({pair.on})"


class ChangesFileForm(CodesForm):
    """A file of changes, with a day for the lines without one."""

    main_field = "file"
    file = forms.FileField(label=_("CSV file"), widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}))
    on = day_field(_("First day of the new codes, for lines without one"), required=False)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_BYTES:
            raise forms.ValidationError(_("Choose a CSV file of at most 1 MB."))
        return file

    def save(self) -> str:
        data = self.cleaned_data
        schema = stock_files.change_schema(data["market"], data["on"])
        pairs = schema.parse_rows(data["file"].read(), data["file"].name)
        count = code_changes.store_changes(data["market"], pairs)
        return f"{data['file'].name}: " + _("Changes of codes stored: %(count)d.") % {"count": count}
