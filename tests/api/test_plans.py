"""Plans by API: made, changed, switched, run and deleted, with who did it."""

from dataclasses import replace
from itertools import count

import pytest

from tasks_app.models import CollectionPlan, CollectionTask, PlanEvent, PlanStep
from tasks_app.models.states import ItemState
from tasks_app.workers import plan_scheduler
from tests.api.factories import BASE, client_of
from tests.factories import finish, make_plan, make_task, make_user

pytestmark = pytest.mark.django_db
PLANS = f"{BASE}/plans"
BODY = {"name": "nightly", "source": "simulated", "at": "18:00", "stock_codes": ["1", "000002.SZ"]}
VERBS = ("add_collectionplan", "change_collectionplan", "delete_collectionplan", "run_plan", "start_task")


@pytest.fixture
def client():
    return client_of(make_user("ann", *VERBS))


def events():
    return list(PlanEvent.objects.order_by("pk").values_list("kind", "user_name", "channel"))


def test_plan_is_made_with_what_it_leaves_open(client):
    body = {**BODY, "stock_codes": ["000001", " 000001 "], "enabled": "1", "days": 5}
    plan = client.post(PLANS, body).json()
    stored = CollectionPlan.objects.get()
    assert plan == client.get(f"{PLANS}/{stored.pk}").json()
    assert (plan["market"], plan["stock_codes"], plan["days"], plan["rhythm"]) == (
        *("SIM", ["000001"], 5, "sessions"),
    )
    assert (plan["made_by"], plan["enabled"], bool(plan["next_at"])) == ("ann", True, True)
    assert (plan["next_runs"][0], len(set(plan["next_runs"]))) == (plan["next_at"], 5)
    assert events() == [("created", "ann", "api")]
    assert client.get(f"{BASE}/plan-events?plan={stored.pk}").json()[0]["params"]["days"] == 5


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"at": "25:00"}, "at"),
        ({"at": None}, "at"),
        ({"days": 0}, "days"),
        ({"market": "CN"}, "market"),
        ({"source": "nobody"}, "source"),
        ({"adjust": "x"}, "adjust"),
        ({"stock_codes": ["a/b"]}, "stock_codes"),
        ({"fallbacks": ["nobody"]}, "fallbacks"),
        ({"weekday": 7}, "weekday"),
        ({"nmae": "x"}, "nmae"),
    ],
)
def test_invalid_plan_is_an_error_of_its_field(client, fields, field):
    response = client.post(PLANS, {**BODY, "stock_codes": ["000001"], **fields})
    assert (response.status_code, list(response.json()["errors"])) == (400, [field])
    assert not CollectionPlan.objects.exists()


def test_name_is_of_one_plan(client):
    make_plan(name="nightly")
    other = make_plan(name="other", market="SIM")
    made = client.post(PLANS, {**BODY, "stock_codes": None})
    renamed = client.patch(f"{PLANS}/{other.pk}", {"name": "nightly"})
    for response in (made, renamed):
        assert (response.status_code, response.json()["code"]) == (400, "plan_name_taken")
    assert not PlanEvent.objects.exists()


def test_plan_is_switched_and_changed(client):
    bob = make_user("bob")
    plan = make_plan(market="SIM", created_by=bob, error_code="odd", error_message="Odd.")
    off = client.patch(f"{PLANS}/{plan.pk}", {"enabled": False}).json()
    assert (off["enabled"], off["next_at"], off["made_by"]) == (False, None, "bob")
    on = client.patch(f"{PLANS}/{plan.pk}", {"enabled": True}).json()
    assert (on["enabled"], bool(on["next_at"]), on["error_code"]) == (True, True, "")
    changed = client.patch(f"{PLANS}/{plan.pk}", {"days": 3, "stock_codes": None}).json()
    assert (changed["days"], changed["stock_codes"], changed["made_by"]) == (3, None, "ann")
    kinds = [kind for kind, *_ in events()]
    assert kinds == ["disabled", "enabled", "changed"]
    assert PlanEvent.objects.latest("pk").params == {"days": 3, "stock_codes": None}


def test_unusable_plan_can_only_be_switched_off(client):
    plan = make_plan(market="SIM", source="gone")
    assert client.patch(f"{PLANS}/{plan.pk}", {"days": 3}).json()["code"] == "unknown_source"
    assert client.patch(f"{PLANS}/{plan.pk}", {"enabled": False}).status_code == 200
    assert client.patch(f"{PLANS}/{plan.pk}", {"enabled": True}).status_code == 400


def test_plan_runs_now_as_a_users_start(client):
    plan = make_plan(market="SIM", enabled=False, next_at=None, days=3)
    started = client.post(f"{PLANS}/{plan.pk}/run").json()
    task = CollectionTask.objects.get()
    assert (started["task_id"], started["status"]) == (str(task.pk), "started")
    assert task.stock_codes == ["000001", "000002", "000003"]
    event = task.events.get(kind="started")
    assert (event.user_name, event.channel) == ("ann", "api")
    plan.refresh_from_db()
    assert (plan.last_task_id, plan.enabled, bool(plan.last_at)) == (task.pk, False, True)
    assert events() == [("run", "ann", "api")]
    refused = client.post(f"{PLANS}/{plan.pk}/run")
    assert (refused.status_code, refused.json()["code"]) == (400, "task_running")
    assert len(events()) == 1


def test_repeated_run_with_its_key_returns_the_same_task(client):
    plan, other = make_plan(market="SIM", days=3), make_plan(name="other", market="SIM", days=3)
    headers = {"Idempotency-Key": "once"}
    first = client.post(f"{PLANS}/{plan.pk}/run", headers=headers).json()
    CollectionPlan.objects.filter(pk=plan.pk).update(days=5)  # what it orders now is something else
    assert client.post(f"{PLANS}/{plan.pk}/run", headers=headers).json()["task_id"] == first["task_id"]
    assert events() == [("run", "ann", "api")]
    conflict = client.post(f"{PLANS}/{other.pk}/run", headers=headers)
    assert (conflict.status_code, conflict.json()["code"]) == (400, "idempotency_conflict")


def test_plan_that_exports_needs_the_permission_to_export(client, settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    exporting = {**BODY, "stock_codes": ["000001"], "export_to": "nightly"}
    refused = client.post(PLANS, exporting)
    assert (refused.status_code, refused.json()["detail"]) == (403, "You lack the permission to export data.")
    plan = make_plan(market="SIM", export_to="nightly", days=3)
    address = f"{PLANS}/{plan.pk}"
    for changes in ({"days": 4}, {"enabled": True}, {"export_to": "other"}, {"days": 4, "enabled": False}):
        assert client.patch(address, changes).status_code == 403
    assert client.post(f"{address}/run").status_code == 403
    assert not CollectionTask.objects.exists()
    assert client.patch(address, {"enabled": False}).status_code == 200, "it may always be switched off"
    may_export = client_of(make_user("bob", *VERBS, "export_data"))
    assert may_export.patch(address, {"days": 4, "enabled": True}).status_code == 200
    assert may_export.post(f"{address}/run").status_code == 200
    assert client.patch(address, {"export_to": ""}).status_code == 200, "then it exports no more"
    assert client.delete(address).status_code == 200


def test_plan_exports_into_a_named_folder(settings, tmp_path):
    client = client_of(make_user("ann", *VERBS, "export_data"))
    missing = client.post(PLANS, {**BODY, "stock_codes": ["000001"], "export_to": "nightly"})
    assert "COLLECTOR_EXPORT_DIR" in missing.json()["errors"]["export_to"][0]
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    body = {**BODY, "stock_codes": ["000001"], "export_to": "nightly", "export_layout": "qlib"}
    plan = client.post(PLANS, body).json()
    assert (plan["export_to"], plan["export_layout"]) == ("nightly", "qlib")
    address = f"{PLANS}/{plan['id']}"
    assert client.patch(address, {"export_to": "../x"}).status_code == 400
    assert client.patch(address, {"export_to": ""}).json()["export_to"] == ""


def test_plan_is_made_and_changed_with_its_steps(client):
    steps = [{"kind": "stock_list"}, {"kind": "bars", "days": 3, "retries": 2, "on_failure": "continue"}]
    plan = client.post(PLANS, {**BODY, "stock_codes": ["000001"], "steps": steps}).json()
    address = f"{PLANS}/{plan['id']}"
    assert [{**given, **shown} for given, shown in zip(steps, plan["steps"], strict=True)] == plan["steps"]
    assert PlanEvent.objects.get().params["steps"] == plan["steps"]
    assert client.patch(address, {"days": 4}).json()["steps"] == plan["steps"]
    assert client.get(PLANS).json()[0]["steps"] == plan["steps"]
    with_null = {"steps": [steps[0], {**steps[1], "on_failure": None}], "name": None}
    changed = client.patch(address, with_null).json()
    assert (changed["steps"][1]["on_failure"], changed["name"]) == ("stop", "nightly"), "as if left out"
    bad = client.patch(address, {"steps": [*steps, {"kind": "bars", "source": "nobody"}]})
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_step")
    assert bad.json()["errors"]["steps"][0].startswith("Step 3: Unknown source")
    unknown = client.patch(address, {"steps": [{"kind": "bars", "sauce": "x"}]})
    assert (unknown.status_code, list(unknown.json()["errors"])) == (400, ["steps"])
    number = client.patch(address, {"steps": [{"kind": "stock_list", "verify_with": 7}]})
    assert (number.status_code, list(number.json()["errors"])) == (400, ["steps"])
    assert client.patch(address, {"steps": []}).json()["steps"] == []


def test_runs_show_steps_and_attempts(client):
    plan = make_plan(market="SIM", days=3)
    for position in (1, 2):
        PlanStep.objects.create(plan=plan, position=position, retries=1, retry_wait=5)
    started = client.post(f"{PLANS}/{plan.pk}/run").json()
    finish(CollectionTask.objects.get(), ItemState.FAILED)
    plan_scheduler.continue_runs()
    (run,) = client.get(f"{PLANS}/{plan.pk}/runs").json()
    assert (run["id"], run["state"], run["user_name"], run["due_at"]) == (
        *(started["run_id"], "waiting", "ann", None),
    )
    first, second = run["steps"]
    assert (first["state"], second["state"], second["attempts"]) == ("waiting", "pending", [])
    (attempt,) = first["attempts"]
    assert (attempt["state"], attempt["task_id"], attempt["error_code"]) == (
        *("failed", started["task_id"], "all_failed"),
    )
    assert client.get(f"{PLANS}/{plan.pk}/runs?state=failed").json() == []
    status = client.get(f"{BASE}/status/{started['task_id']}").json()
    assert status["plan"] == {"id": plan.pk, "name": "nightly"}
    assert client.post(f"{PLANS}/{plan.pk}/run").json()["code"] == "plan_running"


def test_run_that_begins_with_no_task(client):
    plan = make_plan(market="SIM")
    PlanStep.objects.create(plan=plan, position=1, kind="stock_list")
    started = client.post(f"{PLANS}/{plan.pk}/run").json()
    assert (started["task_id"], started["status"]) == (None, "started")
    (run,) = client.get(f"{PLANS}/{plan.pk}/runs").json()
    assert (run["id"], run["state"], run["steps"][0]["kind"]) == (started["run_id"], "waiting", "stock_list")


def test_steps_that_export_need_the_permission_to_export(client, settings, tmp_path):
    settings.COLLECTOR = replace(settings.COLLECTOR, export_dir=str(tmp_path))
    export = {"steps": [{"kind": "export", "export_to": "nightly"}]}
    assert client.post(PLANS, {**BODY, "stock_codes": ["000001"], **export}).status_code == 403
    plan = make_plan(market="SIM")
    assert client.patch(f"{PLANS}/{plan.pk}", export).status_code == 403
    PlanStep.objects.create(plan=plan, kind="export", export_to="nightly")
    assert client.patch(f"{PLANS}/{plan.pk}", {"days": 4}).status_code == 403
    assert client.post(f"{PLANS}/{plan.pk}/run").status_code == 403
    assert client.patch(f"{PLANS}/{plan.pk}", {"days": 4, "steps": []}).status_code == 200


def test_plan_is_deleted_and_its_record_stays(client):
    plan = make_plan()
    assert client.delete(f"{PLANS}/{plan.pk}").json() == {
        "message": "The plan “nightly” was deleted.",
        "id": plan.pk,
    }
    for method in ("get", "patch", "delete"):
        assert getattr(client, method)(f"{PLANS}/{plan.pk}").status_code == 404
    assert client.post(f"{PLANS}/{plan.pk}/run").status_code == 404
    assert [row["kind"] for row in client.get(f"{BASE}/plan-events").json()] == ["deleted"]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("post", "", {"add_collectionplan", "start_task"}),
        ("patch", "/{plan}", {"change_collectionplan", "start_task"}),
        ("delete", "/{plan}", {"delete_collectionplan"}),
        ("post", "/{plan}/run", {"run_plan"}),
    ],
)
def test_each_verb_needs_its_permissions(method, path, needed):
    plan, numbers = make_plan(market="SIM"), count()
    make_task()

    def status(*permissions):
        client = client_of(make_user(f"user{next(numbers)}", *permissions))
        return getattr(client, method)(PLANS + path.format(plan=plan.pk), {}).status_code

    for missing in needed:
        assert status(*(set(VERBS) - {missing})) == 403
    assert status(*needed) in {200, 400}


def test_step_that_is_no_object_is_refused(client):
    answer = client.post(PLANS, {**BODY, "steps": [False]})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["steps"])
