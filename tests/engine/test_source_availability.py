"""A source that can't be set up, as without its token, says so at once: at the order and at the task."""

from types import SimpleNamespace

import pytest

from tasks_app import errors, reasons
from tasks_app.models import TaskEvent
from tasks_app.orders import order as orders
from tasks_app.queue import dispatch
from tests.engine.helpers import CODES, make_first_task
from tests.factories import make_order
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import First, Second
from tools.in_process import work

pytestmark = pytest.mark.django_db


@pytest.fixture
def without_token(settings, monkeypatch):
    """Returns a function that configures scripted sources, of which the first lacks its token."""

    def set_up(**values):
        settings.COLLECTOR = scripted_sources.without_token(settings.COLLECTOR, monkeypatch, **values)

    return set_up


def test_source_without_token_fails_its_task_with_the_sentence(without_token):
    without_token()
    task = make_first_task()
    work()
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", "source_unusable")
    assert task.error_message.endswith(": ValueError: VENDOR_TOKEN is not set")
    assert task.items.filter(state="pending").count() == len(CODES)


@pytest.mark.parametrize("codes", [CODES, None], ids=["stocks", "market"])
def test_task_of_a_source_without_token_goes_on_with_its_fallback(without_token, codes):
    without_token(fallbacks=(("CN", ("first", "second")),))
    task = make_first_task(stock_codes=codes)
    work()
    task.refresh_from_db()
    assert task.status == "completed"
    assert set(task.items.values_list("source", flat=True)) == {"second"}
    assert ("list" in Second.calls) == (codes is None)
    assert First.calls == []
    warning = TaskEvent.objects.get(task=task, kind="warned").params
    assert (warning["code"], warning["source"]) == ("source_unusable", "first")
    assert "VENDOR_TOKEN" in reasons.WARNINGS["source_unusable"] % warning


def test_host_without_token_leaves_the_task_to_other_hosts(without_token, monkeypatch):
    without_token()
    monkeypatch.setattr(dispatch, "live_clusters", lambda: [SimpleNamespace(), SimpleNamespace()])
    task = make_first_task()
    assert work() == len(task.lanes.all()), "a declined task is not taken up again at once"
    task.refresh_from_db()
    assert task.status == "running"
    codes = TaskEvent.objects.filter(task=task, kind="warned").values_list("params__code", flat=True)
    assert sorted(codes) == ["source_not_here", "source_unusable"]


def test_order_of_a_source_without_token_is_refused(without_token, settings):
    without_token()
    with pytest.raises(errors.SourceUnusable, match="“first” can't be used: ValueError: VENDOR_TOKEN is not"):
        orders.require_usable_source(make_order(source="first"), settings.COLLECTOR)
    orders.require_usable_source(make_order(source="second"), settings.COLLECTOR)
