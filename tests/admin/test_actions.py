"""Cancel and retry from the staff pages: who may, what is asked, what is said, what is recorded."""

import pytest
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.admin.tasks import panels
from tasks_app.lifecycle import Outcome, progress
from tasks_app.models import CollectionTask
from tasks_app.models.events import EventKind
from tasks_app.models.states import ItemState
from tests.admin.helpers import TASKS, insert_ended, messages_of, staff_client, superuser_client, text_of, url
from tests.factories import ACTOR, make_lane, make_task

pytestmark = pytest.mark.django_db
LIST = f"{TASKS}_changelist"


def post_cancel(client, *tasks, **answer):
    """Posts the list's cancel action for the tasks. Returns the response."""
    data = {"action": "cancel_selected", "index": "0", "_selected_action": [task.pk for task in tasks]}
    return client.post(url(LIST), {**data, **answer})


def status(task):
    return CollectionTask.objects.get(pk=task.pk).status


def test_list_cancel_asks_first_and_names_tasks():
    done, running = insert_ended("completed"), make_task()
    text = text_of(post_cancel(superuser_client(), done, running))
    assert "Cancel 2 tasks?" in text
    assert str(done.pk)[:8] in text
    assert str(running.pk)[:8] in text
    assert "Stored bars stay: none is deleted" in text
    assert status(running) == "running"


def test_list_cancel_reports_on_each_task():
    done, broken, running = insert_ended("completed"), insert_ended("failed"), make_task()
    answer = post_cancel(superuser_client(), done, broken, running, confirmed="yes")
    words = messages_of(answer)
    assert answer.status_code == 302
    assert "1 cancelled, 1 was already completed, 1 was already failed" in words
    assert f"Task {str(running.pk)[:8]} was cancelled." in words
    assert f"Task {str(done.pk)[:8]} was already completed; nothing was changed." in words
    assert [status(task) for task in (done, broken, running)] == ["completed", "failed", "cancelled"]


def test_list_cancel_of_ended_task_changes_nothing():
    done = insert_ended("completed")
    assert messages_of(post_cancel(superuser_client(), done, confirmed="yes")) == (
        f"Task {str(done.pk)[:8]} was already completed; nothing was changed."
    )


def test_confirmation_posts_to_its_own_page():
    """What the confirmation posts is all that the confirmed action needs."""
    running, client = make_task(), superuser_client()
    hidden = post_cancel(client, running).context["hidden"]
    client.post(url(LIST), hidden)
    assert status(running) == "cancelled"


def test_list_cancel_needs_permission():
    running, looker = make_task(), staff_client("view_collectiontask", "retry_task", "start_task")
    assert "cancel_selected" not in looker.get(url(LIST)).content.decode()
    assert post_cancel(looker, running, confirmed="yes").status_code == 403
    assert status(running) == "running"


def test_cancel_page_asks_and_changes_nothing():
    running = make_task()
    text = text_of(superuser_client().get(url(f"{TASKS}_cancel", running.pk)))
    assert "Keep it running" in text
    assert "Cancel this task?" in text
    assert "Yes, cancel it" in text
    assert status(running) == "running"


def test_cancel_post_cancels_and_records_the_user():
    running = make_task()
    claim = lifecycle.claim(make_lane(running), 1)[0]
    lifecycle.record(claim, Outcome(ItemState.SUCCEEDED, collected=720))
    client = staff_client("view_collectiontask", "cancel_task")
    answer = client.post(url(f"{TASKS}_cancel", running.pk))
    assert answer.url == url(f"{TASKS}_change", running.pk)
    assert "Stocks processed: 1 of 3. Bars collected: 720; they stay." in messages_of(answer)
    event = running.events.get(kind=EventKind.CANCELLED)
    assert (event.user_name, event.channel) == ("staff", "admin")


def test_cancel_page_of_ended_task_asks_nothing():
    done, client = insert_ended("failed"), superuser_client()
    assert "There is nothing to cancel: the task is failed." in messages_of(
        client.get(url(f"{TASKS}_cancel", done.pk))
    )
    assert "was already failed" in messages_of(client.post(url(f"{TASKS}_cancel", done.pk)))
    assert status(done) == "failed"


def test_cancel_of_deleted_task_says_so():
    answer = superuser_client().post(url(f"{TASKS}_cancel", "00000000-0000-4000-8000-000000000000"))
    assert "Task 00000000 no longer exists." in messages_of(answer)


def test_action_is_403_without_its_permission():
    running = make_task()
    for verb in ("cancel", "pause", "resume", "retry"):
        other = "retry_task" if verb == "cancel" else "cancel_task"
        looker = staff_client("view_collectiontask", "start_task", other, name=verb)
        page = url(f"{TASKS}_{verb}", running.pk)
        assert (looker.get(page).status_code, looker.post(page).status_code) == (403, 403), verb
    assert status(running) == "running"


def test_action_is_refused_without_csrf_token():
    running, client = make_task(), superuser_client()
    client.handler.enforce_csrf_checks = True
    for verb in ("cancel", "pause", "resume", "retry"):
        assert client.post(url(f"{TASKS}_{verb}", running.pk)).status_code == 403, verb
    assert status(running) == "running"


def test_retry_asks_then_starts_and_opens_a_new_task():
    old, client = insert_ended("failed"), superuser_client()
    assert "unprocessed stock of this task?" in text_of(client.get(url(f"{TASKS}_retry", old.pk)))
    assert old.retries.count() == 0
    answer = client.post(url(f"{TASKS}_retry", old.pk))
    new = old.retries.get()
    assert answer.url == url(f"{TASKS}_change", new.pk)
    assert messages_of(answer) == f"Retry started: task {str(new.pk)[:8]} collects 1 stock."
    assert (new.created_by.username, new.events.first().channel) == ("root", "admin")


def test_retry_by_error_code_takes_only_its_stocks():
    old = make_task()
    slow, unknown, good = lifecycle.claim(make_lane(old), 3)
    lifecycle.record(slow, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.record(unknown, Outcome(ItemState.FAILED, error_code="unknown_stock"))
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED))
    superuser_client().post(url(f"{TASKS}_retry", old.pk), {"error_code": "timeout"})
    assert [item.code for item in old.retries.get().items.all()] == [slow.code]


def test_refused_retry_says_why():
    done, client = insert_ended("completed"), superuser_client()
    answer = client.post(url(f"{TASKS}_retry", done.pk))
    assert answer.url == url(f"{TASKS}_change", done.pk)
    assert "has no matching failed or unprocessed stocks" in messages_of(answer)
    broken, running = insert_ended("failed"), make_task()
    assert f"A task is already running: {running.pk}" in messages_of(
        client.post(url(f"{TASKS}_retry", broken.pk))
    )


def test_action_message_escapes_input_only():
    assert lifecycle.cancel(make_task().pk, ACTOR).status == "cancelled"
    answer = superuser_client().get(
        url(f"{TASKS}_retry", insert_ended("failed").pk), {"error_code": "<script>x"}
    )
    assert b"<script>x" not in answer.content


def test_cancel_page_counts_what_stops_and_stays():
    running = make_task()
    lane = make_lane(running)
    good, bad = lifecycle.claim(lane, 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED, collected=720))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout"))
    text = text_of(superuser_client().get(url(f"{TASKS}_cancel", running.pk)))
    assert "Keep it running" in text
    assert "1 stock will not be collected." in text
    assert "Stays: the processed stocks (2, of which failed: 1) and the bars collected (720)." in text


def test_retry_page_counts_its_stocks():
    old = make_task()
    for claim in lifecycle.claim(make_lane(old), 2):
        lifecycle.record(claim, Outcome(ItemState.FAILED, error_code="timeout"))
    lifecycle.cancel(old.pk, ACTOR)
    client = superuser_client()
    question = text_of(client.get(url(f"{TASKS}_retry", old.pk)))
    assert "Retry the 3 failed and unprocessed stocks of this task?" in question
    kind = client.get(url(f"{TASKS}_retry", old.pk), {"error_code": "timeout"})
    assert "Retry the 2 stocks of this task that failed with" in text_of(kind)


def retry(client, *tasks, **answer):
    data = {"action": "retry_selected", "index": "0", "_selected_action": [task.pk for task in tasks]}
    return client.post(url(LIST), {**data, **answer})


def test_list_retry_reports_on_each_task():
    broken, done = insert_ended("failed"), insert_ended("completed")
    client = superuser_client()
    text = text_of(retry(client, broken, done))
    assert "Retry 1 task?" in text and str(done.pk)[:8] not in text, "nothing of the other one is left"
    assert not CollectionTask.objects.filter(status="running").exists()
    words = messages_of(retry(client, broken, done, confirmed="yes"))
    assert "Retry started: task" in words
    assert "A task is already running" in words or "has no matching failed or unprocessed stocks" in words
    assert broken.retries.count() == 1


def test_list_retry_needs_permission():
    broken, looker = insert_ended("failed"), staff_client("view_collectiontask", "cancel_task")
    assert "retry_selected" not in looker.get(url(LIST)).content.decode()
    assert retry(looker, broken, confirmed="yes").status_code == 403
    assert broken.retries.count() == 0


def test_pause_asks_first_then_pauses_and_resumes():
    running, client = make_task(), staff_client("view_collectiontask", "pause_task")
    pause, resume, page = (url(f"{TASKS}_{name}", running.pk) for name in ("pause", "resume", "change"))
    assert "Pause this task?" in text_of(client.get(pause))
    assert "There is nothing to resume: the task is running." in messages_of(client.get(resume))
    assert CollectionTask.objects.get(pk=running.pk).paused_at is None
    assert client.post(pause).url == page
    text = text_of(client.get(page))
    assert "Paused by staff since" in text
    assert "Resume the task" in text
    assert "Pause the task" not in text
    assert "Paused by staff since" in text_of(client.get(url("index")))
    assert "There is nothing to pause: the task is running · paused." in messages_of(client.get(pause))
    assert "Let this task go on?" in text_of(client.get(resume))
    assert f"Task {str(running.pk)[:8]} goes on." in messages_of(client.post(resume))
    assert list(running.events.values_list("kind", "user_name", "channel"))[1:] == [
        ("paused", "staff", "admin"),
        ("resumed", "staff", "admin"),
    ]


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_list_pauses_and_resumes_after_asking(verb):
    done, running, client = insert_ended("completed"), make_task(), superuser_client()
    if verb == "resume":
        lifecycle.pause(running.pk, ACTOR)
    data = {"action": f"{verb}_selected", "index": "0", "_selected_action": [done.pk, running.pk]}
    assert "2 tasks" in text_of(client.post(url(LIST), data))
    words = messages_of(client.post(url(LIST), {**data, "confirmed": "yes"}))
    assert f"The task {done.pk} is not running" in words
    assert (CollectionTask.objects.get(pk=running.pk).paused_at is None) == (verb == "resume")
    looker = staff_client("view_collectiontask", "cancel_task", name="looker")
    assert f"{verb}_selected" not in looker.get(url(LIST)).content.decode()
    assert looker.post(url(LIST), {**data, "confirmed": "yes"}).status_code == 403


def retry_page(client, task, **query):
    """Returns the response to the request for the retry's confirmation."""
    return client.get(url(f"{TASKS}_retry", task.pk), query)


def test_retry_of_a_task_without_stocks_left_is_not_offered():
    done, client = insert_ended("completed"), superuser_client()
    response = retry_page(client, done)
    assert response.status_code == 302
    assert "There is nothing to retry" in messages_of(response)
    data = {"action": "retry_selected", "index": "0", "_selected_action": [done.pk]}
    assert "None of these tasks has stocks left to retry" in messages_of(client.post(url(LIST), data))
    broken = insert_ended("failed")
    assert retry_page(client, broken, error_code="of_no_stock").status_code == 302
    assert retry_page(client, broken).status_code == 200


def test_retry_of_a_task_without_a_plan_says_that_it_begins_anew():
    task = make_task(stock_codes=None)
    lifecycle.fail(task.pk, "network", "The stock list could not be read.")
    client = superuser_client()
    text = text_of(retry_page(client, task))
    assert "with the request of this one, whose plan was not completed?" in text
    page = text_of(client.get(url(f"{TASKS}_change", task.pk)))
    assert "Retry the task" in page and "Retry failed and remaining" not in page


@pytest.mark.parametrize(
    ("state", "stages"),
    [
        ("completed", ["done", "done", "done", "none"]),
        ("failed", ["done", "done", "stopped", "bad"]),
        ("cancelled", ["done", "done", "stopped", "plain"]),
    ],
)
def test_timeline_of_an_ended_task_ends_in_its_outcome(state, stages):
    task = insert_ended(state)
    now = timezone.now()
    steps = panels.timeline(task, progress.estimate_pace(task, now), now)
    assert [step.stage for step in steps] == stages


def test_failures_that_were_retried_are_marked():
    task = insert_ended("failed")
    code = task.items.get().error_code
    client, page = superuser_client(), url(f"{TASKS}_change", task.pk)
    assert "retried in task" not in text_of(client.get(page))
    again = lifecycle.retry(task.pk, ACTOR, code)
    assert f"retried in task {str(again.pk)[:8]}" in " ".join(text_of(client.get(page)).split())
