"""The page of the queue, and the start form that fills it."""

import pytest

from tasks_app.lifecycle import order_queue
from tasks_app.models import CollectionTask, QueuedOrder
from tests.admin.helpers import messages_of, staff_client, superuser_client, text_of, url
from tests.factories import make_queued_order, make_task

pytestmark = pytest.mark.django_db
LIST = "tasks_app_queuedorder_changelist"
FORM = {
    "market": "SIM",
    "source": "simulated",
    "adjust": "",
    "start_date": "2024-01-01",
    "end_date": "2024-12-31",
    "scope": "some",
    "stock_codes": "000002",
    "start": "1",
}


def act(client, action, *rows, **answer):
    data = {"action": action, "index": "0", "_selected_action": [row.pk for row in rows]}
    return client.post(url(LIST), {**data, **answer})


def numbers():
    return [row.pk for row in order_queue.waiting()]


def test_list_begins_with_the_waiting_orders():
    make_queued_order(stock_codes=None)
    client = superuser_client()
    response = client.get(url(LIST), follow=True)
    assert response.redirect_chain[0][0].endswith("?state__exact=waiting")
    assert "simulated" in text_of(response)


def test_empty_list_says_which_filter_is_set_and_leads_to_all():
    client = superuser_client()
    page = client.get(url(LIST), follow=True)
    text = text_of(page)
    assert "Nothing matches these filters." in text
    assert "waiting close" in text
    assert 'href="?all=1"' in page.content.decode()
    assert client.get(url(LIST), {"all": "1"}).context["cl"].active_filters == []


def test_page_of_an_order_is_named_by_its_number():
    row = make_queued_order()
    page = superuser_client().get(url("tasks_app_queuedorder_change", row.pk))
    assert page.context["title"] == f"Order #{row.pk}"


def test_actions_move_orders():
    first, second, third = (make_queued_order() for _ in range(3))
    client = staff_client("view_queuedorder", "reorder_queue")
    assert "The queue was reordered." in messages_of(act(client, "move_first", second, third))
    assert numbers() == [second.pk, third.pk, first.pk]
    act(client, "move_up", first)
    assert numbers() == [second.pk, first.pk, third.pk]
    act(client, "move_down", second)
    assert numbers() == [first.pk, second.pk, third.pk]
    assert act(client, "withdraw_selected", first, confirmed="yes").status_code == 403


def test_withdrawal_asks_first_and_is_recorded():
    row, client = make_queued_order(), staff_client("view_queuedorder", "withdraw_order")
    assert "Withdraw 1 order?" in text_of(act(client, "withdraw_selected", row))
    assert numbers() == [row.pk]
    assert "was withdrawn" in messages_of(act(client, "withdraw_selected", row, confirmed="yes"))
    assert row.events.last().user_name == "staff"
    assert "does not wait any more" in messages_of(act(client, "withdraw_selected", row, confirmed="yes"))
    assert act(client, "move_first", row).status_code == 403


def test_page_of_a_refused_order_says_why():
    row = make_queued_order()
    QueuedOrder.objects.update(order={**row.order, "source": "gone"})
    order_queue.start_next()
    text = text_of(superuser_client().get(url("tasks_app_queuedorder_change", row.pk)))
    assert "unknown_source" in text
    assert "refused" in text


def test_start_form_queues_only_if_ticked():
    make_task()
    client = superuser_client()
    assert "A task is already running" in text_of(client.post(url("start"), FORM))
    response = client.post(url("start"), {**FORM, "queue": "on", "priority": "high"})
    assert response.url == url(LIST)
    assert "at position 1" in messages_of(response)
    assert QueuedOrder.objects.get().priority_name == "high"
    assert CollectionTask.objects.count() == 1
