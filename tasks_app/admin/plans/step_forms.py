"""The steps of a plan, as rows of its form. Each is valid for its plan today, or says why beside a field."""

from typing import Any

from django import forms
from django.conf import settings
from django.forms.models import BaseInlineFormSet
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from tasks_app import errors
from tasks_app.exports.places import named_folder
from tasks_app.models import CollectionPlan, PlanStep
from tasks_app.models.plan_runs import MAX_STEPS, StepKind
from tasks_app.orders import plan_steps
from tasks_app.sources import registry

LAST = 1000  # where a row without a position stands


class StepForm(forms.ModelForm[PlanStep]):
    """A step; one that exports needs `may_export`."""

    may_export = False

    position = forms.IntegerField(
        label=_("Position"),
        help_text=_("Steps run in this order; those without a number last, as they stand here."),
        required=False,
        min_value=1,
        max_value=LAST,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    kind = forms.ChoiceField(
        label=_("Kind of step"),
        choices=[("", _("choose")), *StepKind.choices],
        help_text=_(
            "Stock list: reads it anew. Daily bars: what the plan collects. Adjustment factors: asks for "
            "factors and corporate actions again, with the bars of the days. Verification: compares the days "
            "with a second source. Export: into a folder."
        ),
        widget=UnfoldAdminSelectWidget,
    )
    source = forms.ChoiceField(label=_("Source"), required=False, widget=UnfoldAdminSelectWidget)
    verify_with = forms.ChoiceField(label=_("Compare with"), required=False, widget=UnfoldAdminSelectWidget)

    class Meta:
        model = PlanStep
        fields = [
            *("position", "kind", "source", "days", "verify_with", "verify_sample"),
            *("export_to", "export_layout", "retries", "retry_wait", "on_failure"),
        ]
        help_texts = {
            "days": _("Leave empty for the days of the plan."),
            "verify_sample": _("The share of the stocks that is compared."),
            "export_to": _("A folder inside the folder of all exports."),
            "retries": _("A retry collects only the stocks that failed."),
        }

    def __init__(self, *args: Any, plan: CollectionPlan, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plan = plan
        names = [(name, name) for name in registry.available(settings.COLLECTOR)]
        sources: Any = self.fields["source"]
        sources.choices = [("", _("the plan's")), *names]
        seconds: Any = self.fields["verify_with"]
        seconds.choices = [("", _("none")), *names]
        if self.instance.pk is None:  # a row that nobody fills in is none
            self.initial.update(kind="", position=None)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        values = {name: data[name] for name in (*plan_steps.COMMON_FIELDS, *plan_steps.OWN_FIELDS)}
        step = PlanStep(**values)
        plan_steps.clear_foreign_values(step)
        data.update(plan_steps.values_of(step))
        self._check_export(step)
        if not self.errors:
            self._check(self.plan, step)
        return data

    def _check(self, plan: CollectionPlan, step: PlanStep) -> None:
        if not (plan.market and plan.source):
            return  # the form of the plan says so
        try:
            plan_steps.check_step(plan, step)
        except errors.OrderError as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))

    def _check_export(self, step: PlanStep) -> None:
        if step.kind != StepKind.EXPORT or not step.export_to:
            return
        if not self.may_export:
            self.add_error("export_to", _("You lack the permission to export data."))
            return
        try:
            named_folder(step.export_to)
        except errors.CollectorError as error:
            self.add_error("export_to", str(error))


class StepFormSet(BaseInlineFormSet[PlanStep, CollectionPlan, StepForm]):
    """The steps of a plan. `plan_actions.set_steps` stores them; this only says which."""

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        return {**super().get_form_kwargs(index), "plan": self.instance}

    def steps(self) -> list[PlanStep]:
        """Returns the steps in their order; valid ones only if the form is."""
        rows = [form for form in self.forms if form not in self.deleted_forms]
        filled = [form for form in rows if form.has_changed() or form.instance.pk]
        filled.sort(key=lambda form: form.cleaned_data.get("position") or LAST)
        names = (*plan_steps.COMMON_FIELDS, *plan_steps.OWN_FIELDS)
        return [PlanStep(**{name: form.cleaned_data[name] for name in names}) for form in filled]

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        steps = self.steps()
        if len(steps) > MAX_STEPS:
            raise forms.ValidationError(str(errors.TooManySteps(limit=MAX_STEPS)))
        if steps and self.instance.export_to:
            raise forms.ValidationError(str(errors.ExportIsAStep()))

    def validate_unique(self) -> None:
        """Positions are given anew when the steps are stored."""

    def save(self, commit: bool = True) -> list[PlanStep]:
        """Stores nothing; says so to the admin's log of changes."""
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        return []
