"""Run a plan now, and switch it on or off, from the staff pages."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _, ngettext

from tasks_app import errors
from tasks_app.admin.access.forbidden import require_permission
from tasks_app.admin.access.permissions import EXPORT_DATA
from tasks_app.admin.common import confirmation, formatting
from tasks_app.admin.common.formatting import Breadcrumb
from tasks_app.admin.tasks.actions import actor_for
from tasks_app.lifecycle import plan_actions, selectors
from tasks_app.market import synthetic
from tasks_app.market.codes import name_codes
from tasks_app.models import CollectionPlan
from tasks_app.models.quotes import InstrumentKind
from tasks_app.orders import plan_steps
from tasks_app.sentences import list_words


def run(admin: ModelAdmin[Any], request: HttpRequest, plan_id: int) -> HttpResponse:
    """GET returns the page that asks, POST starts the plan and redirects to its task.

    A plan that can't run now, for example because a task is running, is answered with a message.
    """
    plan = get_object_or_404(CollectionPlan, pk=plan_id)
    page = formatting.admin_url("collectionplan", "change", plan.pk)
    if plan_steps.export_folders(plan):
        require_permission(request, EXPORT_DATA)
    problem = plan_steps.find_problem(plan)
    if problem and request.method == "POST":
        reason = {"name": plan.name, "reason": problem}
        messages.error(request, _("“%(name)s” was not run. %(reason)s") % reason)
        return redirect(page)
    try:
        if running := selectors.get_running_task():
            raise errors.TaskAlreadyRunning(task_id=running.pk)
        if request.method != "POST":
            return _confirm(admin, request, plan, page, problem)
        task = plan_actions.run(plan.pk, actor_for(request.user)).task
    except errors.CollectorError as error:
        messages.error(request, _("“%(name)s” was not run. %(reason)s") % _reason(plan, error))
        return redirect(page)
    messages.success(request, _("“%(name)s” was started; its own next run stays.") % {"name": plan.name})
    return redirect(formatting.task_url(task.pk) if task else page)


def switch(request: HttpRequest, plan_id: int) -> HttpResponse:
    """Switches the plan on or off, with a message, and redirects to the page of the button."""
    plan = get_object_or_404(CollectionPlan, pk=plan_id)
    enabled = request.POST.get("enabled") == "1"
    if enabled and plan_steps.export_folders(plan):
        require_permission(request, EXPORT_DATA)
    try:
        plan_actions.change(plan.pk, {"enabled": enabled}, actor_for(request.user))
        text = _("“%(name)s” was switched on.") if enabled else _("“%(name)s” was switched off.")
        messages.success(request, text % {"name": plan.name})
    except errors.CollectorError as error:
        messages.error(request, _("“%(name)s” was not switched on. %(reason)s") % _reason(plan, error))
    back = request.POST.get("back", "")
    is_safe = url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return redirect(back if is_safe else formatting.admin_url("collectionplan"))


def _reason(plan: CollectionPlan, error: errors.CollectorError) -> dict[str, str]:
    return {"name": plan.name, "reason": str(error)}


def _confirm(
    admin: ModelAdmin[Any], request: HttpRequest, plan: CollectionPlan, page: str, problem: str
) -> HttpResponse:
    effects = [
        _what_it_collects(plan),
        *_steps(plan),
        _("The run is recorded under your name."),
        _("The plan's own next run stays as it is.")
        if plan.enabled
        else _("The plan is switched off and stays so."),
    ]
    folders = plan_steps.export_folders(plan)
    effects += [_("Data are exported into the folder “%(folder)s”.") % {"folder": name} for name in folders]
    return confirmation.render_confirmation(
        admin,
        request,
        title=_("Run the plan now"),
        question=_("Run this plan now?"),
        objects=[plan.name],
        effects=effects,
        confirm_label=_("Run now"),
        cancel_url=page,
        breadcrumbs=[
            Breadcrumb(_("Plans"), formatting.admin_url("collectionplan")),
            Breadcrumb(plan.name, page),
        ],
        danger=False,
        obstacle=problem,
    )


def _what_it_collects(plan: CollectionPlan) -> str:
    """Returns the days, the stocks or the market, and the source of a plan, in a sentence."""
    params = {
        "days": formatting.number(plan.days),
        "market": synthetic.mark(plan.market),
        "source": plan.source,
    }
    codes = plan.stock_codes or []
    if not codes and plan.kind != InstrumentKind.STOCK:
        text = ngettext(
            "It collects the last day of the market %(market)s (%(kind)s) from %(source)s.",
            "It collects the last %(days)s days of the market %(market)s (%(kind)s) from %(source)s.",
            plan.days,
        )
        return text % {**params, "kind": plan.get_kind_display()}
    if not codes:
        text = ngettext(
            "It collects the last day of the whole market %(market)s from %(source)s.",
            "It collects the last %(days)s days of the whole market %(market)s from %(source)s.",
            plan.days,
        )
        return text % params
    days = ngettext("the last day", "the last %(days)s days", plan.days) % params
    text = ngettext(
        "It collects %(range)s of %(count)s stock (%(codes)s), market %(market)s, from %(source)s.",
        "It collects %(range)s of %(count)s stocks (%(codes)s), market %(market)s, from %(source)s.",
        len(codes),
    )
    return text % {
        **params,
        "range": days,
        "count": formatting.number(len(codes)),
        "codes": name_codes(codes),
    }


def _steps(plan: CollectionPlan) -> list[str]:
    """Returns the names of the plan's own steps in a sentence; [] for a plan without any."""
    names = [step.get_kind_display() for step in plan.steps.order_by("position")]
    return [_("Its steps: %(steps)s.") % {"steps": list_words(names)}] if names else []
