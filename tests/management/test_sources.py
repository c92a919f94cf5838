"""`manage.py sources`: the list, and one small request for each capability."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tasks_app.engine import source_check
from tasks_app.lifecycle import source_checks
from tasks_app.models import SourceCheck, SourceGate
from tasks_app.sources import registry
from tasks_app.sources.base import SourceRefusal, Transient
from tasks_app.throttle.limiter import limiter_for
from tasks_app.throttle.status import status_of
from tests.factories import make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import Batcher, LoggedIn, Teller, whole_market, without_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def sources(settings, monkeypatch):
    """Returns a function that runs the command: its exit code and what it printed."""
    conf = scripted_sources.with_scripted_sources(settings.COLLECTOR, monkeypatch, rates=(("teller", 0.0),))
    settings.COLLECTOR = conf

    def run(*words):
        out = StringIO()
        try:
            call_command("sources", *words, stdout=out)
        except SystemExit as stop:
            return stop.code, out.getvalue()
        return 0, out.getvalue()

    return run


def test_check_asks_for_each_capability_through_the_limiter(sources, monkeypatch):
    monkeypatch.setattr(Teller, "days", staticmethod(whole_market))
    code, text = sources("check", "teller")
    assert (code, [line.split()[2] for line in text.splitlines()]) == (
        0,
        ["list", "bars", "day", "factors", "actions"],
    )
    assert f"{scripted_sources.STOCKS} stocks" in text
    assert SourceGate.objects.get(pk="teller").requests_today == len(Teller.calls) == 5


def test_check_of_a_batch_asks_for_two_stocks(sources):
    code, text = sources("check", "batcher")
    assert code == 0
    assert "bars of 2 stocks" in text
    assert Batcher.calls[-1] == "000001+000002"


def test_failed_capability_is_told_with_its_error_and_the_exit_code(sources, monkeypatch):
    monkeypatch.setattr(Teller, "days", staticmethod(lambda day: {}))

    def refuse(code):
        raise Transient("Not now.", code="throttled")

    monkeypatch.setattr(Teller, "factors", staticmethod(refuse))
    code, text = sources("check", "teller", "--json")
    result = json.loads(text)
    errors = {check["capability"]: check["error_code"] for check in result["checks"]}
    assert (code, result["works"]) == (1, False)
    assert errors == {"list": "", "bars": "", "day": "nothing_sent", "factors": "throttled", "actions": ""}


def test_check_after_a_refused_token_was_mended_asks_again(sources, monkeypatch):
    monkeypatch.setattr(Teller, "days", staticmethod(whole_market))

    def refuse(source, market):
        raise SourceRefusal("The token is wrong.", code="login_refused")

    with monkeypatch.context() as wrong:
        wrong.setattr(Teller, "symbols", refuse)
        code, text = sources("check", "teller")
        assert (code, text.count("login_refused")) == (1, 1)
        assert status_of("teller").is_blocked
    code, text = sources("check", "teller")
    assert (code, "source_paused" in text) == (0, False)
    assert not status_of("teller").is_blocked


def test_pause_after_a_ban_is_kept_by_a_check(settings, sources):
    limiter = limiter_for("teller", settings.COLLECTOR)
    limiter.record_failure(limiter.reserve(1)[0], Transient("Banned.", code="blacklisted", retry_after=3600))
    code, text = sources("check", "teller")
    assert (code, text.count("source_paused")) == (1, 5)
    assert not Teller.calls


def test_source_that_cannot_be_made_is_told_by_its_sentence(settings, sources, monkeypatch):
    settings.COLLECTOR = without_token(settings.COLLECTOR, monkeypatch)
    code, text = sources("check", "first")
    assert code == 1
    assert "VENDOR_TOKEN is not set" in text
    assert not SourceGate.objects.exists()


@pytest.fixture
def ended(monkeypatch):
    """Returns the list of the ends of the session."""
    ends = []
    monkeypatch.setattr(LoggedIn, "log_out", staticmethod(lambda: ends.append("logged out")))
    return ends


@pytest.mark.parametrize("order", [{"source": "logged_in"}, {"source": "first", "fallbacks": ("logged_in",)}])
def test_session_of_a_running_task_is_not_doubled(sources, ended, order):
    task = make_task(**order)
    code, text = sources("check", "logged_in")
    assert code == 1
    assert str(task.pk) in text
    assert not (LoggedIn.calls or ended)


def test_task_that_starts_during_a_check_opens_no_second_session(settings, sources, ended):
    """Nor does another check; after the check everybody may send requests again."""
    conf = settings.COLLECTOR
    checks = source_check.check_source("logged_in", "CN", conf)
    assert next(checks).works
    blocked = limiter_for("logged_in", conf).reserve(1)
    assert (blocked.reason, status_of("logged_in").is_blocked) == (
        "The source is being checked, and its vendor allows one session at a time.",
        True,
    )
    (second,) = source_check.check_source("logged_in", "CN", conf)
    assert second.error_code == "session_in_use"
    assert ended == []
    assert all(check.works for check in checks)
    assert ended == ["logged out"]
    assert isinstance(limiter_for("logged_in", conf).reserve(1), list)


def test_session_ends_with_its_check(sources, ended):
    make_task(source="first")
    _code, text = sources("check", "logged_in", "--json")
    assert len(json.loads(text)["checks"]) == 2
    assert ended == ["logged out"]


@pytest.mark.parametrize(
    "error",
    [Transient("The log-out was not answered.", code="timeout"), OSError("The log-out was not answered.")],
    ids=["foreseen", "a fault of its code"],
)
def test_session_that_may_still_be_open_is_told(sources, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(LoggedIn, "log_out", staticmethod(fail))
    code, text = sources("check", "logged_in")
    assert code == 1
    assert "The log-out was not answered." in text


@pytest.mark.parametrize("words", [("nowhere",), ("first", "--market", "US")])
def test_unknown_source_and_market_are_errors(sources, words):
    with pytest.raises(CommandError):
        sources("check", *words)


def test_list_names_every_source_and_what_is_missing(settings, sources):
    broken = (*settings.COLLECTOR.sources, ("mine", "no.such:Thing"))
    settings.COLLECTOR = replace(settings.COLLECTOR, sources=broken)
    _code, text = sources("list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(text)}
    assert set(registry.paths(settings.COLLECTOR)) == set(entries)
    assert entries["first"]["problem"] == ""
    assert "no.such:Thing can't be loaded" in entries["mine"]["problem"]
    assert entries["batcher"]["batch_size"] == 4
    assert "COLLECTOR_CSV_DIR" in entries["csv"]["problem"]
    assert "batcher" in sources("list")[1]


def test_check_is_kept_as_the_last_one_unless_another_one_runs(sources, monkeypatch):
    monkeypatch.setattr(Teller, "days", staticmethod(whole_market))
    sources("check", "teller")
    check = SourceCheck.objects.get(pk="teller")
    assert (check.user_name, check.market, bool(check.ended_at)) == ("manage.py", "CN", True)
    assert [result["works"] for result in check.results] == [True] * 5
    running = source_checks.start("teller", "CN", "ann", "en")
    sources("check", "teller")
    check.refresh_from_db()
    assert (check.user_name, check.generation, check.results) == ("ann", running.generation, [])
