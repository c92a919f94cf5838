"""Strings of the theme that lack a Chinese translation, listed here so that our catalogue has them."""

from django.utils.translation import gettext_noop as _

THEME = (
    _("Welcome back to"),
    _("Return to site"),
    _("Filters"),
    _("Type to search"),
    _("Reset filters"),
    _("Apply filters"),
    _("Select all rows"),
    _("Select record"),
    _("Select action"),
    _("Select action to run"),
    _("Select value"),
    _("Run"),
    _("Clear selection"),
    _("More actions"),
    _("Go back"),
    _("Previous"),
    _("Next"),
    _("Light"),
    _("Dark"),
    _("System"),
    _("No data"),
)
