"""Responses about plans and their runs, targets and exports."""

from typing import Any

from rest_framework import serializers as s

from tasks_app.api.responses.common import Answer, count, texts
from tasks_app.api.responses.tasks import StartedAnswer
from tasks_app.models.events import Channel
from tasks_app.models.plan_runs import AttemptState, OnFailure, RunState, StepKind
from tasks_app.models.plans import PlanEventKind, Rhythm
from tasks_app.models.priorities import PRIORITY_NAMES
from tasks_app.models.quotes import ORDER_KINDS, Adjust, Market
from tasks_app.models.targets import TargetState
from tasks_app.models.transfers import ExportLayout, ExportState


class TargetSessionAnswer(Answer):
    session = s.DateField()
    deadline = s.DateTimeField()
    state = s.ChoiceField(TargetState.choices, help_text="Pending until it is judged, once.")
    complete_at = s.DateTimeField(allow_null=True, help_text="When it was complete, by the database's clock.")
    late_seconds = s.FloatField(
        allow_null=True, min_value=0, help_text="After the deadline; 0 if met, null while it is not complete."
    )
    minimum = s.FloatField(min_value=1, max_value=100, help_text="Percent, as it was judged by.")
    bars = s.IntegerField(allow_null=True, help_text="At the last look; null before the bars are final.")
    reasons = s.IntegerField(allow_null=True, help_text="Securities without a bar for a recorded reason.")
    missing = s.IntegerField(allow_null=True)
    looked_at = s.DateTimeField(allow_null=True)
    judged_at = s.DateTimeField(allow_null=True)


class TargetAnswer(Answer):
    id = s.IntegerField()
    name = s.CharField()
    enabled = s.BooleanField()
    market = s.ChoiceField(Market.choices)
    kind = s.ChoiceField(ORDER_KINDS)
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    source = s.CharField(allow_null=True, help_text="Whose bars alone count; null for any.")  # type: ignore[assignment]
    minimum = s.FloatField(
        min_value=1,
        max_value=100,
        help_text="Percent of the securities without a reason for having no bar that must have theirs.",
    )
    at = s.CharField(help_text="Time of day, HH:MM, in the market's time zone.")
    days_after = s.IntegerField(min_value=0, help_text="Calendar days from the session to its deadline.")
    time_zone = s.CharField()
    since = s.DateTimeField(help_text="Sessions whose deadline is later are judged.")
    last = TargetSessionAnswer(allow_null=True, help_text="The newest session; null before the first.")


class PlanStepAnswer(Answer):
    """Keys that the kind has not are empty."""

    kind = s.ChoiceField(StepKind.choices)
    source = s.CharField(allow_blank=True, help_text="Empty: the plan's.")  # type: ignore[assignment]
    days = s.IntegerField(allow_null=True, help_text="Null: the plan's.")
    verify_with = s.CharField(allow_blank=True)
    verify_sample = s.IntegerField()
    export_to = s.CharField(allow_blank=True)
    export_layout = s.ChoiceField(ExportLayout.choices)
    retries = count("With the failed stocks only.")
    retry_wait = count("Minutes before a retry.")
    on_failure = s.ChoiceField(OnFailure.choices)


class PlanAnswer(Answer):
    id = s.IntegerField()
    name = s.CharField()
    enabled = s.BooleanField()
    market = s.ChoiceField(Market.choices)
    source = s.CharField()  # type: ignore[assignment]
    fallbacks = texts("Null: those of COLLECTOR_FALLBACKS.", allow_null=True)
    adjust = s.ChoiceField(Adjust.choices, allow_blank=True)
    kind = s.ChoiceField(ORDER_KINDS)
    days = s.IntegerField(min_value=1, help_text="Calendar days back from the day on which it is due.")
    stock_codes = texts("Null means the whole stock list.", allow_null=True)
    full_collection_mode = s.BooleanField()
    force_update = s.BooleanField()
    verify_with = s.CharField(allow_blank=True, help_text="The second source; empty for none.")
    verify_sample = s.IntegerField(min_value=1, max_value=100, help_text="Percent of the stocks.")
    rhythm = s.ChoiceField(Rhythm.choices)
    weekday = s.IntegerField(min_value=0, max_value=6, help_text="0 is Monday; counts only if weekly.")
    at = s.CharField(help_text="Time of day, HH:MM, in the market's time zone.")
    priority = s.ChoiceField(PRIORITY_NAMES, help_text="A running task of a lower one yields to the plan.")
    steps = PlanStepAnswer(many=True, help_text="Empty: a run collects what the plan orders.")
    export_to = s.CharField(
        allow_blank=True, help_text="The folder of the export after each run; empty for none."
    )
    export_layout = s.ChoiceField(ExportLayout.choices)
    time_zone = s.CharField()
    next_at = s.DateTimeField(allow_null=True, help_text="Null while it is switched off.")
    next_runs = s.ListField(
        child=s.DateTimeField(),
        help_text="The next five times; the first is `next_at`. Empty while it is off.",
    )
    waiting_since = s.DateTimeField(allow_null=True, help_text="Due, but another task is running.")
    last_at = s.DateTimeField(allow_null=True)
    last_task = s.UUIDField(allow_null=True)
    late_runs = count("Runs that had to wait.")
    error_code = s.CharField(allow_blank=True, help_text="Why the last run did not start.")
    error_message = s.CharField(allow_null=True)
    made_by = s.CharField(
        allow_blank=True, help_text="Who saved it last; its runs are recorded under this user."
    )
    created_at = s.DateTimeField()


class StepAttemptAnswer(Answer):
    attempt = s.IntegerField()
    state = s.ChoiceField(AttemptState.choices)
    task_id = s.UUIDField(allow_null=True)
    overtook = s.UUIDField(allow_null=True, help_text="The task that yielded to this one.")
    export_id = s.IntegerField(allow_null=True)
    result = s.DictField(allow_null=True, help_text="What the refresh of a stock list brought.")
    started_at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True)


class RunStepAnswer(Answer):
    position = s.IntegerField()
    kind = s.ChoiceField(StepKind.choices)
    state = s.CharField(
        help_text="That of its attempts; `pending` or `waiting` before it begins, `skipped` if the run ended."
    )
    attempts = StepAttemptAnswer(many=True)


class PlanRunAnswer(Answer):
    id = s.IntegerField()
    plan_id = s.IntegerField()
    plan_name = s.CharField(help_text="As it was called then.")
    state = s.ChoiceField(RunState.choices)
    due_at = s.DateTimeField(allow_null=True, help_text="The plan's time; null for a run that a user began.")
    is_late = s.BooleanField(help_text="It had to wait for another task.")
    skipped = count("Times of the plan that passed meanwhile, and have no run.")
    started_at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    waiting_since = s.DateTimeField(allow_null=True, help_text="The next step waits for another task.")
    not_before = s.DateTimeField(allow_null=True, help_text="When a retry is due.")
    user_name = s.CharField(allow_blank=True)
    channel = s.ChoiceField(Channel.choices)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True)
    steps = RunStepAnswer(many=True)


class PlanStartedAnswer(StartedAnswer):
    """Of a run whose first step is no task, only these keys, and no task."""

    task_id = s.UUIDField(allow_null=True)
    run_id = s.IntegerField(allow_null=True, help_text="Of `GET plans/{plan_id}/runs`.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in fields.keys() - {"task_id", "run_id", "status", "message"}:
            fields[name].required = False
        return fields


class PlanDeletedAnswer(Answer):
    message = s.CharField()
    id = s.IntegerField()


class ExportAnswer(Answer):
    id = s.IntegerField()
    folder = s.CharField()
    layout = s.ChoiceField(ExportLayout.choices)
    selection = s.DictField(help_text="What is exported; empty values mean all.")
    state = s.ChoiceField(ExportState.choices)
    phase = s.CharField(allow_blank=True, help_text="Empty until a worker has begun.")
    done = count("Parts of `total` at the last heartbeat.")
    total = count()
    rows = count("Written so far; of a completed one, what the export holds.")
    parts = count()
    written = count("Parts that were written anew.")
    checksum = s.CharField(allow_blank=True)
    is_consistent = s.BooleanField(allow_null=True, help_text="Whether all parts are of one moment.")
    at = s.DateTimeField()
    ended_at = s.DateTimeField(allow_null=True)
    user_name = s.CharField(allow_blank=True, help_text="Empty for the terminal.")
    channel = s.ChoiceField(Channel.choices)
    error_code = s.CharField(allow_blank=True)
    error_message = s.CharField(allow_null=True)


class PlanEventAnswer(Answer):
    id = s.IntegerField()
    plan_id = s.IntegerField()
    plan_name = s.CharField(help_text="As it was called then.")
    kind = s.ChoiceField(PlanEventKind.choices)
    at = s.DateTimeField()
    user_name = s.CharField(allow_blank=True, help_text="Empty for the terminal.")
    channel = s.ChoiceField(Channel.choices)
    params = s.DictField(help_text="The values that changed, or the task of a run.")
