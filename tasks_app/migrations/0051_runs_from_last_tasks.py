"""Makes runs of what plans kept of their last ones: the last task, and the export that is to follow it."""

from django.db import migrations

RUN_STATES = {"completed": "completed", "failed": "failed", "cancelled": "cancelled"}


def make_runs(apps, schema_editor):
    plans, tasks, runs, attempts = (
        apps.get_model("tasks_app", name)
        for name in ("CollectionPlan", "CollectionTask", "PlanRun", "StepAttempt")
    )
    for plan in plans.objects.filter(last_task__isnull=False).order_by("pk"):
        task = tasks.objects.filter(pk=plan.last_task_id).first()
        if task is None:
            continue
        tasks.objects.filter(pk=task.pk).update(plan_id=plan.pk, plan_name=plan.name)
        is_open = task.status == "running" or plan.export_due
        run = runs.objects.create(
            plan_id=plan.pk,
            plan_name=plan.name,
            state="running" if is_open else RUN_STATES[task.status],
            steps=_steps(plan, task),
            started_at=task.start_time,
            ended_at=None if is_open else task.end_time,
            user_id=task.created_by_id,
            channel="schedule",
        )
        # The watchdog ends a step whose task has ended, and goes on with the export.
        has_failures = task.status == "completed" and task.failed_count
        attempts.objects.create(
            run=run,
            position=1,
            attempt=1,
            kind="bars",
            state="running" if is_open else "with_failures" if has_failures else task.status,
            task_id=task.pk,
            started_at=task.start_time,
            ended_at=None if is_open else task.end_time,
            error_code="" if is_open else task.error_code,
            error_message="" if is_open else task.error_message,
        )
    plans.objects.filter(export_due=True).update(export_due=False)


def _steps(plan, task):
    common = {"retries": 0, "retry_wait": 5}
    order = {
        "start_date": task.start_date.isoformat(),
        "end_date": task.end_date.isoformat(),
        **{name: getattr(task, name) for name in ("stock_codes", "market", "source", "adjust", "test_mode")},
        **{name: getattr(task, name) for name in ("full_collection_mode", "force_update", "fallbacks")},
        **{name: getattr(task, name) for name in ("kind", "verify_with", "verify_sample")},
    }
    steps = [{"kind": "bars", **common, "on_failure": "continue", "order": order}]
    if plan.export_to and (plan.export_due or task.status == "running"):
        own = {"folder": plan.export_to, "layout": plan.export_layout, "market": plan.market}
        codes = sorted(plan.stock_codes or ())
        steps.append(
            {"kind": "export", **common, "on_failure": "stop", **own, "adjust": plan.adjust, "stock_codes": codes}
        )
    return steps


class Migration(migrations.Migration):
    dependencies = [("tasks_app", "0050_runs_and_steps_of_plans")]
    operations = [migrations.RunPython(make_runs, migrations.RunPython.noop)]
