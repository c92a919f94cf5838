"""Keys that a client names: the choices of a form, the rows of a list's action.

Django looks them up as they come. SQLite's driver raises for a whole number beyond 64 bits, and a text that
is no UUID is an error of the field: both would be a 500.
"""

from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from django.utils.translation import gettext as _


def is_possible(model: type[Model], key: object) -> bool:
    """Returns whether a row of the model may have this key."""
    try:
        value = model._meta.pk.to_python(key)
    except ValidationError:
        return False
    return not isinstance(value, int) or abs(value) < 2**63


class KeyCheckedField(ModelMultipleChoiceField[Any]):
    """Refuses keys that no row can have."""

    def clean(self, value: Any) -> Any:
        for key in value or ():
            if not is_possible(cast(Any, self.queryset).model, key):
                message = self.error_messages["invalid_choice"]
                raise ValidationError(message, code="invalid_choice", params={"value": str(key)[:40]})
        return super().clean(value)


class KeyCheckedAdmin:
    """A `ModelAdmin` whose actions and fields of many choices refuse keys that no row can have."""

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        form_class = kwargs.pop("form_class", KeyCheckedField)
        return super().formfield_for_manytomany(db_field, request, form_class=form_class, **kwargs)  # type: ignore[misc]

    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Shows the list again, with a message, if a chosen row can't exist."""
        if all(is_possible(queryset.model, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return super().response_action(request, queryset)  # type: ignore[misc]
        messages.warning(request, _("Nothing was done: a chosen row does not exist."))
        return None
