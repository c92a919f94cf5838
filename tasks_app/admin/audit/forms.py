"""The filters of the audit page."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _, pgettext_lazy

from tasks_app.admin.common.fields import day_field
from tasks_app.lifecycle.audit_log import SUBJECTS, VERBS, Filters

EVERY = ("", _("all"))
MAX_NAMES = 200  # that are proposed; any name may be typed


class FilterForm(forms.Form):
    """Who, what kind of object, which verb, from and to which day; all of them may be empty."""

    who = forms.CharField(label=_("User name"), max_length=150, required=False)
    subject = forms.ChoiceField(
        label=pgettext_lazy("audit", "What"), choices=[EVERY, *SUBJECTS.items()], required=False
    )
    verb = forms.ChoiceField(label=_("Event"), choices=[EVERY, *VERBS.items()], required=False)
    first = day_field(_("From day"), required=False)
    last = day_field(_("To day"), required=False)
    object = forms.CharField(max_length=255, required=False, widget=forms.HiddenInput())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["who"].widget.attrs |= {"list": "au-names", "autocomplete": "off", "spellcheck": "false"}
        for name, field in self.fields.items():
            field.widget.attrs["aria-describedby"] = f"ss-{name}-error"
        if self.data.get("object"):  # it is an object of this subject: of another one it would be nothing
            self.fields["subject"].widget = forms.HiddenInput()

    @property
    def names(self) -> list[str]:
        """The names that are proposed."""
        return list(User.objects.order_by("username").values_list("username", flat=True)[:MAX_NAMES])

    def clean(self) -> dict[str, Any]:
        first, last = self.cleaned_data.get("first"), self.cleaned_data.get("last")
        if first and last and last < first:
            self.add_error("last", _("The last day is before the first one."))
        return self.cleaned_data

    @property
    def filters(self) -> Filters:
        """What a valid form asks for."""
        data = self.cleaned_data
        return Filters(
            data["who"], data["subject"], data["verb"], data["first"], data["last"], data["object"]
        )
