"""Which second sources an order may name, and how its comparison is shown."""

from dataclasses import asdict, replace
from datetime import date

import pytest
from django.core.management import call_command

from tasks_app import errors
from tasks_app.lifecycle.comparisons import describe_comparison
from tasks_app.models import CollectionPlan, CollectionTask, SourceAgreement
from tasks_app.orders import estimates, forecasts, order as orders, plans
from tests.api.factories import client_of
from tests.factories import TODAY, make_order, make_plan, make_user
from tests.fakes.scripted_sources import with_scripted_sources

pytestmark = pytest.mark.django_db
URL = "/api/data-collection"
BODY = {"start_date": "2024-01-01", "end_date": "2024-12-31", "source": "first", "stock_codes": ["000001"]}


@pytest.fixture(autouse=True)
def scripted(settings, monkeypatch):
    settings.COLLECTOR = with_scripted_sources(settings.COLLECTOR, monkeypatch)


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"verify_with": "first"}, errors.SameSource, "verify_with"),
        ({"verify_with": "nowhere"}, errors.UnknownSource, "verify_with"),
        ({"verify_with": "sample"}, errors.MarketNotServed, "verify_with"),
        ({"verify_with": "third", "adjust": "qfq"}, errors.AdjustNotServed, "verify_with"),
        ({"verify_with": "second", "stock_codes": None, "kind": "etf"}, errors.KindNotServed, "kind"),
        ({"verify_with": "simulated"}, errors.MarketNotServed, "verify_with"),  # made-up quotes
        ({"source": "simulated", "verify_with": "first"}, errors.MarketNotServed, "verify_with"),
        ({"verify_with": "second", "verify_sample": 0}, errors.BadSample, "verify_sample"),
        ({"verify_with": "second", "verify_sample": 101}, errors.BadSample, "verify_sample"),
    ],
)
def test_order_that_cannot_be_compared_is_refused(settings, fields, error, field):
    with pytest.raises(error) as raised:
        orders.resolve(make_order(**{"source": "first", **fields}), TODAY, settings.COLLECTOR)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("second", "sample", "requests"),
    [("second", 100, 3), ("second", 34, 2), ("batcher", 100, 1), ("by_day", 100, 2), ("", 100, None)],
)
def test_estimate_tells_the_requests_of_the_second_source(settings, second, sample, requests):
    conf = replace(settings.COLLECTOR, by_day_from=3)
    dates = {"start_date": date(2024, 3, 1), "end_date": date(2024, 3, 4)}
    order = make_order(
        source="first",
        market="CN",
        stock_codes=("000001", "000002", "600000"),
        verify_with=second,
        verify_sample=sample,
        **dates,
    )
    estimate = estimates.estimate(order, conf)
    assert (estimate.compared, estimate.requests) == (requests, 3)
    sentences = " ".join(forecasts.describe(forecasts.forecast(order, conf)))
    assert (f"about {requests} requests to {second}" in sentences) == bool(second)


def test_plan_orders_its_comparison(settings):
    plan = make_plan(source="first", market="CN", verify_with="second", verify_sample=5)
    order = orders.resolve(plans.build_order(plan, plan.next_at), orders.latest_today(), settings.COLLECTOR)
    assert (order.verify_with, order.verify_sample) == ("second", 5)
    assert orders.sources_of(order) == ("first", "second")


def test_retry_repeats_the_comparison():
    task = CollectionTask(
        **{**asdict(make_order()), "fallbacks": [], "verify_with": "second", "verify_sample": 7}
    )
    order = orders.order_from_task(task)
    assert (order.verify_with, order.verify_sample) == ("second", 7)


def test_api_starts_and_shows_a_comparison():
    client = client_of(make_user("root", is_superuser=True))
    body = {**BODY, "verify_with": "second", "verify_sample": 20}
    started = client.post(f"{URL}/historical", body, format="json").json()
    assert (started["verify_with"], started["verify_sample"]) == ("second", 20)
    status = client.get(f"{URL}/status/{started['task_id']}").json()
    assert (status["verify_with"], status["verify_sample"]) == ("second", 20)
    assert [status[f"{name}_count"] for name in ("compared", "differing", "uncompared")] == [0, 0, 0]


def test_api_refuses_a_comparison_with_itself():
    client = client_of(make_user("root", is_superuser=True))
    response = client.post(f"{URL}/historical", {**BODY, "verify_with": "first"}, format="json")
    assert (response.status_code, list(response.json()["errors"])) == (400, ["verify_with"])


def test_command_starts_a_comparison():
    words = ["--codes", "000001", "--source", "first", "--verify-with", "second", "--verify-sample", "9"]
    call_command("collect", "start", *words)
    task = CollectionTask.objects.get()
    assert (task.verify_with, task.verify_sample) == ("second", 9)


def test_plan_of_the_api_and_the_command_orders_a_comparison():
    client = client_of(make_user("root", is_superuser=True))
    body = {"name": "nightly", "at": "18:00", "source": "first", "market": "CN", "stock_codes": ["000001"]}
    refused = client.post(f"{URL}/plans", {**body, "verify_with": "first"}, format="json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["verify_with"])
    made = client.post(f"{URL}/plans", {**body, "verify_with": "second", "verify_sample": 5}, format="json")
    assert (made.json()["verify_with"], made.json()["verify_sample"]) == ("second", 5)
    changed = client.patch(f"{URL}/plans/{made.json()['id']}", {"verify_with": ""}, format="json").json()
    assert (changed["verify_with"], changed["verify_sample"]) == ("", 5)
    words = ["--source", "first", "--market", "CN", "--verify-with", "second", "--verify-sample", "9"]
    call_command("plans", "create", "--name", "weekly", "--at", "19:00", *words)
    plan = CollectionPlan.objects.get(name="weekly")
    assert (plan.verify_with, plan.verify_sample) == ("second", 9)


def test_comparison_is_one_sentence():
    task = CollectionTask(verify_with="baostock", compared_count=52_192, differing_count=3)
    assert describe_comparison(task) == "3 of 52,192 bars differ from baostock"
    task.verify_sample, task.uncompared_count = 20, 4
    assert describe_comparison(task).endswith(", in a sample of 20%, 4 stocks not compared")
    task.skipped_count = 250
    assert describe_comparison(task).endswith("; bars that were stored before are not compared")
    task.force_update = True  # which requests them again
    assert describe_comparison(task).endswith("4 stocks not compared")
    assert not describe_comparison(CollectionTask())


def test_ledger_is_filtered_and_paged():
    client = client_of(make_user("ann"))
    for month in ("2024-01-01", "2024-02-01", "2024-03-01"):
        for field in ("close", "day"):
            row = {"source": "first", "other_source": "second", "market": "CN", "month": month}
            SourceAgreement.objects.create(**row, field=field, compared=10, differing=2, worst=0.01)
    first = client.get(f"{URL}/agreement?field=close&first_month=2024-02-15&limit=1")
    assert [row["month"] for row in first.json()] == ["2024-03-01"]
    assert first.json()[0]["agreeing"] == 8
    second = client.get(first["Link"].split(">")[0][1:])
    assert [row["month"] for row in second.json()] == ["2024-02-01"]
    assert "Link" not in second
    assert client.get(f"{URL}/agreement?source=third").json() == []
