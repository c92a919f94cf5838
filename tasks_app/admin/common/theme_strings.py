"""The theme's own words that staff see and that no catalogue of its has: listed here to be translated."""

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
