"""The form that issues an API token."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from tasks_app.lifecycle import tokens
from tasks_app.models.access import TokenScope

OF_USER = [
    (TokenScope.READ.value, _("read: everything that the user sees, no changes")),
    (TokenScope.OPERATE.value, _("operate: everything that the user may do")),
]
OF_READER = [
    (TokenScope.READ.value, _("read: everything that you see, no changes")),
    (TokenScope.OPERATE.value, _("operate: everything that you may do")),
]
LONGEST_DAYS = 3650


class OwnTokenForm(forms.Form):
    """What the token is for, what it may do, and for how long it is valid."""

    name = forms.CharField(
        label=_("Name"),
        help_text=_("What it is for, such as the program and the machine."),
        max_length=64,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
    )
    scope = forms.ChoiceField(
        label=_("Scope"),
        choices=OF_READER,
        initial=TokenScope.READ.value,
        widget=UnfoldAdminRadioSelectWidget(),
    )
    days = forms.IntegerField(
        label=_("Days until it expires"),
        help_text=_("Leave empty for a token that does not expire."),
        required=False,
        min_value=1,
        max_value=LONGEST_DAYS,
        widget=UnfoldAdminIntegerFieldWidget(),
    )

    def __init__(self, issuer: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.issuer = issuer

    def issue(self) -> tuple[Any, str]:
        """Returns the stored token of a valid form and its secret, which is not stored."""
        data = self.cleaned_data
        lifetime = timedelta(days=data["days"]) if data["days"] else None
        return tokens.issue(data.get("user", self.issuer), data["name"], TokenScope(data["scope"]), lifetime)


class TokenForm(OwnTokenForm):
    """Adds whose token it is. Only a superuser issues tokens for other users."""

    user = forms.ModelChoiceField(User.objects.none(), label=_("User"), widget=UnfoldAdminSelectWidget())
    field_order = ("user", "name", "scope", "days")

    def __init__(self, issuer: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(issuer, *args, **kwargs)
        scope: Any = self.fields["scope"]
        scope.choices = OF_USER
        active = User.objects.filter(is_active=True).order_by("username")
        users: Any = self.fields["user"]
        users.initial = issuer
        users.queryset = active if issuer.is_superuser else active.filter(pk=issuer.pk)
