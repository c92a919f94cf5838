"""Permissions: reading needs a login; starting, cancelling, pausing and retrying a model permission each."""

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


class CanPause(HasAppPermission):
    """Also to resume."""

    permission = "tasks_app.pause_task"
    message = _("You lack the permission to pause or resume a collection.")


class CanRetry(HasAppPermission):
    permission = "tasks_app.retry_task"
    message = _("You lack the permission to retry a collection.")


class CanReorderQueue(HasAppPermission):
    permission = "tasks_app.reorder_queue"
    message = _("You lack the permission to reorder the queue.")


class CanWithdrawOrder(HasAppPermission):
    permission = "tasks_app.withdraw_order"
    message = _("You lack the permission to withdraw a queued order.")


class CanAddPlan(HasAppPermission):
    permission = "tasks_app.add_collectionplan"
    message = _("You lack the permission to make a plan.")


class CanChangePlan(HasAppPermission):
    permission = "tasks_app.change_collectionplan"
    message = _("You lack the permission to change a plan.")


class CanDeletePlan(HasAppPermission):
    permission = "tasks_app.delete_collectionplan"
    message = _("You lack the permission to delete a plan.")


class CanRunPlan(HasAppPermission):
    permission = "tasks_app.run_plan"
    message = _("You lack the permission to run a plan.")


class CanReadInBulk(HasAppPermission):
    permission = "tasks_app.bulk_read"
    message = _("You lack the permission to read bars in bulk.")


class CanViewExports(HasAppPermission):
    permission = "tasks_app.view_export"
    message = _("You lack the permission to see exports.")


class CanExport(HasAppPermission):
    permission = "tasks_app.export_data"
    message = _("You lack the permission to export data.")


class PerMethod(BasePermission):
    """Admits users with every permission of the request's method; other methods need none."""

    permissions: dict[str, tuple[type[HasAppPermission], ...]] = {}

    def has_permission(self, request: Request, view: APIView) -> bool:
        for permission in self.permissions.get(request.method or "", ()):
            if not permission().has_permission(request, view):
                self.message = permission.message
                return False
        return True


class PlanPermissions(PerMethod):
    """Making or changing a plan needs the permission to start a task, too, as on the admin's pages."""

    permissions = {
        "POST": (CanAddPlan, CanStart),
        "PATCH": (CanChangePlan, CanStart),
        "DELETE": (CanDeletePlan,),
    }


class QueuePermissions(PerMethod):
    permissions = {"PATCH": (CanReorderQueue,), "DELETE": (CanWithdrawOrder,)}


class ExportPermissions(PerMethod):
    permissions = {
        "GET": (CanViewExports,),
        "HEAD": (CanViewExports,),
        "POST": (CanExport,),
        "DELETE": (CanExport,),
    }
