"""Operations on plans, targets and exports."""

from tasks_app.api import bodies, examples, queries
from tasks_app.api.openapi.components import (
    IDEMPOTENCY_KEY,
    INVALID,
    JSON,
    NEXT_PAGE,
    NOT_JSON,
    RUNNING,
    TOO_LARGE,
    operation,
    problem,
    row_id,
)
from tasks_app.api.responses import plans as responses

BAD_PLAN = problem(
    400, "Invalid plan", "There is a plan named “nightly” already.", "plan_name_taken", field="name"
)
NO_PLAN = problem(404, "Unknown plan", "There is no plan 7.", "plan_not_found")
NO_TARGET = problem(404, "Unknown target", "There is no target 7.", "target_not_found")
NO_EXPORT = problem(404, "Unknown export", "There is no export 7.", "export_not_found")
EXPORT_RUNNING = problem(
    400,
    "Invalid export, or the folder is in use",
    "COLLECTOR_EXPORT_DIR is not set: there is no folder to export into.",
    "no_export_folder",
)
EXPORT_ENDED = problem(
    400,
    "Export ended",
    "The export has ended, or is putting its files in place: it can't be cancelled any more.",
    "export_ended",
)
PLAN_ID = row_id("plan_id")
TARGET_ID = row_id("target_id")
EXPORT_ID = row_id("export_id")
TARGETS = operation(
    "targets",
    "Targets by name, each with its newest session",
    [queries.TargetQuery, NEXT_PAGE],
    responses.TargetAnswer(many=True),
    INVALID,
    description="By when each session of a market is to be complete. In pages: follow the Link header.",
    tag="records",
)
TARGET_SESSIONS = operation(
    "target_sessions",
    "What became of the sessions of a target, the newest first",
    [TARGET_ID, queries.TargetSessionQuery, NEXT_PAGE],
    responses.TargetSessionAnswer(many=True),
    INVALID | NO_TARGET,
    description="In pages: follow the Link header.",
    tag="records",
)
PLANS = operation(
    "plans",
    "Collection plans by name",
    [queries.PlanQuery, NEXT_PAGE],
    responses.PlanAnswer(many=True),
    INVALID,
    description="In pages: follow the Link header.",
    tag="plans",
)
PLAN = operation("plan", "One plan", [PLAN_ID], responses.PlanAnswer, NO_PLAN, tag="plans")
CREATE_PLAN = operation(
    "create_plan",
    "Create a plan",
    [],
    responses.PlanAnswer,
    BAD_PLAN | TOO_LARGE | NOT_JSON,
    description="Also needs the permission to start a collection.",
    tag="plans",
    request={JSON: bodies.PlanBody},
    examples=[examples.A_PLAN],
)
CHANGE_PLAN = operation(
    "change_plan",
    "Change a plan, or switch it on or off",
    [PLAN_ID],
    responses.PlanAnswer,
    BAD_PLAN | NO_PLAN | TOO_LARGE | NOT_JSON,
    description="Keys left out stay. Also needs the permission to start a collection.",
    tag="plans",
    request={JSON: bodies.PlanChanges},
    examples=[examples.SWITCH_OFF],
)
DELETE_PLAN = operation(
    "delete_plan",
    "Delete a plan",
    [PLAN_ID],
    responses.PlanDeletedAnswer,
    NO_PLAN,
    description="What it collected stays.",
    tag="plans",
)
RUN_PLAN = operation(
    "run_plan",
    "Start what a plan orders now",
    [PLAN_ID, IDEMPOTENCY_KEY],
    responses.PlanStartedAnswer,
    RUNNING | NO_PLAN,
    description="Like a start: while a task is running, the response is a 400. The plan's next time stays.",
    tag="plans",
    request=None,
)
PLAN_RUNS = operation(
    "plan_runs",
    "The runs of a plan with their steps, newest first",
    [PLAN_ID, queries.PlanRunQuery, NEXT_PAGE],
    responses.PlanRunAnswer(many=True),
    INVALID | NO_PLAN,
    description="Which times of the plan began a run, which were late, refused or skipped. In pages.",
    tag="plans",
)
PLAN_EVENTS = operation(
    "plan_events",
    "Who did what to which plan, newest first",
    [queries.PlanEventQuery, NEXT_PAGE],
    responses.PlanEventAnswer(many=True),
    INVALID,
    description="Deleted plans' events stay. In pages: follow the Link header.",
    tag="plans",
)
EXPORTS = operation(
    "exports",
    "Exports, newest first",
    [queries.ExportQuery, NEXT_PAGE],
    responses.ExportAnswer(many=True),
    INVALID,
    description="Those of pages, plans and commands, too. In pages: follow the Link header.",
    tag="exports",
)
EXPORT = operation("export", "One export", [EXPORT_ID], responses.ExportAnswer, NO_EXPORT, tag="exports")
START_EXPORT = operation(
    "start_export",
    "Start an export",
    [],
    responses.ExportAnswer,
    EXPORT_RUNNING | TOO_LARGE | NOT_JSON,
    description="The workers write into a folder below COLLECTOR_EXPORT_DIR, and only what has changed since "
    "its last export. One export at a time into a folder.",
    tag="exports",
    request={JSON: bodies.ExportBody},
    examples=[examples.AN_EXPORT],
)
CANCEL_EXPORT = operation(
    "cancel_export",
    "Cancel an export",
    [EXPORT_ID],
    responses.ExportAnswer,
    EXPORT_ENDED | NO_EXPORT,
    description="The files of the last complete export stay.",
    tag="exports",
)
