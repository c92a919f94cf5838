"""The form that makes a user who can sign in, on one page, and the one that changes a user."""

from typing import Any

from django import forms
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _
from unfold.forms import UserCreationForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

USER_NAME_HELP = _("Letters, digits and @ . + - _, at most 150.")
BY_PASSWORD, BY_LINK = "true", "false"  # the values of Django's field


class UserForm(UserChangeForm[User]):
    """A user. The password has a page of its own."""

    password: Any = None

    class Meta(UserChangeForm.Meta):
        labels = {
            "username": _("User name"),
            "first_name": _("First name"),
            "last_name": _("Last name"),
            "email": _("E-mail"),
            "is_staff": _("May sign in to these pages"),
            "is_superuser": _("May do everything"),
            "groups": _("Groups"),
            "user_permissions": _("Further permissions"),
        }
        help_texts = {
            "username": USER_NAME_HELP,
            "is_active": _(
                "Switch off instead of deleting: the user can't sign in, and tokens stop working."
            ),
            "is_staff": _("Without it, the API can still be used with a token."),
            "is_superuser": _("If on, the user has every permission, regardless of groups."),
            "groups": _("The user has the permissions of all of them."),
            "user_permissions": _("In addition to those of the groups. Usually none."),
        }


class NewUserForm(UserCreationForm):  # type: ignore[misc]
    """Name, e-mail, role, and a password or a link by which the user sets one.

    The role decides whether the user may sign in to these pages (`is_staff`).
    """

    first_name = forms.CharField(
        label=_("First name"), max_length=150, required=False, widget=UnfoldAdminTextInputWidget()
    )
    last_name = forms.CharField(
        label=_("Last name"), max_length=150, required=False, widget=UnfoldAdminTextInputWidget()
    )
    email = forms.EmailField(label=_("E-mail"), required=False, widget=UnfoldAdminEmailInputWidget())
    role = forms.ModelChoiceField(
        Group.objects.order_by("name"),
        label=_("Group"),
        required=False,
        empty_label=_("none: the user can't sign in to these pages"),
        help_text=_("The user gets its permissions."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label, self.fields["username"].help_text = _("User name"), USER_NAME_HELP
        self.fields["password2"].label, self.fields["password2"].help_text = _("The same password again"), ""
        choice: Any = self.fields["usable_password"]
        choice.label = _("First sign-in")
        choice.choices = [
            (BY_PASSWORD, _("with the password below")),
            (BY_LINK, _("by a link with which the user sets the password; it is shown once")),
        ]
        choice.widget.choices = choice.choices
        choice.help_text = ""

    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit=False)
        user.is_staff = self.cleaned_data["role"] is not None
        if commit:
            user.save()
            self._save_m2m()
        return user

    def _save_m2m(self) -> None:
        super()._save_m2m()
        if role := self.cleaned_data["role"]:
            self.instance.groups.add(role)
