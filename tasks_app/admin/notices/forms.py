"""The forms of channels, their rules, and dead man's switches."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tasks_app import time_zones
from tasks_app.models import NoticeChannel, NoticePing, NoticeRule
from tasks_app.notices import addresses

TIME = {"type": "time"}
KEEP = _("Leave it empty to keep the stored one. It is encrypted, and never shown again.")


class AddressField(forms.CharField):
    """An address that is entered and never shown."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
        super().__init__(label=_("Address"), required=False, widget=widget, **options)


class AddressForm(forms.ModelForm[Any]):
    """A form whose `address` is stored encrypted in `url`; one that is stored may be kept."""

    address = AddressField()
    parse = staticmethod(addresses.parse_channel)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "address" not in self.fields:
            return
        address = self.fields["address"]
        if self.instance.url:
            address.label, address.help_text = _("New address"), KEEP
        else:
            address.required = True

    def clean_address(self) -> str:
        text = str(self.cleaned_data["address"]).strip()
        if not text:
            if not self.instance.url:
                raise forms.ValidationError(_("This field is required."))
            return ""
        try:
            return self.parse(text)
        except addresses.InvalidAddress as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if address := data.pop("address", ""):
            self.instance.url = addresses.encrypt(address)
        return data


class ChannelForm(AddressForm):
    """A channel as an administrator fills it in."""

    address = AddressField(
        help_text=_(
            "Such as mailtos://user:password@smtp.example.com?to=ann@example.com, wecombot://KEY, "
            "dingtalk://TOKEN, feishu://TOKEN, slack://A/B/C or jsons://example.com/hook. The address of a "
            "bot may be pasted as its group shows it."
        )
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        help_text=_("Applies to the quiet hours and to the times in notices."),
        initial="Asia/Shanghai",
        widget=UnfoldAdminSelectWidget,
    )
    quiet_from = forms.TimeField(
        label=_("Quiet from"), required=False, widget=UnfoldAdminTextInputWidget(attrs=TIME)
    )
    quiet_until = forms.TimeField(
        label=_("Quiet until"),
        required=False,
        help_text=_(
            "Notices of the quiet hours are sent when they end, unless the incident is over by then."
        ),
        widget=UnfoldAdminTextInputWidget(attrs=TIME),
    )

    class Meta:
        model = NoticeChannel
        fields = [
            *("name", "enabled", "language", "time_zone", "quiet_from", "quiet_until", "critical_always"),
            "grouping",
        ]
        labels = {
            "critical_always": _("Critical incidents also in quiet hours"),
            "grouping": _("Grouping (seconds)"),
        }
        help_texts = {
            "grouping": _("Incidents that begin within this time are sent in one notice."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones: Any = self.fields["time_zone"]
        zones.choices = time_zones.choices()
        stored = self.instance.time_zone
        if stored and stored not in dict(zones.choices):  # such as EST, which is offered no more
            zones.choices = [*zones.choices, (stored, stored)]

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if (data.get("quiet_from") is None) != (data.get("quiet_until") is None) and not self.errors:
            self.add_error("quiet_until", _("Quiet hours need both times, or none."))
        return data


class RuleForm(forms.ModelForm[NoticeRule]):
    """A rule of a channel. A new one counts with the values that it is offered with."""

    class Meta:
        labels = {"severity": _("Minimum severity")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Gives each field its name: in a table of forms the labels are only in the table's head."""
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = field.label

    def has_changed(self) -> bool:
        return self.instance.pk is None or super().has_changed()


class PingForm(AddressForm):
    """A dead man's switch as an administrator fills it in."""

    address = AddressField(
        help_text=_(
            "The address that healthchecks.io, Uptime Kuma or another watcher gave you for this check."
        )
    )
    parse = staticmethod(addresses.parse_ping)

    class Meta:
        model = NoticePing
        fields = ["name", "enabled", "seconds"]
        labels = {"seconds": _("Interval (seconds)")}
        help_texts = {
            "seconds": _("Set the monitoring service to alert after twice this time without a request.")
        }
