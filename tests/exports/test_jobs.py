"""Exports as jobs: slices, lost workers, cancels, plans, retention."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_q.models import OrmQ

from tasks_app import lifecycle
from tasks_app.exports import errors, jobs, parquet
from tasks_app.exports.manifest import read
from tasks_app.exports.selection import Selection
from tasks_app.models import CollectionPlan, CollectionTask, Export, PlanRun
from tasks_app.workers import export_job, plan_scheduler
from tests.exports.helpers import WHOLE, store
from tests.factories import ACTOR, finish, make_plan
from tools.in_process import work

pytestmark = pytest.mark.django_db
DAYS = [date(2023, 12, 29), date(2024, 1, 2)]


@pytest.fixture
def short_slices(settings):
    """Each slice ends at its first step."""
    settings.COLLECTOR = replace(settings.COLLECTOR, slice_seconds=-1.0)


def jobs_queued():
    return OrmQ.objects.count()


def silence(export, seconds=60):
    Export.objects.filter(pk=export.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


@pytest.mark.usefixtures("short_slices")
def test_job_works_in_slices_to_the_end(tmp_path):
    store("CN", "600000", DAYS)
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    work()
    export.refresh_from_db()
    assert (export.state, export.error) == ("completed", None)
    assert export.done == export.total > 0
    assert export.generation > 10, "a slice per step"
    manifest = read(tmp_path)
    assert (export.checksum, export.rows, export.parts) == (manifest.checksum, manifest.rows, export.written)
    assert export.is_consistent


def test_second_copy_of_a_job_does_nothing(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    assert jobs.begin(export.pk, 0)
    assert jobs.begin(export.pk, 0) is None
    export_job.run(export.pk, 0)
    assert Export.objects.get().state == "running"
    assert not (tmp_path / "manifest.json").exists()


def test_lost_worker_is_followed_by_another_one(tmp_path, monkeypatch):
    store("CN", "600000", DAYS)
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    OrmQ.objects.all().delete()
    write, written = parquet.ParquetLayout.write, []

    def die(self, key, root):
        if len(written) == 1:
            raise MemoryError
        written.append(key)
        return write(self, key, root)

    monkeypatch.setattr(parquet.ParquetLayout, "write", die)
    with pytest.raises(MemoryError):
        export_job.run(export.pk, 0)
    monkeypatch.setattr(parquet.ParquetLayout, "write", write)
    jobs.recover()
    assert not jobs_queued(), "its lease has not expired"
    silence(export)
    jobs.recover()
    jobs.recover()
    assert jobs_queued() == 1
    export_job.run(export.pk, 0)
    assert Export.objects.get().state == "running", "the lost job came back: it does nothing"
    work()
    export.refresh_from_db()
    assert (export.state, export.losses) == ("completed", 1)


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_export_fails_with_a_reason_when_its_workers_are_lost_again_and_again(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    for generation in range(jobs.MAX_LOSSES):
        assert jobs.begin(export.pk, generation)
        silence(export)
        jobs.recover()
    export.refresh_from_db()
    assert export.state == "failed"
    assert errors.describe(export.error).startswith("5 workers in a row were lost")


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_deleted_job_is_queued_again(tmp_path, settings):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    OrmQ.objects.all().delete()
    silence(export)
    jobs.recover()
    assert not jobs_queued(), "the workers may be busy"
    silence(export, settings.COLLECTOR.abandon_after + 1)
    jobs.recover()
    assert jobs_queued() == 1


def test_cancelled_export_publishes_nothing(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    begun = jobs.begin(export.pk, 0)
    steps = []

    def cancel(step):
        if not steps:
            jobs.cancel(export.pk, ACTOR)
        steps.append(step)

    worker = jobs.Worker(begun)
    with pytest.raises(jobs.StaleExport):
        worker.work(60, cancel)
    assert not (tmp_path / "manifest.json").exists()
    assert Export.objects.get().state == "cancelled"
    with pytest.raises(errors.ExportEnded):
        jobs.cancel(export.pk, ACTOR)
    jobs.start(tmp_path, WHOLE, ACTOR)


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_export_that_publishes_is_not_cancelled(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    Export.objects.update(phase="publishing")
    with pytest.raises(errors.ExportEnded):
        jobs.cancel(export.pk, ACTOR)


def test_one_export_per_folder(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    with pytest.raises(errors.ExportRunning, match="is running"):
        jobs.start(tmp_path, Selection(market="CN"), ACTOR)
    jobs.start(tmp_path / "other", WHOLE, ACTOR)
    with pytest.raises(IntegrityError), transaction.atomic():
        Export.objects.filter(folder=str(tmp_path / "other")).update(folder=export.folder)


def test_export_of_a_killed_command_gives_way(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR, is_queued=False)
    assert not jobs_queued()
    with pytest.raises(errors.ExportRunning):
        jobs.start(tmp_path, WHOLE, ACTOR)
    silence(export)
    jobs.start(tmp_path, WHOLE, ACTOR)
    export.refresh_from_db()
    assert errors.describe(export.error).startswith("The command was interrupted")


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_folder_that_can_not_be_written_fails_the_export(tmp_path):
    (tmp_path / "file").touch()
    export = jobs.start(tmp_path / "file", WHOLE, ACTOR)
    work()
    export.refresh_from_db()
    assert export.state == "failed"
    assert "can't be written" in errors.describe(export.error)


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_folder_of_another_host_is_named(tmp_path):
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    Export.objects.update(host="elsewhere")
    work()
    export.refresh_from_db()
    assert "is not the folder of elsewhere" in errors.describe(export.error)


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_busy_folder_is_tried_again(tmp_path):
    store("CN", "600000", DAYS)
    export = jobs.start(tmp_path, WHOLE, ACTOR)
    other = jobs.Worker(export).run.steps()
    next(other)
    work()
    export.refresh_from_db()
    assert (export.state, export.begun) == ("running", True)
    other.close()
    silence(export)
    jobs.recover()
    work()
    export.refresh_from_db()
    assert export.state == "completed"


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_old_exports_are_pruned(tmp_path):
    for days, state in ((10, "completed"), (1, "cancelled")):
        ended = timezone.now() - timedelta(days=days)
        row = jobs.start(tmp_path, WHOLE, ACTOR)
        Export.objects.filter(pk=row.pk).update(state=state, ended_at=ended)
    running = jobs.start(tmp_path, WHOLE, ACTOR)
    Export.objects.filter(pk=running.pk).update(at=timezone.now() - timedelta(days=99))
    assert jobs.prune(0) == 0
    assert jobs.prune(5) == 1
    assert list(Export.objects.order_by("pk").values_list("state", flat=True)) == ["cancelled", "running"]


@pytest.fixture
def export_dir(settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    return tmp_path


def test_plan_exports_once_after_its_task_however_it_ended(export_dir):
    plan = make_plan(export_to="nightly")
    plan_scheduler.start_due()
    plan_scheduler.continue_runs()
    assert not Export.objects.exists(), "the task is running"
    plan.refresh_from_db()
    lifecycle.cancel(plan.last_task_id, ACTOR)
    for _ in range(3):
        plan_scheduler.continue_runs()
    export = Export.objects.get()
    assert (Path(export.folder), export.channel) == (export_dir / "nightly", "schedule")
    assert export.selection == WHOLE.as_dict()


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_plan_waits_for_its_folder_and_records_what_is_wrong(export_dir, settings):
    make_plan(export_to="nightly")
    plan_scheduler.start_due()
    finish(CollectionTask.objects.get())
    running = jobs.start(export_dir / "nightly", WHOLE, ACTOR)
    plan_scheduler.continue_runs()
    run = PlanRun.objects.get()
    assert (run.state, run.position, bool(run.waiting_since)) == ("waiting", 2, True)
    jobs.cancel(running.pk, ACTOR)
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir="")
    plan_scheduler.continue_runs()
    run.refresh_from_db()
    assert (run.state, CollectionPlan.objects.get().error_code) == ("refused", "no_export_folder")


@pytest.mark.any_database  # the same rows again; what differs is in this process
def test_failed_export_is_the_failure_of_its_run(export_dir):
    make_plan(export_to="nightly")
    plan_scheduler.start_due()
    finish(CollectionTask.objects.get())
    plan_scheduler.continue_runs()
    jobs.fail(Export.objects.get(), errors.FolderUnusable(folder="nightly", reason="full"))
    plan_scheduler.continue_runs()
    plan, run = CollectionPlan.objects.get(), PlanRun.objects.get()
    assert (run.state, run.error_code, plan.error_code) == ("failed", *2 * ("folder_unusable",))
    assert "full" in plan.error_message
