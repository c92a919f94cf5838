"""Raw answers: what is kept, how long, and what a replay makes of it without asking anybody."""

import json
import pickle
import socket
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.db.models.functions import Now

from tasks_app import errors, lifecycle, source_settings
from tasks_app.engine import replay
from tasks_app.engine.replay import Scope
from tasks_app.engine.request_queue import RequestQueue
from tasks_app.models import (
    AdjustmentFactor,
    AdjustmentTable,
    Correction,
    DailyBar,
    MarketDay,
    RawAnswer,
    RawAnswerReplay,
    RawContent,
    RecordedCall,
    RecordedStock,
    Series,
)
from tasks_app.quotes import raw_answers, sealed_days
from tasks_app.quotes.deletion import Selection
from tasks_app.sources import raw_answers as recorder, registry
from tasks_app.sources.base import Request
from tasks_app.sources.raw_answers import Exchange, NotRecorded, Recording
from tasks_app.sources.shared_process.source_main import MethodCall, MethodCalls, unpack
from tests.factories import ACTOR, make_task, settle
from tests.fakes.recorded_source import (
    CLOSES,
    DAYS,
    SOURCES,
    TOKEN,
    Told,
    ToldByDay,
    ToldMany,
    with_recorded_sources,
)
from tools.in_process import work

pytestmark = pytest.mark.django_db
SCOPE = Scope("told")


@pytest.fixture(autouse=True)
def conf(settings, monkeypatch):
    settings.COLLECTOR = with_recorded_sources(settings.COLLECTOR, monkeypatch)
    yield settings.COLLECTOR
    registry.forget_sources()


def collect(source="told", **fields):
    span = {"start_date": DAYS[0], "end_date": DAYS[-1], "stock_codes": ("000001",)}
    task = make_task(**{"source": source, **span, **fields})
    work()
    task.refresh_from_db()
    return task


def mend(monkeypatch, lot=100):
    """The parser learns that the vendor counts in lots; from now on nobody may ask the vendor."""
    for kind in SOURCES:
        monkeypatch.setattr(kind, "lot", lot)
        monkeypatch.setattr(kind, "_vendor_says", refuse_to_ask)


def refuse_to_ask(*_):
    raise AssertionError("a replay asks nobody")


def changes(conf, scope=SCOPE):
    return [change for one in replay.replay(scope, conf) for change in one.changes]


def write(conf, scope=SCOPE):
    """Writes, and returns the record."""
    for _ in replay.write(scope, conf, ACTOR):
        continue
    return RawAnswerReplay.objects.last()


def command(*words):
    out = StringIO()
    call_command("sources", "replay", "told", *words, stdout=out)
    return out.getvalue()


# ---------------------------------------------------------------- what is kept


def test_answer_of_a_second_source_is_not_kept():
    """A replay would store the bars that were only compared."""
    task = collect(verify_with=ToldByDay.name)
    assert (task.compared_count, task.uncompared_count) == (len(DAYS), 0)
    assert set(RecordedCall.objects.values_list("source", flat=True)) == {"told"}


def test_bar_leads_to_the_answer_that_it_came_from():
    task = collect()
    call = raw_answers.call_of_bar(DailyBar.objects.first())
    assert (call.source, call.kind, call.first_day, call.last_day) == ("told", "bars", DAYS[0], DAYS[-1])
    (exchange,) = raw_answers.exchanges_of(call)
    assert json.loads(exchange.body)["rows"][0] == {"day": "2024-03-01", "close": 10.0}
    assert list(raw_answers.calls_of_item(task.items.get().pk)) == [call]


def test_no_secret_is_kept():
    collect()
    (exchange,) = raw_answers.exchanges_of(RecordedCall.objects.get())
    assert TOKEN not in exchange.asked + exchange.body.decode()
    assert json.loads(exchange.asked)["code"] == "000001"


@pytest.mark.parametrize(
    "asked",
    [
        "GET https://user:hidden-word@example.com/a?x=1&token=hidden-word",
        "POST https://example.com/a\napi_key=hidden-word&x=1",
        'POST https://example.com/a\n{"password": "hidden-word", "x": 1}',
    ],
)
def test_secret_parameter_is_masked_and_changes_no_match(asked):
    kept = Recording()
    with recorder.recording(kept):
        recorder.record(asked, b"answer", {})
    (exchange,) = kept.exchanges
    assert "hidden-word" not in exchange.asked
    with recorder.replaying([exchange], datetime.now(UTC)):
        assert recorder.replayed(asked.replace("hidden-word", "another")) == exchange


def test_secret_parameter_is_masked_where_the_address_begins_with_a_known_secret(monkeypatch):
    monkeypatch.setattr(source_settings, "_secrets", {})
    source_settings.remember_secret("https://vendor.example/")
    kept = Recording()
    with recorder.recording(kept):
        recorder.record("POST https://vendor.example/a\napi_key=hidden-word&x=1", b"answer", {})
    assert "hidden-word" not in kept.exchanges[0].asked


def test_nothing_is_kept_by_default(settings):
    settings.COLLECTOR = replace(settings.COLLECTOR, raw_answers=())
    collect()
    assert DailyBar.objects.count() == 3
    assert not RecordedCall.objects.exists()


def test_equal_answers_are_stored_once():
    collect()
    collect(force_update=True)
    assert (RecordedCall.objects.count(), RawContent.objects.count()) == (2, 1)


def test_cancelled_task_keeps_no_answer(monkeypatch):
    complete = RequestQueue.complete

    def cancel_first(self, call, **options):
        lifecycle.cancel(self.recorder.task.pk, ACTOR)
        return complete(self, call, **options)

    monkeypatch.setattr(RequestQueue, "complete", cancel_first)
    assert collect().status == "cancelled"
    assert Told.asked
    assert not RecordedCall.objects.exists()


def test_shared_process_passes_the_raw_answer_on(conf):
    request = Request("CN", "000001", DAYS[0], DAYS[-1])
    call = MethodCall("tests.fakes.recorded_source", "Told", "told", conf, "fetch", (request,), True)
    kept = Recording()
    with recorder.recording(kept):
        bars = unpack(pickle.loads(pickle.dumps(MethodCalls().handle(call))))  # noqa: S301
    assert (len(bars), json.loads(kept.exchanges[0].asked)["code"]) == (3, "000001")


def test_day_of_the_market_is_one_call_of_its_stocks(conf, settings, monkeypatch):
    settings.COLLECTOR = conf = replace(conf, by_day_from=2)
    task = collect("told_by_day", stock_codes=("000001", "000002"), start_date=DAYS[-1])
    assert task.status == "completed"
    assert ToldByDay.asked == [{"day": "2024-03-05"}]
    assert (RecordedCall.objects.get().kind, RecordedStock.objects.count()) == ("day", 2)
    mend(monkeypatch)
    found = changes(conf, Scope("told_by_day"))
    assert [(change.code, change.old, change.new) for change in found] == [
        ("000001", 10, 1000),
        ("000002", 10, 1000),
    ]


def test_batch_is_one_call_of_its_stocks(conf, monkeypatch):
    codes = [f"{n:06d}" for n in range(1, 9)]
    monkeypatch.setattr(ToldMany, "vendor", {code: dict(CLOSES) for code in codes})
    collect("told_many", stock_codes=tuple(codes))
    assert RecordedCall.objects.get(kind="batch").stocks.count() > 1
    mend(monkeypatch)
    assert len(changes(conf, Scope("told_many"))) == 24
    assert len(changes(conf, Scope("told_many", codes=tuple(codes[-2:])))) == 6


# ---------------------------------------------------------------- replay


def test_replay_lists_first_and_then_writes(conf, monkeypatch):
    task = collect()
    assert changes(conf) == []
    mend(monkeypatch)
    assert [tuple(change) for change in changes(conf)] == [
        ("CN", "000001", "", day, "volume", 10, 1000) for day in DAYS
    ]
    assert set(DailyBar.objects.values_list("volume", flat=True)) == {10}
    record = write(conf)
    assert (record.stocks, record.corrected, record.added, record.channel) == (1, 3, 0, "command")
    assert record.ended_at
    assert set(DailyBar.objects.values_list("volume", "item")) == {(1000, task.items.get().pk)}
    correction = Correction.objects.first()
    assert (correction.before, correction.after) == ({"volume": 10}, {"volume": 1000})
    assert correction.replay_id == record.pk
    assert changes(conf) == []
    assert raw_answers.call_of_bar(DailyBar.objects.first())
    monkeypatch.setattr(Told, "lot", 1000)
    assert len(changes(conf)) == 3, "what a replay wrote can be replayed again"


def test_replay_brings_the_bars_of_a_stock_that_failed(conf, monkeypatch):
    monkeypatch.setattr(Told, "column", "Close")
    task = collect()
    assert task.items.get().error_code == "columns_changed"
    assert RecordedCall.objects.get().error_code == "columns_changed"
    (failed,) = replay.replay(SCOPE, conf)
    assert [failure.error_code for failure in failed.failures] == ["columns_changed"]
    monkeypatch.setattr(Told, "column", "close")
    mend(monkeypatch, lot=1)
    assert write(conf).added == 3
    series = Series.objects.get()
    assert (series.bars, series.first_day, series.last_day) == (3, DAYS[0], DAYS[-1])
    assert series.covered == [[DAYS[0].isoformat(), DAYS[-1].isoformat()]]


def test_newest_answer_counts(conf, monkeypatch):
    collect()
    Told.vendor["000001"]["2024-03-04"] = 20.0
    collect(force_update=True)
    assert changes(conf) == []
    mend(monkeypatch)
    write(conf)
    bar = DailyBar.objects.get(day=DAYS[1])
    assert (bar.close, bar.volume) == (20.0, 1000)


def test_bar_of_a_later_answer_or_another_source_stays(conf, settings, monkeypatch):
    collect()
    settings.COLLECTOR = replace(conf, raw_answers=())
    Told.vendor["000001"]["2024-03-04"] = 20.0
    collect(force_update=True)
    DailyBar.objects.filter(day=DAYS[1]).update(collected_at=Now() + timedelta(seconds=5))
    DailyBar.objects.filter(day=DAYS[0]).update(source="csv")
    mend(monkeypatch)
    (one,) = replay.replay(SCOPE, conf)
    assert ([change.day for change in one.changes], one.later, one.others) == ([DAYS[2]], 1, 1)


def test_replay_writes_nothing_while_a_task_runs(conf, monkeypatch):
    collect()
    mend(monkeypatch)
    make_task()
    with pytest.raises(errors.TaskAlreadyRunning):
        write(conf)
    assert not RawAnswerReplay.objects.exists()
    assert set(DailyBar.objects.values_list("volume", flat=True)) == {10}


def test_factors_are_replayed(conf, settings, monkeypatch):
    settings.COLLECTOR = conf = replace(conf, adjustment_data=True)
    collect()
    fetched_at = AdjustmentTable.objects.get().fetched_at
    assert changes(conf) == []
    AdjustmentFactor.objects.update(hfq="15")
    mend(monkeypatch, lot=1)
    assert [tuple(change) for change in changes(conf)] == [
        ("CN", "000001", "", date(2024, 3, 4), "hfq", "15", "1.5")
    ]
    assert write(conf).adjustments == 1
    assert AdjustmentFactor.objects.get().hfq == "1.5"
    assert AdjustmentTable.objects.get().fetched_at == fetched_at
    assert changes(conf) == []


def test_scope_of_days_and_markets(conf):
    collect()
    today = datetime.now(UTC).date()
    assert len(list(replay.replay(Scope("told", "CN", since=today), conf))) == 1
    assert not list(replay.replay(Scope("told", "CN", since=today + timedelta(1)), conf))
    assert not list(replay.replay(Scope("told", "HK"), conf))


def test_replay_opens_no_socket():
    with recorder.replaying([], datetime.now(UTC)), socket.socket() as client:
        with pytest.raises(NotRecorded):
            client.connect(("127.0.0.1", 9))
        with pytest.raises(NotRecorded):
            recorder.exchange("anything", refuse_to_ask)
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", 9))


# ---------------------------------------------------------------- the command


def test_command_lists_and_writes_only_when_told(monkeypatch):
    assert "No raw answers" in command()
    collect()
    assert "Nothing changes." in command()
    mend(monkeypatch)
    text = command("--codes", "000001")
    assert "CN 000001 2024-03-01  volume: 10 → 1000" in text
    assert "add --write" in text
    assert not RawAnswerReplay.objects.exists()
    answer = json.loads(command("--write", "--json"))
    assert (answer["found"]["corrected"], answer["written"]["corrected"]) == (3, 3)
    assert answer["found"]["changed_fields"] == {"volume": 3}


def test_command_refuses_an_unknown_source():
    with pytest.raises(CommandError, match="nobody"):
        call_command("sources", "replay", "nobody", stdout=StringIO())


# ---------------------------------------------------------------- bounds


def test_old_answers_are_deleted_and_shared_contents_stay():
    collect()
    collect(force_update=True)
    first, second = RecordedCall.objects.order_by("pk")
    RecordedCall.objects.filter(pk=first.pk).update(recorded_at=F("recorded_at") - timedelta(days=40))
    assert lifecycle.retention.prune_raw_answers(1000, 30) == 1
    assert lifecycle.retention.prune_raw_answers(1000, 30) == 0
    assert (RecordedCall.objects.get().pk, RecordedStock.objects.get().call_id) == (second.pk, second.pk)
    assert RawContent.objects.count() == 1


def test_oldest_answers_are_deleted_beyond_the_size():
    collect()
    Told.vendor["000001"]["2024-03-04"] = 20.0
    collect(force_update=True)
    newest = RecordedCall.objects.last()
    RawContent.objects.update(stored_size=700_000)
    assert lifecycle.retention.prune_raw_answers(1, 30) == 1
    assert RecordedCall.objects.get() == newest
    assert raw_answers.kept_bytes() == 700_000
    RawContent.objects.update(stored_size=1_100_000)
    assert lifecycle.retention.prune_raw_answers(1, 30) == 1
    tables = (RecordedCall, RecordedStock, RawAnswer, RawContent)
    assert not any(model.objects.exists() for model in tables)


def test_deleting_data_deletes_the_raw_answers():
    collect()
    for record in lifecycle.delete_source_data(Selection("told", "CN", DAYS[2], DAYS[2]), ACTOR):
        last = record
    assert (last.bars, last.raw_answers) == (1, 1)
    assert not RawContent.objects.exists()


def test_too_large_call_is_not_kept():
    kept = Recording()
    for size in (recorder.MAX_BYTES, 1):
        kept.add(Exchange("asked", {}, b"", "0" * 64, size))
    assert (kept.exchanges, kept.is_whole) == ([], False)


# ---------------------------------------------------------------- sealed days


def test_replay_unseals_the_days_that_it_changes(conf, monkeypatch):
    collect()
    settle()
    assert sealed_days.sweep(60) == len(DAYS)
    checksums = dict(MarketDay.objects.values_list("day", "checksum"))
    assert write(conf).corrected == 0
    settle()
    assert not MarketDay.objects.filter(sealed_at=None).exists()
    mend(monkeypatch)
    write(conf)
    settle()
    assert set(MarketDay.objects.filter(sealed_at=None).values_list("day", flat=True)) == set(DAYS)
    assert sealed_days.sweep(60) == len(DAYS)
    assert all(row.revision == 2 and row.checksum != checksums[row.day] for row in MarketDay.objects.all())
