"""A refusal that concerns the whole source is asked for a few times, not once per stock."""

from functools import partial

import pytest

from tasks_app.models import DailyBar, SourceGate
from tasks_app.sources.base import Permanent, SourceRefusal, UnknownStock
from tasks_app.throttle import status
from tests.engine.helpers import make_first_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import First, Second, make_bar
from tools.in_process import work

pytestmark = pytest.mark.django_db
MOST = 4  # stocks that are asked for of a source that has delivered: twice `breaker_after`
CODES = tuple(f"{n:06d}" for n in range(1, 7))  # two more than are asked at most


@pytest.fixture
def configure(configure):
    """`configure` with as few refusals in a row as tell a source from its stocks."""
    return partial(configure, breaker_after=MOST // 2)


def refuse(error, after=0):
    """Returns a script that raises the error, once it has answered some requests."""
    answered = []

    def script(request):
        if len(answered) < after:
            answered.append(request.code)
            return [make_bar()]
        raise error

    return script


def collect(**fields):
    task = make_first_task(**{"stock_codes": CODES, **fields})
    work()
    task.refresh_from_db()
    return task


@pytest.mark.parametrize(
    ("error", "requests"),
    [
        (SourceRefusal("Your token is wrong."), 1),
        (Permanent("It refuses.", code="login_refused"), 1),
        (Permanent("It refuses.", code="client_outdated"), 1),
        (Permanent("It refuses.", code="columns_changed"), 3),
        (Permanent("It refuses.", code="units_changed"), 3),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_refusal_of_every_stock_fails_the_task_at_once_or_after_three(configure, error, requests):
    configure(first=refuse(error))
    task = collect()
    assert len(First.calls) == requests
    assert task.status == "failed"
    assert task.error_code == error.code
    assert task.error_message == f"The source first refuses every request. {error}"
    assert task.items.filter(state="pending").count() == len(CODES) - task.processed_stocks


def test_wrong_token_is_shown_as_the_sources_pause(configure):
    configure(first=refuse(SourceRefusal("Your token is wrong.", code="login_refused")))
    collect()
    paused = status.status_of("first")
    assert (paused.state, paused.reason, paused.refusal_code) == (
        "paused",
        "Your token is wrong.",
        "login_refused",
    )


def test_token_that_expires_is_asked_once(configure):
    configure(first=refuse(Permanent("Expired.", code="login_refused"), after=2))
    task = collect()
    assert len(First.calls) == 2 + 1
    assert (task.status, task.failed_count) == ("failed", 0)
    assert DailyBar.objects.count() == 2


def test_odd_stocks_in_a_row_do_not_stop_a_source_that_delivers(configure):
    def script(request):
        if "000002" <= request.code < "000005":
            raise Permanent("Other units.", code="units_changed")
        return [make_bar()]

    configure(first=script)
    task = collect()
    assert task.status == "completed"
    assert task.failed_count == 3


def test_columns_that_change_within_a_run_fail_the_task(configure):
    configure(first=refuse(Permanent("Other columns.", code="columns_changed"), after=1))
    task = collect()
    assert len(First.calls) == 1 + MOST
    assert (task.status, task.error_code) == ("failed", "columns_changed")


def test_unclear_refusal_counts_while_its_sentence_is_the_same(configure):
    configure(first=refuse(Permanent("The vendor answers 401.")))
    task = collect()
    assert len(First.calls) == MOST
    assert (task.status, task.error_code) == ("failed", "source_refused")
    assert task.error_message.endswith("The vendor answers 401.")


def test_source_whose_code_fails_for_every_stock_is_not_asked_by_every_stock(configure):
    def script(request):
        return {}["data"]

    configure(first=script)
    task = collect()
    assert len(First.calls) == MOST
    assert task.error_code == "source_raised"


@pytest.mark.parametrize("make_error", [UnknownStock, Permanent])
def test_refusals_that_name_their_stock_are_those_of_stocks(configure, make_error):
    def script(request):
        raise make_error(f"Nothing about {request.code}.")

    configure(first=script)
    task = collect()
    assert len(First.calls) == len(CODES)
    assert task.error_code == "all_failed"


def test_unclear_refusal_does_not_stop_a_source_that_delivers(configure):
    configure(first=refuse(Permanent("Not this one."), after=1))
    task = collect()
    assert len(First.calls) == len(CODES)
    assert task.status == "completed"


def test_stocks_of_a_source_that_refuses_all_go_to_the_next_one(configure):
    configure(first=refuse(SourceRefusal("Your token is wrong.")), fallbacks=(("CN", ("first", "second")),))
    task = collect()
    assert task.status == "completed"
    assert len(First.calls) == 1
    assert sorted(Second.calls) == sorted(CODES)
    last = task.items.get(code=CODES[-1])
    assert (last.source, last.attempts) == ("second", 1)


def test_task_fails_when_all_its_sources_refuse(configure):
    refusal = refuse(SourceRefusal("Your token is wrong."))
    configure(first=refusal, second=refusal, fallbacks=(("CN", ("first", "second")),))
    task = collect()
    assert (len(First.calls), len(Second.calls)) == (1, 1)
    assert (task.status, task.error_code) == ("failed", "all_refused")


def test_source_that_refused_is_asked_once_by_the_next_task(configure):
    configure(first=refuse(SourceRefusal("Your token is wrong.")))
    collect()
    First.calls.clear()
    task = collect()
    assert task.status == "failed"
    assert len(First.calls) == 1


def test_mended_source_is_used_by_the_next_task_at_once(configure, settings, monkeypatch):
    configure(first=refuse(SourceRefusal("Your token is wrong.")))
    collect()
    monkeypatch.setattr(First, "script", staticmethod(scripted_sources.closes_at(11.0)))
    task = collect()
    assert (task.status, task.success_count) == ("completed", len(CODES))
    assert not SourceGate.objects.get(pk="first").refuses_all
