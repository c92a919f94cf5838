"""The pages of incidents, channels and dead man's switches: secrets, verbs, signed links, rights."""

import re

import pytest
from django.core import signing
from django.urls import resolve

from tasks_app.models import CollectionTask, Incident, NoticeChannel, NoticeDelivery, NoticePing, NoticeRule
from tasks_app.models.notices import NoticeEvent, Severity
from tasks_app.notices import Cause, addresses, links, open_incident, routing
from tests.admin.helpers import messages_of, staff_client, superuser_client, text_of, url
from tests.factories import make_ended, make_task

pytestmark = pytest.mark.django_db
SECRET = "xoxb-a-token-of-ours"
ADDRESS = f"jsons://example.com/hook/{SECRET}"
CHANNELS, CHANNEL = "tasks_app_noticechannel_changelist", "tasks_app_noticechannel_change"
EDIT = [f"{verb}_noticechannel" for verb in ("view", "add", "change")]


def form_of_channel(**fields):
    rules = {"rules-TOTAL_FORMS": "1", "rules-INITIAL_FORMS": "0", "rules-0-severity": "2"}
    times = {"quiet_from": "22:00", "quiet_until": "08:00", "grouping": "20"}
    names = {
        "name": "team",
        "enabled": "on",
        "address": ADDRESS,
        "language": "en",
        "time_zone": "Asia/Shanghai",
    }
    return {**names, **times, **rules, **fields}


def make_channel(**fields):
    channel = NoticeChannel.objects.create(**{"name": "team", "url": addresses.encrypt(ADDRESS), **fields})
    NoticeRule.objects.create(channel=channel)
    return channel


def make_incident(event=NoticeEvent.SOURCE_PAUSED, key="akshare", **params):
    facts = {"source": "akshare", "until_at": "2026-11-29T10:00:00+00:00", **params}
    open_incident(event, Cause(key, Severity.WARNING, params=facts))
    return Incident.objects.order_by("-pk")[0]


def test_channel_is_stored_encrypted_and_shown_masked():
    client = staff_client(*EDIT)
    response = client.post(url("tasks_app_noticechannel_add"), form_of_channel())
    assert response.status_code == 302
    channel = NoticeChannel.objects.get()
    assert SECRET not in channel.url
    assert addresses.decrypt(channel.url) == ADDRESS
    assert (channel.changed_by, channel.quiet_from.hour) == ("staff", 22)
    rule = channel.rules.get()
    assert (rule.event, rule.market, rule.severity) == ("", "", 2)
    for page in (client.get(url(CHANNELS)), client.get(url(CHANNEL, channel.pk))):
        assert "jsons://********" in text_of(page)
        assert SECRET not in page.content.decode()


@pytest.mark.parametrize(("accepted", "language"), [("en", "en"), ("zh-CN", "zh-hans")])
@pytest.mark.usefixtures("without_html")
def test_new_channel_offers_messages_in_the_readers_language(accepted, language):
    page = superuser_client().get(url("tasks_app_noticechannel_add"), headers={"Accept-Language": accepted})
    assert page.context["adminform"].form["language"].value() == language


def test_channel_keeps_its_address_unless_another_one_is_entered():
    channel = make_channel(failures=0)
    stored = channel.url
    rules = {"rules-TOTAL_FORMS": "0"}
    response = staff_client(*EDIT).post(
        url(CHANNEL, channel.pk), form_of_channel(address="", name="desk", **rules)
    )
    assert response.status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.url) == ("desk", stored)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "required"),
        ("dbus://", "own machine"),
        ("slack://one", "a part is missing"),
        *(
            pytest.param(*row, marks=pytest.mark.soak)
            for row in (
                ("https://example.com/hook", "jsons://"),
                ("nonsense://a/b", "does not know"),
                ("no address", "not an address"),
            )
        ),
    ],
)
def test_malformed_address_is_refused_and_not_shown_again(address, problem):
    response = staff_client(*EDIT).post(url("tasks_app_noticechannel_add"), form_of_channel(address=address))
    assert response.status_code == 200
    assert problem in text_of(response)
    assert not address or f'value="{address}"' not in response.content.decode()
    assert not NoticeChannel.objects.exists()


@pytest.mark.parametrize(
    ("pasted", "stored"),
    [
        ("https://oapi.dingtalk.com/robot/send?access_token=0a1b2c3d4e5f", "dingtalk://0a1b2c3d4e5f"),
        ("https://open.feishu.cn/open-apis/bot/v2/hook/1a2b-3c4d-5e6f", "feishu://1a2b-3c4d-5e6f"),
        (
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0a1b2c3d-1a2b-3c4d-5e6f-0123456789ab",
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0a1b2c3d-1a2b-3c4d-5e6f-0123456789ab",
        ),
    ],
)
def test_address_of_a_bot_may_be_pasted(pasted, stored):
    assert addresses.parse_channel(f" {pasted} ") == stored


def test_test_message_is_queued_by_who_may_change_the_channel():
    channel = make_channel()
    page = url("tasks_app_noticechannel_test", channel.pk)
    assert staff_client("view_noticechannel", name="ben").post(page).status_code == 403
    client = staff_client(*EDIT)
    assert client.get(page).status_code == 405
    assert "on its way" in messages_of(client.post(page))
    delivery = NoticeDelivery.objects.get()
    assert (delivery.kind, delivery.state, delivery.user_name) == ("test", "pending", "staff")


def test_failing_channel_shows_why():
    channel = make_channel(failures=2, failing_since="2026-11-29T10:00:00+00:00", error="HTTP 500")
    shown = text_of(staff_client("view_noticechannel").get(url(CHANNEL, channel.pk)))
    assert "failing" in shown and "HTTP 500" in shown and "2026-11-29" in shown


def test_channel_switched_off_drops_what_waits():
    channel = make_channel()
    make_incident()
    routing.route()
    form = form_of_channel(address="", **{"rules-TOTAL_FORMS": "0"})
    del form["enabled"]
    staff_client(*EDIT).post(url(CHANNEL, channel.pk), form)
    assert NoticeDelivery.objects.get().state == "skipped"


def test_incident_is_silenced_and_closed_after_a_question():
    incident = make_incident()
    assert (
        staff_client("view_incident", name="ben")
        .post(url("tasks_app_incident_silence", incident.pk))
        .status_code
        == 403
    )
    client = staff_client("view_incident", "silence_incident")
    assert "Silence this incident" in text_of(client.get(url("tasks_app_incident_silence", incident.pk)))
    client.post(url("tasks_app_incident_silence", incident.pk))
    incident.refresh_from_db()
    assert incident.silenced_until and incident.silenced_by == "staff"
    client.post(url("tasks_app_incident_close", incident.pk))
    incident.refresh_from_db()
    assert incident.closed_at and incident.closed_by == "staff"
    assert "nothing was changed" in messages_of(client.post(url("tasks_app_incident_close", incident.pk)))
    assert "akshare" in text_of(client.get(url("tasks_app_incident_change", incident.pk)))


def test_signed_link_asks_and_then_retries_with_the_right_of_who_follows_it():
    task = make_ended("failed")
    incident = Incident.objects.get()
    retry, silence = links.actions(incident)
    page = links.action_path(retry)
    assert staff_client("view_collectiontask", name="ben").post(page).status_code == 403
    client = staff_client("view_collectiontask", "retry_task")
    assert "Start a new task" in text_of(client.get(page))
    assert CollectionTask.objects.count() == 1, "a GET changes nothing"
    client.post(page)
    assert CollectionTask.objects.get(retry_of=task.pk).status == "running"
    assert silence.verb == "silence" and not silence.task


def test_retry_is_offered_only_for_what_a_task_left():
    make_ended("failed")
    incident = Incident.objects.get()
    assert [each.verb for each in links.actions(incident)] == ["retry", "silence"]
    whole = make_ended("completed")
    assert whole.success_count == whole.total_stocks
    incident.params = {**incident.params, "task": str(whole.pk)}
    assert [each.verb for each in links.actions(incident)] == ["silence"], "every stock was collected"
    incident.params = {**incident.params, "task": "00000000-0000-4000-8000-000000000000"}
    assert [each.verb for each in links.actions(incident)] == ["silence"], "the task was deleted"


def test_signed_link_cancels_what_keeps_a_plan_waiting():
    task = make_task()
    incident = make_incident(
        NoticeEvent.PLAN_LATE, "plan:1", plan="nightly", plan_id=1, task=str(task.pk), waiting=True
    )
    cancel, _ = links.actions(incident)
    staff_client("view_collectiontask", "cancel_task").post(links.action_path(cancel))
    task.refresh_from_db()
    assert task.status == "cancelled"


@pytest.mark.parametrize("age", [0, links.MAX_AGE + 1])
def test_forged_or_old_link_does_nothing(age, monkeypatch):
    incident = make_incident()
    token = signing.dumps(["silence", incident.pk, ""], salt="another" if not age else links.SALT)
    if age:
        now = signing.time.time()
        monkeypatch.setattr(signing.time, "time", lambda: now + age)
    client = staff_client("view_incident", "silence_incident")
    response = client.post(f"/admin/notices/{token}/")
    assert response.status_code == 302
    incident.refresh_from_db()
    assert incident.silenced_until is None


def test_signed_link_needs_a_login(client):
    incident = make_incident()
    (silence,) = links.actions(incident)
    response = client.post(links.action_path(silence))
    assert response["Location"].startswith("/admin/login/?next=/admin/notices/")


@pytest.mark.parametrize(
    ("event", "params", "name"),
    [
        (NoticeEvent.TASK_FAILED, {"task": "0" * 8 + "-0000-4000-8000-" + "0" * 12}, "collectiontask_change"),
        (NoticeEvent.PLAN_LATE, {"plan": "a", "plan_id": 3}, "collectionplan_change"),
        (NoticeEvent.ORDER_REFUSED, {"order": 7, "source": "akshare"}, "queuedorder_change"),
        (NoticeEvent.SOURCE_PAUSED, {"source": "akshare"}, "source"),
        (NoticeEvent.CALENDAR_ENDS, {}, "calendar"),
        (NoticeEvent.DISK_LOW, {"host": "a"}, "incident_change"),
    ],
)
def test_link_of_a_message_is_a_page(event, params, name):
    incident = Incident(pk=1, event=event, market="CN", severity=2, params=params)
    assert resolve(links.page_path(incident).partition("?")[0]).url_name.endswith(name)
    match = resolve(links.action_path(next(iter(links.actions(incident)))))
    assert match.url_name == "notice_action"


def test_overview_shows_open_incidents_and_failing_channels():
    make_channel(failures=1, failing_since="2026-11-29T10:00:00+00:00", error="HTTP 500")
    make_incident()
    client = staff_client("view_collectiontask", "view_incident", "view_noticechannel")
    shown = text_of(client.get("/admin/"))
    assert "source is paused · akshare" in shown
    assert re.search("team .*HTTP 500", shown)
    assert "source is paused" not in text_of(staff_client("view_collectiontask", name="ben").get("/admin/"))


def test_dead_mans_switch_is_stored_encrypted():
    client = staff_client("view_noticeping", "add_noticeping", "change_noticeping")
    form = {"name": "watcher", "enabled": "on", "seconds": "300", "address": f"https://hc.example/{SECRET}"}
    assert client.post(url("tasks_app_noticeping_add"), form).status_code == 302
    ping = NoticePing.objects.get()
    assert SECRET not in ping.url
    page = client.get(url("tasks_app_noticeping_change", ping.pk))
    assert "https://********" in text_of(page) and SECRET not in page.content.decode()
    refused = client.post(url("tasks_app_noticeping_add"), {**form, "name": "b", "address": "ftp://a/b"})
    assert "https://" in text_of(refused)
    assert NoticePing.objects.count() == 1


@pytest.mark.usefixtures("without_html")
def test_channel_names_its_time_zone_as_the_preferences_do():
    client = superuser_client()
    choices = dict(
        client.get(url("tasks_app_noticechannel_add")).context["adminform"].form.fields["time_zone"].choices
    )
    assert choices["Asia/Shanghai"] == "Asia/Shanghai (Beijing time)"
    assert "EST" not in choices
    channel = NoticeChannel.objects.create(
        name="old", url=addresses.encrypt("jsons://a.example"), time_zone="EST"
    )
    page = client.get(url("tasks_app_noticechannel_change", channel.pk))
    assert "EST" in dict(page.context["adminform"].form.fields["time_zone"].choices), "what is stored stays"


def test_severity_stands_apart_from_the_state():
    incident, client = make_incident(), staff_client("view_incident", "silence_incident")
    page = url("tasks_app_incident_changelist")
    assert "warning warning pending open" in text_of(client.get(page))
    assert "警告 pending 未恢复" in text_of(client.get(page, headers={"Accept-Language": "zh-hans"}))
    client.post(url("tasks_app_incident_close", incident.pk))
    assert "warning warning task_alt over" in text_of(client.get(page))


def test_incident_of_a_task_leads_to_the_task():
    incident = make_incident(NoticeEvent.TASK_FAILED, key="x", task=str(make_task().pk))
    text = text_of(staff_client("view_incident").get(url("tasks_app_incident_change", incident.pk)))
    assert "Related task Open the task" in text
    assert "No notice has been sent yet." in text


def test_incident_is_titled_by_all_that_it_is_about():
    incident = make_incident(NoticeEvent.TASK_FAILED, key="y", task=str(make_task().pk), source="drill")
    page = staff_client("view_incident").get(url("tasks_app_incident_change", incident.pk))
    assert page.context["title"].endswith("drill")
