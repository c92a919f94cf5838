"""The form that makes a user who can sign in, on one page, and the one that changes a user."""

from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, User
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy as _, ngettext
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

USER_NAME_HELP = _("Letters, digits and @ . + - _, up to 150 characters.")
BY_PASSWORD, BY_LINK = "true", "false"  # the values of Django's field


def _help_of(validator: Any) -> str:
    """Returns what a validator demands of somebody else's password: Django's words are "your password"."""
    match validator:
        case password_validation.UserAttributeSimilarityValidator():
            return gettext("The password can't be too similar to the user's name or e-mail address.")
        case password_validation.MinimumLengthValidator():
            text = ngettext(
                "The password must contain at least %(count)d character.",
                "The password must contain at least %(count)d characters.",
                validator.min_length,
            )
            return text % {"count": validator.min_length}
        case password_validation.CommonPasswordValidator():
            return gettext("The password can't be a commonly used password.")
        case password_validation.NumericPasswordValidator():
            return gettext("The password can't be entirely numeric.")
    return str(validator.get_help_text())


def help_of_validators() -> SafeString:
    """Returns what is demanded of a password, one's own or another user's, as a list."""
    validators = password_validation.get_default_password_validators()
    items = format_html_join("", "<li>{}</li>", ((_help_of(each),) for each in validators))
    return format_html("<ul>{}</ul>", items)


def name_passwords(first: forms.Field, again: forms.Field) -> None:
    """Gives a new password and its repetition the same words on every page."""
    first.label, first.help_text = gettext("New password"), help_of_validators()
    again.label, again.help_text = gettext("New password again"), ""


class OthersPasswordForm(AdminPasswordChangeForm):  # type: ignore[misc]
    """The password that an administrator sets for a user."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_passwords(self.fields["password1"], self.fields["password2"])


class OwnPasswordForm(AdminOwnPasswordChangeForm):  # type: ignore[misc]
    """One's own new password, with the words of the one for another user."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_passwords(self.fields["new_password1"], self.fields["new_password2"])


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
        empty_label=_("none (API only)"),
        help_text=_("The user gets its permissions. A user without a group can't sign in to these pages."),
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label, self.fields["username"].help_text = _("User name"), USER_NAME_HELP
        name_passwords(self.fields["password1"], self.fields["password2"])
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
