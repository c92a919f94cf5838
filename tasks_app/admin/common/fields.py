"""Fields of the admin's forms."""

from typing import Any

from django import forms


def day_field(label: Any, *, required: bool = True) -> forms.DateField:
    """Returns the field of a day, for the browser's own date picker."""
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, input_formats=["%Y-%m-%d"], widget=widget, required=required)
