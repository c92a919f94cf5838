"""The lists and pages of notice channels, with their rules and a test, and of dead man's switches."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.translation import get_language, gettext, gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import CHANGE_CHANNEL
from tasks_app.admin.common import formatting
from tasks_app.admin.common.columns import cell, timestamp
from tasks_app.admin.common.keys import KeyCheckedAdmin
from tasks_app.admin.common.paginator import CappedList
from tasks_app.admin.common.titles import TitledAdmin
from tasks_app.admin.notices import columns
from tasks_app.admin.notices.forms import ChannelForm, PingForm, RuleForm
from tasks_app.models import NoticeChannel, NoticeDelivery, NoticePing, NoticeRule
from tasks_app.notices import actions

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin, TabularInline
else:
    from unfold.admin import ModelAdmin, TabularInline

SHOWN = 20  # deliveries on a channel's page
hide_address = method_decorator(sensitive_post_parameters("address"))


class RuleInline(TabularInline[NoticeRule, NoticeChannel]):
    """The rules of a channel, which are edited by whoever may edit it."""

    model = NoticeRule
    form = RuleForm
    fields = ["event", "market", "severity"]
    verbose_name, verbose_name_plural = _("rule"), _("Rules: which incidents are sent")
    tab = False

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Offers a first rule that tells everything from warnings on."""
        return 0 if obj else 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        for name, text in (("event", _("every event")), ("market", _("every market"))):
            field: Any = formset.form.base_fields[name]
            field.choices = [("", text), *[choice for choice in field.choices if choice[0]]]
        return formset

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever sees the channel

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(CHANGE_CHANNEL)

    has_change_permission = has_delete_permission = has_add_permission


class AddressAdmin(TitledAdmin, KeyCheckedAdmin, CappedList, ModelAdmin[Any]):  # type: ignore[misc]
    """A short list of rows with an address that no error report may hold."""

    search_fields = ["name"]
    search_help_text = _("Name")

    @hide_address
    def changeform_view(self, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(*args, **kwargs)


@admin.register(NoticeChannel)
class ChannelAdmin(AddressAdmin):
    """Addresses are entered and never shown. A test message goes the way of every other one."""

    form = ChannelForm
    explanation = _("A notice channel sends incidents by e-mail, to a chat group or to a web address.")
    list_title, add_title = _("Notice channels"), _("Add a notice channel")
    inlines = [RuleInline]
    list_display = ["name", "state", "address_kind", "language", "last_sent"]
    labelled = ("address_kind", "language")  # on a phone
    change_form_outer_before_template = "admin/notices/channel.html"
    readonly_fields = ["address_kind"]

    class Media:
        css = {"all": ["tasks_app/notices.css"]}

    state = cell(_("status"), columns.channel_state)
    address_kind = cell(_("address"), columns.address)
    last_sent = timestamp(_("last notice"), "last_sent_at")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Offers messages in the language of whoever adds the channel."""
        return {"language": get_language(), **super().get_changeform_initial_data(request)}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        stored = ["address_kind"] if obj else []
        entered = ["address"] if self._may_edit(request, obj) else []
        quiet = ["quiet_from", "quiet_until", "critical_always", "grouping"]
        return [
            (None, {"fields": ["name", "enabled", *stored, *entered]}),
            (_("Notices"), {"fields": ["language", "time_zone", *quiet]}),
        ]

    def _may_edit(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)

    def get_urls(self) -> list[Any]:
        test = self.admin_site.admin_view(self.test_view)
        return [
            path("<int:channel_id>/test/", test, name="tasks_app_noticechannel_test"),
            *super().get_urls(),
        ]

    def test_view(self, request: HttpRequest, channel_id: int) -> HttpResponse:
        """POST queues a test message and returns to the channel's page, which shows how it went."""
        require_permission(request, CHANGE_CHANNEL)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        channel = get_object_or_404(NoticeChannel, pk=channel_id)
        if channel.enabled:
            actions.test(channel, request.user.get_username())
            text = gettext("A test is on its way. Reload this page in a few seconds to see how it went.")
            messages.success(request, text)
        else:
            messages.error(request, gettext("The channel is switched off: nothing was sent."))
        return redirect(formatting.admin_url("noticechannel", "change", channel.pk))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> Any:
        channel = self.get_object(request, object_id)
        context = {"channel": _describe(channel, request)} if channel else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})

    def save_model(self, request: HttpRequest, obj: NoticeChannel, form: Any, change: bool) -> None:
        """Saves what was entered, and who did. What waits for a channel that is off is dropped."""
        obj.changed_by, obj.changed_at = request.user.get_username(), Now()
        if change:  # not the columns that a worker may be writing
            obj.save(update_fields=[*ChannelForm.Meta.fields, "url", "changed_by", "changed_at"])
        else:
            obj.save()
        if not obj.enabled:
            actions.drop_waiting(obj)


def _describe(channel: NoticeChannel, request: HttpRequest) -> dict[str, Any]:
    """Returns what the page of a channel shows above its form."""
    rows: QuerySet[NoticeDelivery] = channel.deliveries.select_related("incident", "channel").order_by("-pk")
    return {
        "state": columns.channel_state(channel),
        "failing_since": columns.failing_since(channel) if channel.failures else "",
        "deliveries": [columns.delivery(row) for row in rows[:SHOWN]],
        "test_url": formatting.admin_url("noticechannel", "test", channel.pk),
        "may_test": request.user.has_perm(CHANGE_CHANNEL),
    }


@admin.register(NoticePing)
class PingAdmin(AddressAdmin):
    """Dead man's switches."""

    form = PingForm
    explanation = _(
        "A dead man's switch sends a monitoring service a request at regular intervals. If the requests "
        "stop, the collector is down, and the service alerts you."
    )
    list_title, add_title = _("Dead man's switches"), _("Add a dead man's switch")
    list_display = ["name", "state", "address_kind", "seconds", "last_ping"]
    labelled = ("address_kind", "seconds")  # on a phone
    readonly_fields = ["address_kind", "state", "last_ping"]

    state = cell(_("status"), columns.ping_state)
    address_kind = cell(_("address"), columns.address)
    last_ping = timestamp(_("last ping"), "last_at")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may_edit = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        shown = ["state", "last_ping", "address_kind"] if obj else []
        entered = ["address"] if may_edit else []
        return [(None, {"fields": ["name", "enabled", *shown, *entered, "seconds"]})]

    def save_model(self, request: HttpRequest, obj: NoticePing, form: Any, change: bool) -> None:
        """Saves what was entered; the next ping follows at once."""
        obj.next_at = Now()
        if change:
            obj.save(update_fields=[*PingForm.Meta.fields, "url", "next_at"])
        else:
            obj.save()
