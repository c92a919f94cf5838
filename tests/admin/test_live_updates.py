"""What the page of a task asks for again and again: little, cheap, and never more than one may see."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_app import lifecycle, reasons
from tasks_app.admin.access.permissions import TaskPermissions
from tasks_app.admin.tasks import grid, live_updates, panels, throughput_chart
from tasks_app.lifecycle import Outcome
from tasks_app.lifecycle.progress import Bucket
from tasks_app.models import CollectionTask, Stock
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState
from tasks_app.throttle import status
from tests.admin.helpers import (
    TASKS,
    insert_ended,
    make_half_done,
    staff_client,
    superuser_client,
    text_of,
    url,
)
from tests.factories import ACTOR, make_lane, make_run, make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def next_bucket(monkeypatch):
    """Clears the snapshots and stops time. Returns a function that moves it by ten seconds."""
    live_updates.snapshots.snapshots.clear()
    now = [timezone.now()]
    monkeypatch.setattr(live_updates, "_time_bucket", lambda: now[0])

    def end():
        now[0] += timedelta(seconds=10)

    return end


class Reader:
    """A browser that shows the task's page: it holds an ETag and parts, and refreshes them."""

    def __init__(self, client, task):
        self.client, self.address = client, url(f"{TASKS}_live", task.pk)
        self.page = client.get(url(f"{TASKS}_change", task.pk))
        begin = self.page.context["begin"]
        self.etag, self.have = begin["etag"], dict(part.split(".") for part in begin["have"])

    def refresh(self):
        have = ",".join(f"{name}.{digest}" for name, digest in self.have.items())
        answer = self.client.get(self.address, {"have": have}, headers={"If-None-Match": self.etag})
        if answer.status_code == 200:
            body = json.loads(answer.content)
            self.have |= {name: digest for name, (digest, _) in body["parts"].items()}
            if "cells" in body:
                self.have["cells"] = body["cells"][0]
        self.etag = answer.headers["ETag"]
        return answer


def age_snapshots():
    """Makes every snapshot two seconds older."""
    for key, kept in live_updates.snapshots.snapshots.items():
        live_updates.snapshots.snapshots[key] = live_updates.Snapshot(
            **{**vars(kept), "rendered_at": kept.rendered_at - 2}
        )


def whole_size(answer):
    """Returns the bytes of the response over HTTP: status line, headers and body."""
    return len(answer.content) + sum(len(f"{name}: {value}\r\n") for name, value in answer.items()) + 30


def record(task, state=ItemState.SUCCEEDED, **outcome):
    lane = make_lane(task)
    lifecycle.record(lifecycle.claim(lane, 1)[0], Outcome(state, **outcome))
    lifecycle.close(lane)


@pytest.mark.parametrize(
    ("kind", "queries"),
    [("superuser", 3), pytest.param("viewer", 5, marks=pytest.mark.soak), ("operator", 5)],
)
def test_unchanged_page_is_a_cheap_304(kind, queries):
    task = make_run(total=70, ages=[float(n) for n in range(60)], planned=60, failed=20)
    client = superuser_client() if kind == "superuser" else staff_client(name=kind)
    client.get("/admin/").wsgi_request.user.groups.set(Group.objects.filter(name=kind))
    reader = Reader(client, task)
    assert reader.refresh().status_code == 304
    with CaptureQueriesContext(connection) as caught:
        answer = reader.refresh()
    assert answer.status_code == 304
    assert not answer.content
    assert len(caught) <= queries
    assert whole_size(answer) < 1000


def test_heartbeat_alone_sends_no_part():
    task = make_run(total=70, ages=[float(n) for n in range(60)], planned=60)
    reader = Reader(superuser_client(), task)
    CollectionTask.objects.filter(pk=task.pk).update(heartbeat_at=F("heartbeat_at") + timedelta(seconds=1))
    with CaptureQueriesContext(connection) as caught:
        answer = reader.refresh()
    body = json.loads(answer.content)
    assert (body["parts"], "cells" in body, body["final"]) == ({}, False, False)
    assert len(caught) <= 3
    assert whole_size(answer) < 1500


def test_processed_stock_sends_changed_parts_only():
    task = make_task()
    reader = Reader(superuser_client(), task)
    record(task, collected=5)
    age_snapshots()
    body = json.loads(reader.refresh().content)
    assert {"head", "chart"} <= body["parts"].keys() <= {"head", "chart", "events"}
    assert body["cells"][1] == "1s2p"
    assert body["said"] == "1 of 3 stocks (33%), 0 failed"
    assert reader.refresh().status_code == 304


def test_counters_render_once_per_second_for_all_users():
    task, client = make_run(total=50, ages=[1.0] * 10, planned=10), superuser_client()
    readers = [Reader(client, task) for _ in range(3)]
    age_snapshots()
    CollectionTask.objects.filter(pk=task.pk).update(collected_count=1)
    assert readers[0].refresh().status_code == 200
    CollectionTask.objects.filter(pk=task.pk).update(collected_count=2)
    for reader in readers:
        with CaptureQueriesContext(connection) as caught:
            reader.refresh()
        assert len(caught) <= 3


def test_end_shows_at_once_and_is_final():
    task = make_task()
    reader = Reader(superuser_client(), task)
    lifecycle.cancel(task.pk, ACTOR)
    body = json.loads(reader.refresh().content)
    assert body["final"]
    assert url(f"{TASKS}_retry", task.pk) in body["parts"]["head"][1]
    assert url(f"{TASKS}_cancel", task.pk) not in body["parts"]["head"][1]
    assert reader.refresh().status_code == 304


def test_time_dependent_parts_update_in_ten_seconds(monkeypatch, next_bucket):
    reader = Reader(superuser_client(), make_task())
    pause_sources(monkeypatch)
    assert reader.refresh().status_code == 304
    next_bucket()
    assert "429 five times." in json.loads(reader.refresh().content)["parts"]["notices"][1]


def test_ended_task_is_never_rendered_again(next_bucket):
    reader = Reader(superuser_client(), insert_ended("failed"))
    next_bucket()
    with CaptureQueriesContext(connection) as caught:
        assert reader.refresh().status_code == 304
    assert len(caught) <= 3


@pytest.mark.parametrize("ended", [True, False])
def test_two_web_processes_render_the_same(ended):
    """Otherwise a page whose requests reach both in turn would be sent its parts again and again."""
    task = insert_ended("failed") if ended else make_run(total=100, ages=[99.0] * 20, planned=100)
    reader = Reader(superuser_client(), task)
    live_updates.snapshots.snapshots.clear()
    assert reader.refresh().status_code == 304


def pause_sources(monkeypatch):
    """Pauses every source. Returns the end of the pause."""
    until = timezone.now() + timedelta(hours=1)
    paused = status.LimiterStatus(
        "simulated", status.LimiterState.PAUSED, paused_until=until, reason="429 five times."
    )
    monkeypatch.setattr(status, "status_of", lambda source: paused)
    return until


def test_buttons_follow_each_users_permissions():
    task = make_task()
    heads = {
        name: json.loads(staff_client(*names, name=name).get(url(f"{TASKS}_live", task.pk)).content)["parts"][
            "head"
        ][1]
        for name, names in {
            "viewer": ["view_collectiontask"],
            "operator": ["view_collectiontask", "cancel_task", "retry_task", "start_task"],
        }.items()
    }
    assert "/cancel/" in heads["operator"]
    assert "/cancel/" not in heads["viewer"]
    lifecycle.cancel(task.pk, ACTOR)
    ended = staff_client("view_collectiontask", "start_task", name="starter").get(
        url(f"{TASKS}_live", task.pk)
    )
    head = json.loads(ended.content)["parts"]["head"][1]
    assert f"?from={task.pk}" in head
    assert "/retry/" not in head


def test_refresh_is_403_without_permission_and_404_if_gone():
    task = make_task()
    assert staff_client("cancel_task").get(url(f"{TASKS}_live", task.pk)).status_code == 403
    assert (
        superuser_client().get(url(f"{TASKS}_live", "00000000-0000-4000-8000-000000000000")).status_code
        == 404
    )


@pytest.mark.parametrize("through", ["user", "group"])
def test_task_permissions_come_from_user_and_group(through):
    user = make_user("ann", is_staff=True)
    holder = user.user_permissions if through == "user" else Group.objects.create(name="some").permissions
    if through == "group":
        user.groups.add(Group.objects.get(name="some"))
    for name in ("view_collectiontask", "retry_task"):
        holder.add(_permission(name))
    user = type(user).objects.get(pk=user.pk)
    assert TaskPermissions.for_user(user) == TaskPermissions(
        view=True, cancel=False, pause=False, retry=True, start=False
    )
    user.is_active = False
    assert TaskPermissions.for_user(user) == TaskPermissions(False, False, False, False, False)


def _permission(name):
    return Permission.objects.get(content_type__app_label="tasks_app", codename=name)


# ---------------------------------------------------------------- the grid


def test_cells_are_runs_of_states_in_task_order():
    task = make_task()
    done, lost = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(done, Outcome(ItemState.SKIPPED))
    assert grid.encode_states(task.pk) == "1k1c1p"
    lifecycle.record(lost, Outcome(ItemState.FAILED, error_code="timeout"))
    assert grid.encode_states(task.pk) == "1k1f1p"


def test_cells_of_many_stocks_are_one_query(django_assert_num_queries):
    task = make_run(total=600, ages=[1.0] * 300, planned=60, failed=30)
    with django_assert_num_queries(1):
        assert grid.encode_states(task.pk) == "30f270s300p"


def test_cell_details_describe_the_item():
    task = make_task()
    Stock.objects.create(market="SIM", code="000002", name="Vanke")
    claims = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(claims[0], Outcome(ItemState.SUCCEEDED, collected=5, corrected=2, skipped=1, refused=3))
    lifecycle.record(claims[1], Outcome(ItemState.FAILED, error_code="timeout", error_message="No answer."))
    first, second, third = superuser_client().get(url(f"{TASKS}_stocks", task.pk), {"block": "0"}).json()
    assert (first["code"], first["rows"], first["refused"], first["state"]) == ("000001", 8, 3, "s")
    assert first["ms"] >= 0
    assert (second["name"], second["error_code"], second["error"]) == ("Vanke", "timeout", "No answer.")
    assert second["url"] == url("tasks_app_collectionitem_change", claims[1].item_id)
    assert (third["state"], third["ms"], third["attempts"]) == ("p", None, 0)


def test_block_of_cells_costs_the_same_anywhere(django_assert_max_num_queries):
    task, client = make_run(total=1000, ages=[1.0], planned=9), superuser_client()
    with django_assert_max_num_queries(6):
        found = client.get(url(f"{TASKS}_stocks", task.pk), {"block": "7"}).json()
    assert [detail["position"] for detail in found] == list(range(700, 800))
    for odd in ("", "-1", "x", "99999999999"):
        assert client.get(url(f"{TASKS}_stocks", task.pk), {"block": odd}).json() == []


def test_cell_details_need_permission_for_items():
    task = make_task()
    assert staff_client("view_collectiontask").get(url(f"{TASKS}_stocks", task.pk)).status_code == 403


# ---------------------------------------------------------------- the head


def test_timeline_has_a_time_for_each_step_reached():
    task = make_run(total=100, ages=[float(n) for n in range(50)], planned=50)
    stages = [
        (step.name, step.stage)
        for step in panels.timeline(task, panels.progress.estimate_pace(task), timezone.now())
    ]
    assert stages == [("started", "done"), ("planned", "done"), ("collecting", "now"), ("end", "ahead")]
    text = text_of(superuser_client().get(url(f"{TASKS}_change", task.pk)))
    assert "50 of 100 stocks (50%), 0 failed" in text
    assert "stocks/min" in text


def test_planning_task_says_so():
    text = text_of(superuser_client().get(url(f"{TASKS}_change", make_task(stock_codes=None).pk)))
    assert "Reading the stock list …" in text


def test_head_counts_skipped_stocks_by_name():
    counts = {count["name"]: count for count in panels.headline_counts(make_half_done())}
    assert counts["succeeded or skipped"]["value"] == "1"
    assert "state__in=succeeded%2Cskipped" in counts["succeeded or skipped"]["url"]


def test_empty_full_collection_says_why_once():
    task = CollectionTask(status="completed", full_collection_mode=True)
    task.outcome = "nothing_new"
    assert panels.outcome_sentence(task) == str(reasons.NOTHING_LEFT)
    assert not list(panels._data_notices(task))


def test_paused_source_notice_has_reason_and_time(monkeypatch):
    until = pause_sources(monkeypatch)
    text = text_of(superuser_client().get(url(f"{TASKS}_change", make_task().pk)))
    assert "The source “simulated” is paused" in text
    assert "429 five times." in text
    assert f"{timezone.localtime(until):%H:%M:%S}" in text


def test_notices_count_unknown_codes_and_bad_bars():
    task = make_task()
    CollectionTask.objects.filter(pk=task.pk).update(
        unknown_codes=["999999"], refused_count=2, flagged_count=1, corrected_count=3
    )
    answer = superuser_client().get(url(f"{TASKS}_change", task.pk))
    text, body = text_of(answer), answer.content.decode()
    for words in (
        *("1 code is unknown", "999999", "2 bars were refused", "1 bar was flagged"),
        "3 stored bars were corrected",
    ):
        assert words in text
    for model, query in (
        ("finding", "&amp;kind__exact=refused"),
        ("finding", "&amp;kind__exact=flagged"),
        ("correction", ""),
    ):
        address = url(f"tasks_app_{model}_changelist")
        assert f'href="{address}?task__id__exact={task.pk}{query}"' in body


def test_failure_groups_have_times_and_a_retry():
    task = make_task()
    claims = lifecycle.claim(make_lane(task), 3)
    for claim, code in zip(claims, ("timeout", "timeout", "unknown_stock"), strict=True):
        lifecycle.record(claim, Outcome(ItemState.FAILED, error_code=code, error_message="Odd."))
    body = superuser_client().get(url(f"{TASKS}_change", task.pk)).content.decode()
    assert "Retry these 2" in body
    assert "Retry this one" in body
    assert f"{url(f'{TASKS}_retry', task.pk)}?error_code=timeout" in body


def test_events_name_their_parameters():
    task = insert_ended("failed")
    new = lifecycle.retry(task.pk, ACTOR, "")
    text = text_of(superuser_client().get(url(f"{TASKS}_change", task.pk)))
    assert "market Synthetic quotes" in text
    assert "days 2024-01-01 – 2024-12-31" in text
    assert f"new task {str(new.pk)[:8]}" in text
    assert task.events.filter(kind=EventKind.RETRIED).exists()


# ---------------------------------------------------------------- the chart


def test_chart_has_a_round_scale_and_a_table():
    width = timedelta(seconds=5)
    began = timezone.now()
    drawn = throughput_chart.build_chart([Bucket(began + n * width, width, 7 * n, n % 2) for n in range(4)])
    assert (drawn.top, drawn.most, len(drawn.rows)) == ("30", "22", 3)
    assert drawn.zone == timezone.get_current_timezone_name()
    assert drawn.succeeded.count("M") == 3
    assert drawn.failed.count("M") == 2
    assert drawn.unit == "stocks per 5 s"
    seconds = [Bucket(began + n * timedelta(seconds=1), timedelta(seconds=1), 1, 0) for n in range(3)]
    assert throughput_chart.build_chart(seconds).unit == "stocks per second"
    assert throughput_chart.build_chart(seconds[:2]) is None
    assert throughput_chart.build_chart([]) is None


@pytest.mark.parametrize(("count", "top"), [(0, 1), (1, 1), (7, 8), (11, 20), (253, 300), (1001, 2000)])
def test_scale_ends_at_a_round_number(count, top):
    assert throughput_chart.round_up(count) == top
