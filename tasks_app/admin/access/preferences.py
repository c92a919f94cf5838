"""The page *Preferences*: everyone who signs in chooses the time zone of the pages."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _, gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from tasks_app import time_zones
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.models import UserPreference


class PreferenceForm(forms.Form):
    """The time zone; "" for that of the site."""

    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        help_text=gettext_lazy(
            "Applies to the times on the pages. "
            "Times of a market, such as those of its plans, stay in its own zone."
        ),
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        site = _("Site default (%(zone)s)") % {"zone": time_zones.name_of(time_zones.default_zone())}
        field: Any = self.fields["time_zone"]
        field.choices = [("", site), *time_zones.choices()]


def urls() -> list[URLPattern]:
    """Returns the path of the page, in the admin's namespace."""
    return [path("preferences/", admin.site.admin_view(preferences_view), name="preferences")]


def preferences_view(request: HttpRequest) -> HttpResponse:
    """GET shows the user's own preferences; POST stores them."""
    user: Any = request.user
    stored = UserPreference.objects.filter(user=user).first()
    form = PreferenceForm(request.POST or None, initial={"time_zone": stored.time_zone if stored else ""})
    if form.is_valid():
        if form.has_changed():
            UserPreference.objects.update_or_create(user=user, defaults=form.cleaned_data)
        time_zones.remember_choice(request, user)
        messages.success(request, _("Your preferences were saved."))
        return redirect("admin:preferences")
    title = _("Preferences")
    context = {
        **admin.site.each_context(request),
        "title": title,
        "breadcrumbs": [Breadcrumb(title)],
        "form": form,
        "now": time_zones.write(timezone.now()),
    }
    return TemplateResponse(request, "admin/access/preferences.html", context)
