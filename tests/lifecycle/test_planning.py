"""The items of a whole market are created in batches, and none of them is claimed before the last one."""

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ

from tasks_app import errors, lifecycle
from tasks_app.admin.tasks import panels
from tasks_app.lifecycle import payloads, worker_actions
from tasks_app.management import output
from tasks_app.models import CollectionTask
from tasks_app.models.events import EventKind
from tests.factories import ACTOR, make_lane, make_task

pytestmark = pytest.mark.django_db
CODES = ("000001", "000002", "000003", "000004", "000005")


class Interrupted(Exception):
    """The worker is asked to stop."""


@pytest.fixture(autouse=True)
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_actions, "PLAN_BATCH", 2)


@pytest.fixture
def task() -> CollectionTask:
    return make_task(stock_codes=None)


def interrupt() -> None:
    raise Interrupted


def positions_and_codes(task):
    return list(task.items.order_by("position").values_list("position", "code"))


def planned_event(task):
    return task.events.filter(kind=EventKind.PLANNED).values_list("params", flat=True)


def test_plan_is_visible_while_it_grows(task):
    seen = []

    def look() -> None:
        task.refresh_from_db()
        status = payloads.task_statuses([task])[0]
        seen.append((status["total_stocks"], status["progress"], task.items.count()))
        assert task.planned_at is None
        assert panels.progress_sentence(task) == f"Planning, stocks so far: {task.total_stocks} …"
        assert output.progress_text(task) == f"planning, stocks so far: {task.total_stocks}"

    lifecycle.plan(make_lane(task), CODES, look)
    assert seen == [(2, 0, 2), (4, 0, 4)]
    task.refresh_from_db()
    assert (task.total_stocks, positions_and_codes(task)) == (5, list(enumerate(CODES)))
    assert task.planned_at is not None
    assert list(planned_event(task)) == [{"stocks": 5}]


def test_no_other_slice_is_queued_before_the_whole_plan(task):
    lane, queued = make_lane(task), []

    def rescue() -> None:
        lifecycle.rescue(task.pk)
        queued.append(OrmQ.objects.count())

    lifecycle.plan(lane, CODES, rescue)
    assert queued == [1, 1], "the job of the start"
    assert OrmQ.objects.count() == 2, "the other lane's"


def test_cancel_between_two_batches_ends_the_plan(task):
    lane = make_lane(task)
    with pytest.raises(errors.StaleClaim):
        lifecycle.plan(lane, CODES, lambda: lifecycle.cancel(task.pk, ACTOR) and None)
    task.refresh_from_db()
    assert (task.status, task.planned_at, task.total_stocks, task.items.count()) == ("cancelled", None, 2, 2)
    assert panels.progress_sentence(task) == "The plan was not completed."
    assert not planned_event(task)


def test_retry_of_half_a_plan_takes_the_whole_market(task):
    with pytest.raises(errors.StaleClaim):
        lifecycle.plan(make_lane(task), CODES, lambda: lifecycle.cancel(task.pk, ACTOR) and None)
    retried = lifecycle.retry(task.pk, ACTOR)
    assert retried.stock_codes is None
    assert retried.planned_at is None
    assert not retried.items.exists()


def test_interrupted_plan_begins_again(task):
    lane = make_lane(task)
    with pytest.raises(Interrupted):
        lifecycle.plan(lane, CODES, interrupt)
    lifecycle.close(lane)
    other_list = ("000009", *CODES[1:], "000006", "000007")
    lifecycle.plan(make_lane(task), other_list)
    task.refresh_from_db()
    assert positions_and_codes(task) == list(enumerate(other_list))
    assert task.total_stocks == 7
    assert list(planned_event(task)) == [{"stocks": 7}]


def test_lost_planner_writes_no_further_batch(task):
    def lose_the_lane() -> None:
        task.lanes.update(generation=2, begun=True, lease_until=Now())

    with pytest.raises(errors.StaleClaim):
        lifecycle.plan(make_lane(task), CODES, lose_the_lane)
    assert positions_and_codes(task) == list(enumerate(CODES[:2]))


def test_half_a_plan_does_not_end_its_task(task):
    lane = make_lane(task)
    with pytest.raises(Interrupted):
        lifecycle.plan(lane, CODES, interrupt)
    lifecycle.rescue(task.pk)
    with pytest.raises(errors.TaskAlreadyRunning):
        make_task()
    task.refresh_from_db()
    assert task.status == "running"
