"""Keys that a client names: the choices of a form, the rows of a list's action.

Django looks them up as they come. SQLite's driver raises for a whole number beyond 64 bits, and a text that
is no UUID is an error of the field: both would be a 500.
"""

import json
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from tasks_app.lifecycle import audit
from tasks_app.models.audit import AuditVerb


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
    """A `ModelAdmin` whose actions and fields of many choices refuse keys that no row can have.

    What its pages do is recorded in the audit record, not in Django's own log, which loses the entries of a
    user that is deleted.
    """

    history_subject = ""  # what the audit record calls it, if not by the model's name

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        _record(request, AuditVerb.CREATED, obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Records a change, unless the form was saved as it was."""
        if message:
            _record(request, AuditVerb.CHANGED, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            _record(request, AuditVerb.DELETED, obj)

    def history_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Redirects to the audit record of the object."""
        if not self.has_view_or_change_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        subject = self.history_subject or self.opts.model_name  # type: ignore[attr-defined]
        query = {"subject": subject, "object": object_id[:255]}
        return redirect(f"{reverse('admin:audit')}?{urlencode(query)}")

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        form_class = kwargs.pop("form_class", KeyCheckedField)
        return super().formfield_for_manytomany(db_field, request, form_class=form_class, **kwargs)  # type: ignore[misc]

    def response_action(self, request: HttpRequest, queryset: Any) -> Any:
        """Shows the list again, with a message, if a chosen row can't exist."""
        if all(is_possible(queryset.model, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return super().response_action(request, queryset)  # type: ignore[misc]
        messages.warning(request, _("Nothing was done: a chosen row does not exist."))
        return None


class UnloggedAdmin:
    """Leaves out what another function records already, in the transaction of the change."""

    def log_addition(self, *args: Any) -> None:
        pass

    def log_change(self, *args: Any) -> None:
        pass

    def log_deletions(self, *args: Any) -> None:
        pass


def _record(request: HttpRequest, verb: AuditVerb, obj: Any, message: Any = "") -> None:
    detail = message if isinstance(message, str) else json.dumps(message)
    name = str(obj.get_username() if hasattr(obj, "get_username") else obj)
    audit.record_request(request, verb, obj._meta.model_name, object_id=obj.pk, name=name, detail=detail)
