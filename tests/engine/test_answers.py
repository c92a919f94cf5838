"""Whatever a source answers is read safely, or fails its stock, list or day at the first attempt."""

import json
import math
from collections import OrderedDict
from datetime import date, timedelta
from decimal import Decimal
from itertools import repeat

import numpy
import pytest
from django_q.conf import Conf as QConf
from hypothesis import given, strategies as st

from tasks_app.conf import Conf
from tasks_app.engine import answers, day_fetches
from tasks_app.models import DailyBar, Stock, TaskEvent
from tasks_app.quotes import validation
from tasks_app.sources.base import (
    Answer,
    Bar,
    DayAnswer,
    LeftAside,
    Permanent,
    Request,
    SourceError,
    Symbol,
    Transient,
    UnknownStock,
)
from tests.engine.helpers import make_first_task, run_all_attempts
from tests.factories import make_task
from tests.fakes import scripted_sources
from tests.fakes.scripted_sources import DAY, STOCKS, ByDay, First, make_bar
from tools.in_process import work
from tools.odd_answers import BARS, DAYS, STOCK_LISTS, TORN, OddAnswer

CONF = Conf(answer_max_bars=1000)
LEFT = LeftAside("a.csv", "x" * 100_000)
# One of each way in which reading a list ends.
ODD_LISTS = ("none", "exits", "hostile_row", "raises_midway", "endless")
SYMBOLS = [Symbol(f"{n:06d}", f"Stock {n}", "SSE", date(2001, 8, 27)) for n in range(1, 4)]


def in_short(names, *some):
    """Returns the names; those that are not among `some` run in `make soak` only."""
    return [pytest.param(name, marks=() if name in some else pytest.mark.soak) for name in names]


@pytest.fixture
def answer_oddly(configure, monkeypatch):
    """Returns a function that runs a task of stocks named after their odd answers, and good ones."""

    def script(request):
        name = request.code.lower()
        return BARS[name].answer([make_bar()]) if name in BARS else [make_bar()]

    def run(*names):
        configure(first=script, answer_max_bars=1000, in_flight=4)
        monkeypatch.setattr(First, "in_flight", 4)
        good = [f"GOOD{n}" for n in range(3)]
        task = make_first_task(stock_codes=(good[0], *map(str.upper, names), *good[1:]))
        run_all_attempts(task, rounds=2)
        return task

    return run


@pytest.mark.django_db
def test_odd_answer_fails_its_stock_at_the_first_attempt(answer_oddly):
    task = answer_oddly(*BARS)
    items = list(task.items.exclude(code__startswith="GOOD"))
    assert {item.code.lower(): item.error_code for item in items} == {
        name: odd.code for name, odd in BARS.items()
    }
    assert {(item.state, item.attempts) for item in items} == {("failed", 1)}
    assert all(0 < len(item.error_message) < 600 for item in items)
    assert (task.status, task.success_count) == ("completed", 3)
    assert DailyBar.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("name", in_short(STOCK_LISTS, *ODD_LISTS))
def test_odd_stock_list_fails_the_task_at_the_first_attempt(configure, monkeypatch, name):
    configure(answer_max_mb=1)
    odd = STOCK_LISTS[name]
    requests = []

    def symbols(self, market):
        requests.append(market)
        return odd.answer(SYMBOLS)

    monkeypatch.setattr(First, "symbols", symbols)
    task = make_first_task(stock_codes=None)
    work()
    task.refresh_from_db()
    assert (task.status, task.error_code) == ("failed", odd.code)
    assert len(requests) == 1
    assert not Stock.objects.exists()


@pytest.mark.django_db
def test_odd_stock_list_is_replaced_by_the_stored_one(configure, monkeypatch):
    configure(list_max_age=0.0)
    make_first_task(stock_codes=None)
    work()
    monkeypatch.setattr(First, "symbols", lambda self, market: STOCK_LISTS["text_date"].answer(SYMBOLS))
    task = make_first_task(stock_codes=None)
    work()
    task.refresh_from_db()
    assert (task.status, task.total_stocks) == ("completed", STOCKS)
    message = TaskEvent.objects.get(params__code="stock_list_kept").params["message"]
    assert message.endswith("in row 2, listed_on is '2024-13-45', not a date or None.")


@pytest.mark.django_db
@pytest.mark.parametrize("name", in_short(DAYS, "hostile", "code_torn"))
def test_odd_day_is_replaced_by_single_requests(configure, monkeypatch, name):
    day_fetches._caches.clear()
    odd = DAYS[name]
    monkeypatch.setattr(
        ByDay, "days", staticmethod(lambda day: odd.answer(scripted_sources.whole_market(day)))
    )
    configure(by_day_from=STOCKS)
    task = make_task(source="by_day", stock_codes=None, start_date=DAY, end_date=DAY)
    work()
    task.refresh_from_db()
    assert (task.status, task.success_count) == ("completed", STOCKS)
    assert ByDay.calls.count(DAY.isoformat()) == 1
    assert TaskEvent.objects.get(params__code="by_day_failed").params["reason"].startswith("2024-03-01: ")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", in_short(["number", "none", "hostile", "raises", "exits", "mute_error"], "hostile")
)
def test_odd_offer_of_a_day_is_replaced_by_single_requests(configure, monkeypatch, name):
    day_fetches._caches.clear()
    odd = DAYS[name]
    monkeypatch.setattr(ByDay, "offers_day", lambda self, market, day: odd.answer(True), raising=False)
    configure(by_day_from=STOCKS)
    task = make_task(source="by_day", stock_codes=None, start_date=DAY, end_date=DAY)
    work()
    task.refresh_from_db()
    assert (task.status, task.success_count) == ("completed", STOCKS)
    assert TaskEvent.objects.get(params__code="by_day_failed").params["source"] == "by_day"


@pytest.mark.django_db
def test_slow_endless_answer_is_a_timeout(configure, clock):
    def script(request):
        for bar in repeat(make_bar()):
            clock.sleep(1.0)
            yield bar

    configure(first=script, fetch_timeout=30.0, max_attempts=1, slice_seconds=60.0)
    task = make_first_task(stock_codes=("000001",))
    work()
    assert task.items.get().error_code == "timeout"
    assert clock.elapsed == pytest.approx(30.0, abs=2.0)


def hang_in_the_call(clock):
    clock.sleep(math.inf)


def hang_before_the_first_row(clock):
    clock.sleep(math.inf)
    yield make_bar()


@pytest.mark.django_db
@pytest.mark.parametrize("hang", [hang_in_the_call, hang_before_the_first_row])
def test_answer_that_never_comes_is_a_timeout(configure, clock, hang):
    configure(first=lambda request: hang(clock), fetch_timeout=30.0, max_attempts=1, slice_seconds=60.0)
    task = make_first_task(stock_codes=("000001",))
    assert clock.duration_of(work) == pytest.approx(30.0, abs=2.0)
    assert task.items.get().error_code == "timeout"
    assert QConf.MAX_RSS == 1, "the process is replaced, or its thread continues the request"


@pytest.mark.parametrize(
    ("read", "answer", "sentence"),
    [
        (answers.read_bars, None, "it is None, not a list of bars."),
        (answers.read_bars, BARS["hostile"], "it is an object of the type Hostile, not a list of bars."),
        (answers.read_bars, ["<html>"], "row 1 is '<html>', not a Bar."),
        (answers.read_bars, [make_bar(), make_bar()._replace(open="x" * 10**6)], "in row 2, open is 'xxxx"),
        (answers.read_bars, [make_bar()._replace(close=Decimal("sNaN"))], "close is Decimal('sNaN'), not"),
        (answers.read_bars, BARS["raises_midway"], "row 2 can't be read: ZeroDivision"),
        (answers.read_day, [make_bar()], "not a mapping of codes to bars."),
        (answers.read_day, {1: make_bar()}, "in row 1, code is 1, not 1 to 16 letters, digits,"),
        (answers.read_day, {"000001": TORN}, "row 1 is "),
        (answers.read_symbols, [Symbol("000001"), "000002"], "row 2 is '000002', not a Symbol."),
        (answers.read_symbols, [Symbol("000001", name=TORN)], "in row 1, name is 'half a character: \\ud83d"),
    ],
)
def test_sentence_says_what_is_wrong_and_where(read, answer, sentence):
    if isinstance(answer, OddAnswer):  # pytest would look at a hostile object
        answer = answer.answer([make_bar()])
    with pytest.raises(Permanent) as raised:
        list(read(answer, CONF))
    message = str(raised.value)
    assert raised.value.code == "bad_answer"
    assert message.startswith("The source's response is malformed: ")
    assert sentence in message
    assert len(message) < 300
    assert json.dumps(message) and message.encode()


def test_plain_bars_stay_as_they_are():
    bars = [make_bar(day=DAY + timedelta(days=n))._replace(amount=1.0 if n else None) for n in range(3)]
    for answer in (bars, tuple(bars), iter(bars), (bar for bar in bars)):
        read = answers.read_bars(answer, CONF)
        assert read == bars
        assert read is not answer, "the source may change its own list later"
    assert answers.read_bars([], CONF) == []


class LyingDict(dict):
    def items(self):
        return [("000002", "nonsense")]


def test_answer_keeps_what_it_says_besides_bars():
    said = Answer([make_bar()], suspended=[DAY], notes=["suspended: 1"])
    answer = answers.read_answer(said, CONF)
    assert (list(answer), answer.suspended, answer.notes) == ([make_bar()], (DAY,), ("suspended: 1",))
    plain = answers.read_answer([make_bar()], CONF)
    assert (list(plain), plain.suspended, plain.notes) == ([make_bar()], (), ())


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"suspended": ["2024-01-02"]}, "in row 1, day is '2024-01-02', not a date"),
        ({"notes": ["fine", 5]}, "in row 2, text is 5, not a text"),
    ],
)
def test_odd_words_besides_bars_fail_the_answer(said, sentence):
    with pytest.raises(Permanent, match=sentence):
        answers.read_answer(Answer([make_bar()], **said), CONF)


def test_odd_entry_left_aside_fails_the_list():
    assert answers.read_left_aside([LeftAside("a.csv", "empty")], CONF) == [LeftAside("a.csv", "empty")]
    with pytest.raises(Permanent, match="row 1 can't be read"):
        answers.read_left_aside(["a.csv"], CONF)


def test_numbers_dates_and_texts_of_other_types_become_plain():
    class Text(str):
        __slots__ = ()

    odd = make_bar()._replace(open=Decimal("10.5"), high=numpy.float32(12), low=9, volume=numpy.int64(7))
    (bar,) = answers.read_bars([odd], CONF)
    assert bar == Bar(DAY, 10.5, 12.0, 9.0, 11.0, 7)
    assert [type(value) for value in bar[:6]] == [date, float, float, float, float, int]
    (symbol,) = answers.read_symbols([Symbol(Text("000001"), Text("name"))], CONF)
    assert (symbol, type(symbol.code), type(symbol.name)) == (Symbol("000001", "name"), str, str)
    for kind in (dict, OrderedDict, LyingDict):
        assert answers.read_day(kind({"000001": odd}), CONF) == {"000001": bar}


@pytest.mark.parametrize(
    ("read", "answer", "conf", "limit"),
    [
        (answers.read_bars, [make_bar()] * 4, Conf(answer_max_bars=3), "3 bars"),
        (answers.read_bars, repeat(make_bar()), Conf(answer_max_bars=3), "3 bars"),
        (answers.read_bars, repeat(make_bar()), Conf(answer_max_mb=1), "2,222 bars"),
        (answers.read_day, {f"{n}": make_bar() for n in range(4)}, Conf(answer_max_bars=3), "3 bars"),
        (answers.read_symbols, repeat(Symbol("000001", "x" * 100_000)), Conf(answer_max_mb=1), "1 MB"),
        (answers.read_answer, Answer([], suspended=[DAY] * 4), Conf(answer_max_bars=3), "3 days"),
        (answers.read_answer, Answer([], notes=["a"] * 4), Conf(answer_max_bars=3), "3 notes"),
        (answers.read_answer, Answer([], notes=["x" * 100_000] * 20), Conf(answer_max_mb=1), "1 MB"),
        (answers.read_left_aside, repeat(LEFT), Conf(answer_max_bars=3), "3 entries left aside"),
        (answers.read_left_aside, repeat(LEFT), Conf(answer_max_mb=1), "1 MB"),
    ],
)
def test_answer_beyond_the_limit_is_cut(read, answer, conf, limit):
    with pytest.raises(Permanent, match=f"larger than {limit}") as raised:
        list(read(answer, conf))
    assert raised.value.code == "answer_too_large"


def test_answer_at_the_limit_is_read():
    assert len(answers.read_bars(iter([make_bar()] * 3), Conf(answer_max_bars=3))) == 3


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        *((None, None), (5, 5.0), ("60", 60.0), (0, None), (-1, None), (float("nan"), None), ("soon", None)),
        *((float("inf"), 31_536_000.0), (1e300, 31_536_000.0)),
    ],
)
def test_error_of_a_source_keeps_its_meaning(retry_after, expected):
    raised = Transient("Not now.", code="throttled", retry_after=retry_after)
    error = answers.to_source_error(raised)
    assert (type(error), str(error), error.code, error.retry_after) == (
        Transient,
        "Not now.",
        "throttled",
        expected,
    )


def test_error_of_a_subclass_keeps_its_kind():
    class NotListed(UnknownStock):
        pass

    error = answers.to_source_error(NotListed("No such stock."))
    assert (type(error), error.code) == (UnknownStock, "unknown_stock")
    assert type(answers.to_source_error(SourceError("?", code="x" * 100))) is SourceError


WRONG = (float("nan"), float("inf"), 2**63, 10**400, numpy.float64(10), numpy.bool_(True), TORN, b"x", 1j)
VALUES = st.sampled_from(
    (None, True, "", "10", Decimal("10.1"), Decimal("NaN"), Decimal("1e999"), DAY, 10, 10.2, -1.0, *WRONG)
)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11), VALUES), max_size=4), st.booleans())
def test_read_bars_can_always_be_validated(changes, is_adjusted):
    bars = [make_bar(day=DAY + timedelta(days=n)) for n in range(4)]
    for row, column, value in changes:
        bars[row] = Bar._make(value if n == column else v for n, v in enumerate(bars[row]))
    request = Request("CN", "600000", DAY, date(2024, 12, 31), "qfq" if is_adjusted else "")
    try:
        read = answers.read_bars(bars, CONF)
    except Permanent:
        return
    result = validation.validate(read, request, validation.Context(today=date(2024, 12, 31)))
    assert len(result.bars) + len(result.refused) == len(bars)
    assert {type(value) for bar in result.bars for value in bar} <= {date, float, int, type(None)}


def test_day_answer_names_suspended_stocks():
    said = answers.read_day(DayAnswer({"000001": make_bar()}, suspended=["000002"]), Conf())
    assert (dict(said), said.suspended) == ({"000001": make_bar()}, {"000002"})
    assert answers.read_day({"000001": make_bar()}, Conf()).suspended == frozenset()
    with pytest.raises(Permanent, match="code is 5, not"):
        answers.read_day(DayAnswer({}, suspended=[5]), Conf())
