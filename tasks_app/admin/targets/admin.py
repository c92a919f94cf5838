"""The targets: their list and their form. What became of the sessions is on each one's own page."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tasks_app.admin.common.columns import cell
from tasks_app.admin.common.keys import KeyCheckedAdmin
from tasks_app.admin.common.paginator import CappedList
from tasks_app.admin.common.titles import TitledAdmin
from tasks_app.admin.targets import cells
from tasks_app.models import Target
from tasks_app.sources import registry
from tasks_app.targets import deadlines, selectors

if TYPE_CHECKING:  # unfold is untyped; its classes extend Django's
    from django.contrib.admin import ModelAdmin
else:
    from unfold.admin import ModelAdmin

SCOPE = ["market", "kind", "adjust", "source"]


class TargetForm(forms.ModelForm[Target]):
    """A target as staff fill it in. Its deadline can be met, and its source serves the market."""

    source = forms.ChoiceField(
        label=_("Source"),
        help_text=_("If one is chosen, bars of other sources do not count."),
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    at = forms.TimeField(
        label=_("Time of day"),
        help_text=_("In the market’s time zone."),
        widget=UnfoldAdminTextInputWidget(attrs={"type": "time"}),
    )

    class Meta:
        model = Target
        fields = ["name", "enabled", *SCOPE, "minimum", "at", "days_after"]
        labels = {"minimum": _("Minimum completeness (%)")}
        help_texts = {
            "minimum": _("Stocks without a bar for a recorded reason, such as a suspension, are left out."),
            "days_after": _("0 is the day of the session itself, 1 the next calendar day."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "source" in self.fields:  # it can't be changed later
            sources: Any = self.fields["source"]
            names = registry.available(settings.COLLECTOR)
            sources.choices = [("", _("any")), *((name, name) for name in names)]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        for name in ("market", "source", "at", "days_after"):
            setattr(self.instance, name, data.get(name, getattr(self.instance, name)))
        final = deadlines.final_clock(self.instance)
        if not self.instance.days_after and self.instance.at < final:
            text = _("The bars of the session are final only from %(time)s on.")
            self.add_error("at", text % {"time": f"{final:%H:%M}"})
        source = self.instance.source
        if source and self.instance.market not in registry.available(settings.COLLECTOR)[source].markets:
            self.add_error("source", _("The source does not serve this market."))
        return data


@admin.register(Target)
class TargetAdmin(TitledAdmin, KeyCheckedAdmin, CappedList, ModelAdmin[Target]):  # type: ignore[misc]
    """Adding, changing and deleting need a permission each; Django's log says who did it."""

    form = TargetForm
    explanation = _("A target says by when the bars of each session have to be stored.")
    list_title, add_title = _("Targets"), _("Add a target")
    list_display = ["page", "scope", "due", "last"]
    labelled = ("scope", "due", "last")  # on a phone
    list_display_links = None
    list_filter = ["enabled", "market"]
    search_fields = ["name"]
    search_help_text = _("Name")
    fieldsets = [
        (None, {"fields": ["name", "enabled"]}),
        (_("Bars that have to be stored"), {"fields": [*SCOPE, "minimum"]}),
        (_("By when"), {"fields": ["at", "days_after"]}),
    ]

    page = cell(_("name"), cells.name)
    scope = cell(_("scope"), cells.scope)
    due = cell(_("deadline"), cells.due)
    last = cell(_("last session"), cells.last_session)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Target]:
        newest = Prefetch("sessions", selectors.newest_sessions(), to_attr="newest")
        return super().get_queryset(request).prefetch_related(newest)

    def get_readonly_fields(self, request: HttpRequest, obj: Target | None = None) -> list[str]:
        """What was judged stays true: another market is another target."""
        return SCOPE if obj else []

    def save_model(self, request: HttpRequest, obj: Target, form: Any, change: bool) -> None:
        """Saves the target; one that was switched on judges the sessions whose deadline is still ahead."""
        if change and obj.enabled and "enabled" in form.changed_data:
            obj.since = Now()
        super().save_model(request, obj, form, change)
