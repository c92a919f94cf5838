"""Many stocks in one request: one permit, claims per stock, and no stock fails for another one."""

import pytest

from tasks_app.models import DailyBar, SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import Permanent, Transient, UnknownStock
from tests.engine.helpers import make_first_task
from tests.fakes.scripted_sources import Batcher, make_bar
from tools.in_process import work

pytestmark = pytest.mark.django_db
CODES = tuple(f"{n:06d}" for n in range(1, 10))


@pytest.fixture
def collect(configure, monkeypatch):
    """Returns a function that collects nine stocks, 000005 of which is the odd one."""

    def run(many=None, **conf):
        if many:
            monkeypatch.setattr(Batcher, "many", staticmethod(many))
        configure(**{"rates": (("batcher", 1000.0),), **conf})
        task = make_first_task(source="batcher", stock_codes=CODES)
        work()
        task.refresh_from_db()
        return task

    return run


def bars_of(requests, odd=None):
    """The answers to the requests; `odd` answers for 000005."""
    answers = {request.code: [make_bar()] for request in requests}
    if "000005" in answers and odd is not None:
        answers["000005"] = odd
    return answers


def counts(task):
    return task.status, task.success_count, task.failed_count, task.collected_count


def sizes():
    return [call.count("+") + 1 for call in Batcher.calls]


def test_batch_takes_one_permit(collect):
    task = collect()
    assert counts(task) == ("completed", 9, 0, 9)
    assert DailyBar.objects.filter(source="batcher").count() == 9
    assert max(sizes()) == 4
    assert SourceGate.objects.get().requests_today == len(Batcher.calls) <= 5


def test_batch_costs_what_the_source_declares(collect, monkeypatch):
    monkeypatch.setattr(Batcher, "cost", {"batch": 3}, raising=False)
    registry.traits.cache_clear()
    collect()
    batches = sum(size > 1 for size in sizes())
    assert SourceGate.objects.get().requests_today == len(Batcher.calls) + 2 * batches
    registry.traits.cache_clear()


def test_one_stocks_error_fails_that_stock_alone(collect):
    task = collect(lambda requests: bars_of(requests, UnknownStock("Never heard of it.")))
    assert counts(task) == ("completed", 8, 1, 8)
    item = task.items.get(code="000005")
    assert (item.error_code, item.error_message, item.attempts) == ("unknown_stock", "Never heard of it.", 1)


def test_malformed_answer_of_one_stock_fails_that_stock_alone(collect):
    task = collect(lambda requests: bars_of(requests, [("not", "a bar")]))
    assert counts(task) == ("completed", 8, 1, 8)
    assert task.items.get(code="000005").error_code == "bad_answer"


def test_missing_stock_is_requested_by_itself(collect):
    task = collect(lambda requests: {r.code: [make_bar()] for r in requests if r.code != "000005"})
    assert counts(task) == ("completed", 9, 0, 9)
    assert "000005" in Batcher.calls
    assert task.items.get(code="000005").attempts == 1


def test_failed_batch_is_requested_in_halves(collect):
    def refuse_odd(requests):
        if "000005" in [request.code for request in requests]:
            raise Permanent("A code is malformed.")
        return bars_of(requests)

    task = collect(refuse_odd)
    assert counts(task) == ("completed", 9, 0, 9)
    assert "000005" in Batcher.calls
    assert set(task.items.values_list("attempts", flat=True)) == {1}


def test_throttled_batch_is_no_stocks_fault(collect):
    turns = iter([True])

    def busy_once(requests):
        if next(turns, False):
            raise Transient("Not now.", code="throttled")
        return bars_of(requests)

    task = collect(busy_once)
    assert counts(task) == ("completed", 9, 0, 9)
    assert 1 not in sizes()[1:-1]


def test_transient_error_of_one_stock_is_tried_again(collect):
    turns = iter([True])
    task = collect(
        lambda requests: bars_of(
            requests, Transient("Try again.", code="empty_answer") if next(turns, False) else None
        )
    )
    assert counts(task) == ("completed", 9, 0, 9)


@pytest.mark.parametrize(
    "answer", [None, {1: 2}, *(pytest.param(odd, marks=pytest.mark.soak) for odd in ([], "text"))]
)
def test_malformed_batch_is_requested_one_by_one(collect, answer):
    task = collect(lambda requests: answer)
    assert counts(task) == ("completed", 9, 0, 9)
    assert set(CODES) <= set(Batcher.calls)
