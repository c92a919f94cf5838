"""The audit page: over everything, filtered, as a file, and for those who may see it."""

import csv
import dataclasses
import json
import re
from io import StringIO

import pytest
from django.contrib.auth.models import Group, User
from django.utils import translation

from tasks_app import lifecycle, roles
from tasks_app.admin.tasks import events
from tasks_app.exports.selection import Selection
from tasks_app.lifecycle import order_queue
from tasks_app.lifecycle.events import Actor
from tasks_app.models import AuditEvent, CollectionPlan, QueuedOrder, TaskEvent
from tasks_app.models.events import Channel, EventKind
from tasks_app.models.queued_orders import Priority
from tasks_app.orders.order import Order
from tests.admin.helpers import staff_client, superuser_client, text_of, url
from tests.factories import make_continued, make_plan, make_queued_order, make_task, make_user

pytestmark = pytest.mark.django_db


def rows_of(response):
    return list(csv.DictReader(StringIO(response.getvalue().decode())))


def test_page_shows_sign_ins_tasks_and_users():
    client = superuser_client()
    client.force_login(User.objects.get())
    task = make_task()
    lifecycle.cancel(task.pk, Actor(Channel.API, User.objects.get()))
    ann = make_user()
    form = {"username": "anna", "date_joined_0": "2024-01-01", "date_joined_1": "00:00:00"}
    client.post(url("auth_user_change", ann.pk), form)
    text = text_of(client.get(url("audit")))
    cancelled = f"block cancelled task {str(task.pk)[:8]}"
    for words in ("root login signed in sign-in", "root edit changed user anna", f"root {cancelled}"):
        assert words in text


def test_page_shows_what_was_done_to_queued_orders():
    row = make_queued_order()
    ann = Actor(Channel.API, make_user())
    order_queue.move(row.pk, ann, priority=Priority.HIGH)
    order_queue.withdraw(row.pk, ann)
    page = superuser_client().get(url("audit"), {"subject": "queuedorder", "object": row.pk})
    text = text_of(page)
    for words in ("queued", "moved", "withdrawn", f"#{row.pk}", "priority high"):
        assert words in text
    assert f'href="{url("tasks_app_queuedorder_change", row.pk)}"' in page.content.decode()


def test_start_by_the_queue_names_its_order_and_what_it_continues():
    first, rest = make_continued()
    order, client = QueuedOrder.objects.get(), superuser_client()
    page = client.get(url("audit"), {"subject": "task", "object": str(rest.pk)})
    words = f"started by the queue as order #{order.pk} continues {str(first.pk)[:8]}"
    assert words in text_of(page)
    assert url("tasks_app_queuedorder_change", order.pk) in page.content.decode()
    assert words in text_of(client.get(url("tasks_app_collectiontask_change", rest.pk)))
    (row,) = rows_of(
        client.get(url("audit_csv"), {"subject": "task", "object": str(rest.pk), "verb": "started"})
    )
    detail = json.loads(row["detail"])
    assert (detail["queued_order"], detail["continues"]) == (order.pk, str(first.pk))
    chinese = client.get(url("audit"), {"object": str(rest.pk)}, headers={"Accept-Language": "zh-hans"})
    assert "由排队请求启动" in text_of(chinese)


def test_start_of_a_queued_order_names_it():
    row = make_queued_order()
    task = order_queue.start_next()
    client = superuser_client()
    page = client.get(url("audit"), {"subject": "task", "object": str(task.pk)})
    assert f"started by the queue as order #{row.pk}" in text_of(page)
    events = client.get("/api/data-collection/events", {"task": str(task.pk)}).json()
    params = next(event["params"] for event in events if event["kind"] == "started")
    assert (params["queued_order"], params.get("continues")) == (row.pk, None)


def test_unchanged_form_leaves_no_event():
    client, group = superuser_client(), Group.objects.create(name="readers")
    client.post(url("auth_group_change", group.pk), {"name": "readers"})
    assert not AuditEvent.objects.filter(subject="group").exists()
    client.post(url("auth_group_change", group.pk), {"name": "others"})
    assert AuditEvent.objects.get(subject="group").verb == "changed"


def test_filters_keep_their_values_in_links():
    client = superuser_client()
    page = client.get(url("audit"), {"who": "root", "subject": "session"})
    assert "who=root&amp;subject=session" in page.content.decode()
    assert "Nothing matches these filters." in text_of(client.get(url("audit"), {"who": "nobody"}))
    wrong = client.get(url("audit"), {"first": "2026-02-02", "last": "2026-01-01"})
    assert "The last day is before the first one." in text_of(wrong)
    assert client.get(url("audit"), {"after": "[1]", "who": "root"}).url == f"{url('audit')}?who=root"


def test_history_of_an_object_is_its_part_of_the_record():
    client, ann = superuser_client(), make_user()
    page = client.get(url("auth_user_history", ann.pk))
    assert page.url == f"{url('audit')}?subject=user&object={ann.pk}"


def test_history_names_its_object_and_leads_back_to_it():
    client, ann = superuser_client(), make_user()
    name, page_of_ann = ann.get_username(), url("auth_user_change", ann.pk)
    page = client.get(url("audit"), {"subject": "user", "object": ann.pk})
    assert page.context["title"] == f"History of user “{name}”"
    assert f'href="{page_of_ann}"' in page.content.decode()
    assert f'href="{url("audit")}?subject=user"' in page.content.decode()
    assert f"User “{name}” close" in text_of(page)
    chinese = client.get(
        url("audit"), {"subject": "user", "object": ann.pk}, headers={"Accept-Language": "zh-hans"}
    )
    assert chinese.context["title"] == f"用户“{name}”的历史"


def test_history_of_what_nothing_is_recorded_of_says_so():
    client, plan = superuser_client(), make_plan(market="SIM")
    wanted = {"subject": "plan", "object": plan.pk}
    assert "No change of this plan has been recorded." in text_of(client.get(url("audit"), wanted))
    assert "Nothing matches these filters." in text_of(client.get(url("audit"), {**wanted, "who": "mei"}))
    chinese = text_of(client.get(url("audit"), wanted, headers={"Accept-Language": "zh-hans"}))
    assert "还没有此定时采集的操作记录。" in chinese


def test_history_of_a_deleted_object_keeps_its_name():
    client, ann = superuser_client(), make_user("ann")
    client.post(url("auth_user_delete", ann.pk), {"post": "yes"})
    page = client.get(url("audit"), {"subject": "user", "object": ann.pk})
    assert page.context["title"] == "History of user “ann”"
    assert url("auth_user_change", ann.pk) not in page.content.decode()


def test_history_links_nothing_that_its_reader_may_not_see():
    ann = make_user("ann")
    page = staff_client("view_auditevent").get(url("audit"), {"subject": "user", "object": ann.pk})
    assert url("auth_user_change", ann.pk) not in page.content.decode()
    assert "History of user “#" in page.context["title"]


def test_what_the_program_did_is_the_systems():
    task = make_task()
    lifecycle.cancel(task.pk, Actor(Channel.SCHEDULE))
    page = superuser_client().get(url("audit"), {"subject": "task", "object": str(task.pk)})
    assert "system block cancelled task" in text_of(page)


def test_command_and_the_queue_are_told_as_who_did_it():
    task, client = make_task(), superuser_client()
    order = {"queued_order": 1}
    TaskEvent.objects.create(task=task, kind=EventKind.STARTED, channel=Channel.COMMAND)
    TaskEvent.objects.create(task=task, kind=EventKind.CONTINUED, channel=Channel.COMMAND, params=order)
    for address in (url("audit"), url("tasks_app_collectiontask_change", task.pk)):
        text = text_of(client.get(address))
        assert re.search(r"command line.{0,80}started|started.{0,20} command line", text)
        assert re.search(r"system.{0,40}continued.{0,80} queue|continued system queue", text)


def test_single_page_has_no_links_to_others():
    client = superuser_client()
    assert "Previous" not in text_of(client.get(url("audit")))


def test_file_holds_all_and_no_formula():
    client = superuser_client()
    make_user("=cmd").delete()
    client.post(url("auth_group_add"), {"name": "=1+1"})
    rows = rows_of(client.get(url("audit_csv"), {"subject": "group"}))
    assert [(row["user_name"], row["verb"], row["name"]) for row in rows] == [("root", "created", "'=1+1")]
    assert len(rows_of(client.get(url("audit_csv")))) == AuditEvent.objects.count()


def test_record_is_seen_and_exported_with_a_permission_each():
    viewer, exporter = staff_client("view_auditevent"), staff_client("export_audit", name="exporter")
    assert (viewer.get(url("audit")).status_code, viewer.get(url("audit_csv")).status_code) == (200, 403)
    assert "Download as CSV" not in text_of(viewer.get(url("audit")))
    assert (exporter.get(url("audit")).status_code, exporter.get(url("audit_csv")).status_code) == (403, 403)


def test_only_administrators_see_the_record():
    held = {
        group.name: group.permissions.filter(codename__in=["view_auditevent", "export_audit"]).count()
        for group in Group.objects.all()
    }
    assert held == {roles.VIEWER: 0, roles.OPERATOR: 0, roles.ADMINISTRATOR: 2}


def test_deleting_a_user_keeps_what_the_user_did():
    client = superuser_client()
    ann = staff_client("add_group", "view_group", name="ann")
    ann.post(url("auth_group_add"), {"name": "readers"})
    client.post(url("auth_user_delete", User.objects.get(username="ann").pk), {"post": "yes"})
    assert AuditEvent.objects.get(subject="group").user_name == "ann"
    assert AuditEvent.objects.get(subject="user").verb == "deleted"


def test_every_parameter_of_a_detail_has_a_name():
    plan = {field.name for field in CollectionPlan._meta.fields if field.editable} - {"id"}
    order = {field.name for field in dataclasses.fields(Order)}
    selection = {field.name for field in dataclasses.fields(Selection)}
    others = {"first_day", "last_day", "series", "bars", "codes", "since", "added", "corrected"}
    others |= {"run", "task", "steps", "lane", "exit_code", "error", "position", "priority"}
    others |= {"continues", "queued_order", "plan", "by"}
    assert not (plan | order | selection | others) - events.PARAMETER_NAMES.keys()


def test_values_of_a_changed_plan_are_in_words():
    changed = {"rhythm": "weekly", "weekday": 4, "steps": [{"kind": "bars"}], "export_layout": "parquet"}
    with translation.override("zh-hans"):
        pairs = {name: str(value) for name, value in events.named_parameters(changed)}
    assert pairs == {"频率": "每周", "星期": "星期五", "步骤": "日K线", "导出格式": "Parquet"}
