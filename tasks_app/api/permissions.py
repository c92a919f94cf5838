"""Permissions: reading needs a login, and starting, cancelling and retrying one model permission each."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class HasAppPermission(BasePermission):
    """Admits users who have `permission`."""

    permission = ""
    message: "StrPromise | str" = ""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm(self.permission)


class CanStart(HasAppPermission):
    permission = "tasks_app.start_task"
    message = _("You lack the permission to start a collection.")


class CanCancel(HasAppPermission):
    permission = "tasks_app.cancel_task"
    message = _("You lack the permission to cancel a collection.")


class CanRetry(HasAppPermission):
    permission = "tasks_app.retry_task"
    message = _("You lack the permission to retry a collection.")
