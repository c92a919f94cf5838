"""The overview: the current task, the last runs, workers and sources, stored data, and its refresh."""

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.admin.dashboard import overview, system_status
from tasks_app.lifecycle import Outcome
from tasks_app.market import calendars
from tasks_app.models import DailyBar, Series, SourceGate, Stock
from tasks_app.models.states import ItemState, TaskOutcome
from tasks_app.queue import dispatch
from tasks_app.queue.dispatch import ClusterStatus
from tasks_app.quotes import coverage
from tasks_app.sources import registry
from tasks_app.sources.base import Limits
from tests.admin.helpers import (
    TASKS,
    insert_ended,
    make_half_done,
    staff_client,
    strip_tags,
    superuser_client,
    text_of,
    url,
)
from tests.factories import ACTOR, make_lane, make_outcome, make_queued_order, make_task, make_yielded

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clusters(monkeypatch):
    """Returns the live clusters, a list that tests may change; clears the cached coverage."""
    cache.delete(coverage.cache_key())
    live = [ClusterStatus("alpha", 71, "Idle", 2)]
    monkeypatch.setattr(dispatch, "live_clusters", lambda: live)
    return live


def make_series(code, last_day, market="CN", adjust="", bars=100):
    """Creates a series whose newest bar is stored, too."""
    if last_day:
        prices = dict.fromkeys(("open", "high", "low", "close"), 10)
        key = {"market": market, "symbol": code, "adjust": adjust, "day": last_day}
        DailyBar.objects.create(source="akshare", volume=1, **key, **prices)
    return Series.objects.create(
        market=market, symbol=code, adjust=adjust, bars=bars, first_day=date(2024, 1, 2), last_day=last_day
    )


def count_queries(client, address):
    client.get(address)  # queries that a process makes only once are not counted
    with CaptureQueriesContext(connection) as caught:
        client.get(address)
    return len(caught)


def test_new_site_shows_first_steps(clusters):
    text = text_of(superuser_client().get(url("index")))
    assert "Nothing collected yet" in text
    assert "A worker is ready." in text
    assert "Start a collection" in text
    assert "The last run" not in text


def test_running_task_shows_its_progress():
    task = make_half_done()
    body = superuser_client().get(url("index"))
    text = text_of(body)
    assert "Running now" in text
    assert "2 of 3 stocks (66%), 1 failed" in text
    assert "just now" in text
    assert url(f"{TASKS}_cancel", task.pk) in body.content.decode()
    assert url(f"{TASKS}_change", task.pk) in body.content.decode()
    assert b'class="sd-good" width="333"' in body.content
    assert b'class="sd-bad" x="333" width="334"' in body.content


def test_waiting_orders_are_counted_and_linked():
    make_task()
    client = superuser_client()
    assert "in the queue." not in text_of(client.get(url("index")))
    make_queued_order()
    make_queued_order()
    page = client.get(url("index"))
    assert "2 orders wait in the queue." in text_of(page)
    assert url("tasks_app_queuedorder_changelist") in page.content.decode()
    assert "wait in the queue" not in text_of(staff_client("view_collectiontask").get(url("index")))


def test_last_result_is_shown_when_none_runs():
    task = insert_ended("failed")
    body = superuser_client().get(url("index"))
    text = text_of(body)
    assert "Last result" in text
    assert "1 of 1 stock (100%), 1 failed" in text
    assert url("start") in body.content.decode()
    assert url(f"{TASKS}_retry", task.pk) in body.content.decode()
    assert url(f"{TASKS}_cancel", task.pk) not in body.content.decode()


def test_missing_worker_shows_a_banner(clusters):
    clusters.clear()
    make_task()
    text = text_of(superuser_client().get(url("index")))
    assert "No active workers" in text
    assert "python manage.py worker" in text
    assert "no active workers in the last 3 s" in text


def test_live_worker_shows_no_banner():
    text = text_of(superuser_client().get(url("index")))
    assert "No active workers" not in text
    assert "alpha 71 2" in text


def test_workers_of_several_hosts_are_summed_in_a_small_part(clusters):
    clusters.append(ClusterStatus("beta", 5, "Idle", 4))
    make_half_done()
    answer = superuser_client().get(url("dashboard_live"))
    assert "6 on 2 hosts" in answer.json()["html"]
    assert len(answer.content) < 5_000


def test_strip_shows_every_run_with_its_status():
    ended = [make_outcome(outcome) for outcome in TaskOutcome.values]
    ended += [insert_ended(status) for status in ("failed", "cancelled")]
    body = superuser_client().get(url("index")).content.decode()
    assert "The last 6 runs" in body
    links = [
        re.search(
            rf'{url(f"{TASKS}_change", task.pk)}" class="sd-run sd-{task.outcome or task.status}"', body
        )
        for task in ended
    ]
    text = strip_tags(body)
    for task in ended:
        assert text.count(task.get_result_display()) >= 2  # in the legend, too
    positions = [link.start() for link in links]
    assert positions == sorted(positions)


def test_heights_of_runs_are_proportional(monkeypatch):
    seconds = {
        insert_ended(status).pk: took
        for status, took in (("failed", 0), ("cancelled", 50), ("completed", 200))
    }
    monkeypatch.setattr(overview.durations, "task_duration", lambda task: timedelta(seconds=seconds[task.pk]))
    context = overview.build_runs_context()
    assert [run["height"] for run in context["runs"]] == [overview.MIN_HEIGHT, 25, 100]
    assert context["longest_run"] == overview.durations.format_duration(timedelta(seconds=200))


def test_yielded_run_has_a_mark_of_its_own():
    task = make_yielded()
    body = part(superuser_client(), "overview")
    assert re.search(rf'{task.pk}/change/" class="sd-run sd-yielded"', body)
    assert 'data-state="yielded"' in body
    assert 'id="sd-yielded"' in body


def test_strip_ends_with_the_newest_runs(monkeypatch):
    monkeypatch.setattr("tasks_app.admin.dashboard.overview.RUNS", 2)
    tasks = [insert_ended("cancelled") for _ in range(3)]
    body = part(superuser_client(), "overview")
    assert [str(task.pk) in body for task in tasks] == [False, True, True]


def test_paused_source_shows_end_and_reason(settings):
    later = timezone.now() + timedelta(hours=2)
    SourceGate.objects.create(source="baostock", open_until=later, refusals=5, reason="It refuses us.")
    text = strip_tags(part(superuser_client(), "overview"))
    assert "baostock" not in text or "paused until" in text


@pytest.mark.parametrize(("was_asked", "word"), [(False, "not asked yet"), (True, "open")])
def test_source_without_a_request_is_not_called_open(was_asked, word, monkeypatch, settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, no_throttle=False)
    monkeypatch.setattr(registry, "available", lambda conf: {"csv": None})
    monkeypatch.setattr(registry, "limits", lambda name, conf: Limits(rate=2.0))
    if was_asked:
        SourceGate.objects.create(source="csv")
    assert word in system_status.source_limiters()[0]["badge"]


def test_market_with_stocks_and_no_bars_has_no_green_check():
    Stock.objects.bulk_create(Stock(market="CN", code=f"{n:06d}") for n in range(1, 4))
    Stock.objects.create(market="CN", code="000009", delisted_on=date(2024, 1, 2))
    insert_ended("cancelled")  # SIM, without a stock of its own
    part_of = part(superuser_client(), "overview")
    text = strip_tags(part_of)
    assert "China A-shares unadjusted · not collected yet 3 0 – inbox 3 with nothing stored as of" in text
    assert "up to date" not in text


def test_each_source_has_the_state_of_its_own_stocks():
    last = calendars.load_calendar("CN").latest_session()
    make_series("000001", last)
    client = superuser_client()
    assert "check_circle up to date" in strip_tags(part(client, "overview"))
    Stock.objects.create(market="CN", code="000002")
    cache.delete(coverage.cache_key())
    text = strip_tags(part(client, "overview"))
    assert "check_circle up to date" in text
    assert "inbox 1 with nothing stored" in text


def test_stocks_behind_are_shown_with_the_number_of_sessions_and_linked():
    calendar = calendars.load_calendar("CN")
    latest = calendar.latest_session()
    days = calendar.sessions(latest - timedelta(days=90), latest).days
    for n, behind in enumerate((1, 1, 5, 30), start=1):
        Stock.objects.create(market="CN", code=f"{n:06d}")
        make_series(f"{n:06d}", days[-1 - behind])
    client = superuser_client()
    html = part(client, "overview")
    sentence = (
        "2 stocks are 1 session behind, 1 stock is 2–5 sessions behind, "
        "1 stock is more than 20 sessions behind, the furthest by 30 sessions"
    )
    assert f"history 4 behind {sentence} as of" in strip_tags(html)
    (link,) = re.findall(r'href="([^"]+stored=behind[^"]+)"', html)
    assert client.get(link.replace("&amp;", "&")).context["cl"].result_count == 4


def test_stored_data_are_counted_once_a_minute():
    make_series("000001", date(2024, 12, 31))
    coverage.cached_coverage()
    with CaptureQueriesContext(connection) as caught:
        coverage.cached_coverage()
    assert len(caught) == 0


def test_stored_data_need_a_permission():
    make_series("000001", date(2024, 12, 31))
    insert_ended("completed")
    assert "Stored data" not in text_of(staff_client("view_collectiontask").get(url("index")))
    both = staff_client("view_collectiontask", "view_dailybar", name="both")
    assert "Stored data" in text_of(both.get(url("index")))


# ---------------------------------------------------------------- the parts and their refresh


def part(client, name):
    """Returns the HTML of a part as a refresh gets it."""
    return client.get(url(f"dashboard_{name}")).json()["html"]


def refresh(client, name, etag):
    return client.get(url(f"dashboard_{name}"), headers={"If-None-Match": etag})


def test_page_names_the_version_it_shows_and_an_unchanged_part_is_an_empty_304():
    insert_ended("completed")
    client = superuser_client()
    page = client.get(url("index"))
    for shown in page.context["parts"]:
        assert f'data-url="{url(f"dashboard_{shown.name}")}"' in page.content.decode()
        again = refresh(client, shown.name, shown.etag)
        assert (again.status_code, again.content) == (304, b"")
        assert "no-store" in again.headers["Cache-Control"]
    assert {shown.name for shown in page.context["parts"]} == {"live", "overview"}


def test_changed_part_is_sent():
    task = make_half_done()
    client = superuser_client()
    etag = client.get(url("dashboard_live")).headers["ETag"]
    lifecycle.record(lifecycle.claim(make_lane(task, 1), 1)[0], Outcome(ItemState.SUCCEEDED))
    response = refresh(client, "live", etag)
    assert response.status_code == 200
    assert "3 of 3 stocks (100%), 1 failed" in response.json()["html"]


def test_state_changes_only_with_task_or_status():
    task = make_task()
    client = superuser_client()
    state = client.get(url("dashboard_live")).json()["state"]
    lifecycle.record(lifecycle.claim(make_lane(task, 1), 1)[0], Outcome(ItemState.SUCCEEDED))
    assert client.get(url("dashboard_live")).json()["state"] == state
    lifecycle.cancel(task.pk, ACTOR)
    assert client.get(url("dashboard_live")).json()["state"] != state


def test_part_shows_only_permitted_buttons():
    running = make_task()
    viewer, canceller = (
        staff_client("view_collectiontask"),
        staff_client("view_collectiontask", "cancel_task", name="canceller"),
    )
    cancel = url(f"{TASKS}_cancel", running.pk)
    assert cancel not in part(viewer, "live")
    assert cancel in part(canceller, "live")


def test_page_and_parts_take_few_queries():
    for _ in range(5):
        insert_ended("cancelled")
    make_half_done()
    make_series("000001", date(2024, 12, 31))
    client = superuser_client()
    cache.delete(coverage.cache_key())
    with CaptureQueriesContext(connection) as first:
        client.get(url("index"))
    assert len(first) <= 19
    assert count_queries(client, url("dashboard_live")) <= 5  # with the number of queued orders
    assert count_queries(client, url("dashboard_overview")) <= 10


def test_idle_part_takes_few_queries():
    insert_ended("completed")
    assert count_queries(superuser_client(), url("dashboard_live")) <= 5  # with the number of queued orders


def first_steps_of(client):
    """Returns the text of the panel that leads to real A-shares; "" where there is none."""
    html = client.get(url("dashboard_overview")).json()["html"]
    found = re.search(r'<section class="sc-card sd-first".*?</section>', html, re.DOTALL)
    return " ".join(strip_tags(found[0]).split()) if found else ""


def test_first_steps_name_the_command_and_link_to_the_filled_in_form(monkeypatch):
    usable = {
        name: kind for name, kind in registry.available(settings.COLLECTOR).items() if name != "baostock"
    }
    monkeypatch.setattr(registry, "available", lambda conf: usable)
    client = superuser_client()
    text = first_steps_of(client)
    assert "baostock not installed" in text
    assert "-m pip install -r requirements-baostock.txt" in text
    assert text.endswith("how many requests that takes and how long.")
    html = client.get(url("dashboard_overview")).json()["html"]
    (link,) = re.findall(r'href="([^"]*source=akshare[^"]*)"', html)
    form = client.get(link.replace("&amp;", "&")).context["form"]
    assert form["source"].value() == "akshare"
    assert form["stock_codes"].value().split() == ["600519", "000001", "300750"]


def test_first_steps_end_with_bars_of_a_vendor():
    client = superuser_client()
    make_series("600519", date(2024, 1, 2))
    DailyBar.objects.update(source="sample")
    cache.delete(coverage.cache_key())
    assert first_steps_of(client) != ""
    DailyBar.objects.update(source="akshare")
    cache.delete(coverage.cache_key())
    assert first_steps_of(client) == ""


def test_first_steps_are_for_users_who_may_start():
    assert first_steps_of(staff_client("view_collectiontask", "view_series")) == ""


@pytest.mark.parametrize(("has_limited_ones", "tone"), [(True, "sc-warn"), (False, "sc-plain")])
def test_limits_that_are_switched_off_take_one_line(has_limited_ones, tone, settings, monkeypatch):
    settings.COLLECTOR = replace(settings.COLLECTOR, no_throttle=True)
    available = registry.available
    monkeypatch.setattr(registry, "available", lambda conf: {"sample": available(conf)["sample"]})
    rate = 1.0 if has_limited_ones else 0.0
    monkeypatch.setattr(registry, "limits", lambda name, conf: Limits(rate=0.0 if conf.no_throttle else rate))
    html = part(superuser_client(), "overview")
    assert html.count("limits switched off (COLLECTOR_NO_THROTTLE)") == 1
    assert tone in system_status.limits_off()
    assert "no limit" not in html
