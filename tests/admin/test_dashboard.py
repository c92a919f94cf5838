"""The overview: what it tells of the running task, the last runs, the machinery, and what is stored."""

from datetime import date, timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks_app import lifecycle
from tasks_app.lifecycle import Outcome, durations
from tasks_app.market import calendars
from tasks_app.models import Series, SourceGate, Stock
from tasks_app.models.states import ItemState
from tasks_app.queue import dispatch
from tasks_app.queue.dispatch import ClusterStatus
from tasks_app.quotes import coverage
from tests.admin.helpers import (
    TASKS,
    signed_in,
    strip_tags,
    superuser,
    text_of,
    url,
)
from tests.factories import (
    ACTOR,
    make_ended,
    make_lane,
    make_task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clusters(monkeypatch):
    """The clusters that are heard of; and nothing remembered of other tests' rows."""
    cache.delete(coverage.cache_key())
    heard = [ClusterStatus("alpha", 71, "Idle", 2)]
    monkeypatch.setattr(dispatch, "live_clusters", lambda: heard)
    return heard


def make_half_done():
    """Running: of three stocks one has succeeded, one has failed."""
    task = make_task()
    good, bad = lifecycle.claim(make_lane(task), 2)
    lifecycle.record(good, Outcome(ItemState.SUCCEEDED, collected=12_154))
    lifecycle.record(bad, Outcome(ItemState.FAILED, error_code="timeout", error_message="No answer."))
    task.refresh_from_db()
    return task


def make_series(code, last_day, market="CN", adjust="", bars=100):
    return Series.objects.create(
        market=market, symbol=code, adjust=adjust, bars=bars, first_day=date(2024, 1, 2), last_day=last_day
    )


def queries_of(client, address):
    client.get(address)  # what a process asks once only is not counted
    with CaptureQueriesContext(connection) as caught:
        client.get(address)
    return len(caught)


def test_a_new_site_says_what_to_do_first(clusters):
    text = text_of(superuser().get(url("index")))
    assert "Nothing was collected yet" in text
    assert "A worker is ready." in text
    assert "Start a collection" in text
    assert "The last run" not in text


def test_the_running_task_is_told_honestly():
    task = make_half_done()
    body = superuser().get(url("index"))
    text = text_of(body)
    assert "Running now" in text
    assert "2 of 3 stocks (66 %), 1 failed" in text
    assert "just now" in text
    assert url(f"{TASKS}_cancel", task.pk) in body.content.decode()
    assert url(f"{TASKS}_change", task.pk) in body.content.decode()
    assert b'class="sd-good" width="333"' in body.content
    assert b'class="sd-bad" x="333" width="334"' in body.content


def test_when_none_runs_the_last_result_stands_there():
    task = make_ended("failed")
    body = superuser().get(url("index"))
    text = text_of(body)
    assert "Last result" in text
    assert "1 of 1 stock (100 %), 1 failed" in text
    assert url("start") in body.content.decode()
    assert url(f"{TASKS}_retry", task.pk) in body.content.decode()
    assert url(f"{TASKS}_cancel", task.pk) not in body.content.decode()


def test_without_a_worker_a_banner_says_what_to_do(clusters):
    clusters.clear()
    make_task()
    text = text_of(superuser().get(url("index")))
    assert "No worker is alive" in text
    assert "python manage.py worker" in text
    assert "no worker heard of" in text


def test_with_a_worker_there_is_no_banner():
    text = text_of(superuser().get(url("index")))
    assert "No worker is alive" not in text
    assert "alpha 71 2" in text


def test_workers_of_several_hosts_are_summed(clusters):
    clusters.append(ClusterStatus("beta", 5, "Idle", 4))
    make_half_done()
    assert "6 on 2 hosts" in part(superuser(), "live")


def test_the_strip_shows_every_run_and_what_it_was():
    ended = [make_ended(status) for status in ("completed", "failed", "cancelled")]
    body = superuser().get(url("index")).content.decode()
    assert "The last 3 runs" in body
    links = [
        body.index(f'{url(f"{TASKS}_change", task.pk)}" class="sd-run sd-{task.status}') for task in ended
    ]
    assert links == sorted(links)


def test_the_strip_ends_with_the_newest_sixty(monkeypatch):
    monkeypatch.setattr("tasks_app.admin.dashboard.overview.RUNS", 2)
    tasks = [make_ended("cancelled") for _ in range(3)]
    body = part(superuser(), "overview")
    assert [str(task.pk) in body for task in tasks] == [False, True, True]


def test_a_paused_source_says_until_when_and_why(settings):
    later = timezone.now() + timedelta(hours=2)
    SourceGate.objects.create(source="baostock", open_until=later, refusals=5, reason="It refuses us.")
    text = strip_tags(part(superuser(), "overview"))
    assert "baostock" not in text or "paused until" in text


def test_stored_data_are_counted_by_market_and_adjustment_with_those_behind():
    last = calendars.load_calendar("CN").latest_session()
    Stock.objects.create(market="CN", code="000001")
    Stock.objects.create(market="CN", code="000003", delisted_on=date(2025, 1, 2))
    make_series("000001", last)
    make_series("000002", last - timedelta(days=40))
    make_series("000003", date(2025, 1, 2))
    make_series("000001", last, adjust="qfq")
    make_series("000009", None, bars=0)
    plain, qfq = coverage.compute_coverage()
    assert (plain.stocks, plain.bars, plain.latest, plain.listed, plain.behind) == (3, 300, last, 1, 1)
    assert (qfq.adjust, qfq.stocks, qfq.behind) == ("qfq", 1, 0)
    text = text_of(superuser().get(url("index")))
    assert "China A-shares unadjusted 3 / 1 300" in text


def test_stored_data_are_counted_once_a_minute():
    make_series("000001", date(2024, 12, 31))
    coverage.cached_coverage()
    with CaptureQueriesContext(connection) as caught:
        coverage.cached_coverage()
    assert len(caught) == 0


def test_stored_data_are_shown_to_those_who_may_see_them():
    make_series("000001", date(2024, 12, 31))
    make_ended("completed")
    assert "What is stored" not in text_of(signed_in("view_collectiontask").get(url("index")))
    both = signed_in("view_collectiontask", "view_dailybar", name="both")
    assert "What is stored" in text_of(both.get(url("index")))


# ---------------------------------------------------------------- the pieces that keep themselves fresh


def part(client, name):
    """The HTML of a part as a refresh gets it."""
    return client.get(url(f"dashboard_{name}")).json()["html"]


def refresh(client, name, etag):
    return client.get(url(f"dashboard_{name}"), headers={"If-None-Match": etag})


def test_unchanged_part_is_an_empty_304():
    make_ended("completed")
    client = superuser()
    for name in ("live", "overview"):
        first = client.get(url(f"dashboard_{name}"))
        again = refresh(client, name, first.headers["ETag"])
        assert (again.status_code, again.content) == (304, b"")
        assert "no-store" in again.headers["Cache-Control"]


def test_page_names_the_version_it_shows():
    make_ended("completed")
    client = superuser()
    page = client.get(url("index"))
    for shown in page.context["parts"]:
        assert f'data-url="{url(f"dashboard_{shown.name}")}"' in page.content.decode()
        assert refresh(client, shown.name, shown.etag).status_code == 304


def test_changed_part_is_sent():
    task = make_half_done()
    client = superuser()
    etag = client.get(url("dashboard_live")).headers["ETag"]
    lifecycle.record(lifecycle.claim(make_lane(task, 1), 1)[0], Outcome(ItemState.SUCCEEDED))
    answer = refresh(client, "live", etag)
    assert answer.status_code == 200
    assert "3 of 3 stocks (100 %), 1 failed" in answer.json()["html"]


def test_state_changes_only_with_task_or_status():
    task = make_task()
    client = superuser()
    state = client.get(url("dashboard_live")).json()["state"]
    lifecycle.record(lifecycle.claim(make_lane(task, 1), 1)[0], Outcome(ItemState.SUCCEEDED))
    assert client.get(url("dashboard_live")).json()["state"] == state
    lifecycle.cancel(task.pk, ACTOR)
    assert client.get(url("dashboard_live")).json()["state"] != state


def test_part_shows_only_permitted_buttons():
    running = make_task()
    viewer, canceller = (
        signed_in("view_collectiontask"),
        signed_in("view_collectiontask", "cancel_task", name="canceller"),
    )
    cancel = url(f"{TASKS}_cancel", running.pk)
    assert cancel not in part(viewer, "live")
    assert cancel in part(canceller, "live")


def test_live_part_is_small():
    make_half_done()
    assert len(superuser().get(url("dashboard_live")).content) < 5_000


def test_the_page_and_its_pieces_cost_a_bounded_number_of_queries():
    for _ in range(5):
        make_ended("cancelled")
    make_half_done()
    make_series("000001", date(2024, 12, 31))
    client = superuser()
    cache.delete(coverage.cache_key())
    with CaptureQueriesContext(connection) as first:
        client.get(url("index"))
    assert len(first) <= 15
    assert queries_of(client, url("dashboard_live")) <= 4
    assert queries_of(client, url("dashboard_overview")) <= 6


def test_an_idle_piece_costs_no_more_queries_than_a_running_one():
    make_ended("completed")
    assert queries_of(superuser(), url("dashboard_live")) <= 4


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (timedelta(seconds=30), timedelta(seconds=30), "about 30 s"),
        (timedelta(minutes=2), timedelta(minutes=3), "2–3 min"),
        (timedelta(seconds=50), timedelta(minutes=4), "50 s – 4 min"),
        (timedelta(hours=3), timedelta(hours=4.5), "3–4.5 h"),
        (timedelta(days=3), timedelta(days=3), "about 3 d"),
        (None, None, ""),
    ],
)
def test_a_span_is_told_as_roughly_as_it_is_known(low, high, words):
    assert durations.format_estimate(low, high) == words


def test_a_moment_ago_is_told_in_words():
    now = timezone.now()
    assert durations.format_age(now - timedelta(seconds=2), now) == "just now"
    assert durations.format_age(now - timedelta(seconds=40), now) == "40 s ago"
    assert durations.format_age(now - timedelta(minutes=10), now) == "10 min ago"
