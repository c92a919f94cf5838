"""Stock lists of sources and from files: nothing is lost, and truncated lists are refused."""

from dataclasses import replace
from datetime import date

import pytest
from django.core.management import CommandError, call_command

from tasks_app.market import stock_list
from tasks_app.models import Stock, StockList, TaskEvent
from tasks_app.models.tasks import EventKind
from tasks_app.sources.base import Permanent, Symbol, Transient
from tests.factories import make_task
from tests.fakes.recording_source import RecordingSource, with_recording_source
from tools.in_process import work

pytestmark = pytest.mark.django_db
TODAY = date(2024, 6, 28)
MAOTAI = Symbol("600519", "贵州茅台", "SSE", date(2001, 8, 27))


@pytest.fixture(autouse=True)
def recording_source(settings):
    settings.COLLECTOR = with_recording_source(settings.COLLECTOR)


def sync(*symbols, source="recording", **options):
    return stock_list.sync("CN", source, symbols, today=TODAY, **options)


def make_symbols(count):
    return [Symbol(f"{n:06d}", f"stock {n}") for n in range(1, count + 1)]


def sync_name(name, code="600519"):
    """Syncs a list with the stock under this name; returns the stock."""
    sync(Symbol(code, name))
    return Stock.objects.get(code=code)


def test_sync_stores_all_fields_of_a_stock():
    assert vars(sync(MAOTAI)) == {"size": 1, "added": 1, "renamed": 0, "delisted": 0}
    stock = Stock.objects.get()
    assert (stock.name, stock.exchange, stock.listed_on) == ("贵州茅台", "SSE", date(2001, 8, 27))
    row = StockList.objects.get()
    assert (row.market, row.source, row.size) == ("CN", "recording", 1)


def test_sync_adds_new_and_keeps_vanished_stocks():
    sync(*make_symbols(20))
    sync(*make_symbols(21)[1:])
    assert Stock.objects.count() == 21
    assert not Stock.objects.filter(delisted_on__isnull=False).exists()


def test_stock_is_delisted_only_by_a_list():
    sync(*make_symbols(20))
    delisted = replace(make_symbols(1)[0], delisted_on=date(2024, 6, 3))
    assert sync(delisted, *make_symbols(20)[1:]).delisted == 1
    sync(*make_symbols(20))
    assert Stock.objects.get(code="000001").delisted_on == date(2024, 6, 3), "an empty field is no relisting"


def test_renaming_is_recorded_with_its_day():
    sync(MAOTAI)
    assert sync(replace(MAOTAI, name="茅台集团")).renamed == 1
    stock = Stock.objects.get()
    assert (stock.name, stock.former_names) == ("茅台集团", [{"name": "贵州茅台", "until": "2024-06-28"}])


def test_width_spaces_and_marks_are_no_renaming():
    sync(Symbol("600519", "万 科Ａ"))
    for name in ("万科A", "XD万科A", "DR万科"):
        stock = sync_name(name)
        assert (stock.name, stock.former_names) == ("万 科Ａ", [])


def test_mark_of_a_new_listing_is_dropped_silently():
    sync(Symbol("001389", "N广合"))
    stock = sync_name("广合科技", "001389")
    assert (stock.name, stock.former_names) == ("广合科技", [])


def test_empty_fields_overwrite_nothing():
    sync(MAOTAI)
    assert sync_name("").exchange == "SSE"
    assert Stock.objects.get().name == "贵州茅台"


def test_shrunk_list_is_refused_with_both_sizes():
    sync(*make_symbols(100))
    with pytest.raises(Permanent, match=r"89 stocks.* 100") as refused:
        sync(*make_symbols(89))
    assert refused.value.code == "stock_list_shrank"
    assert StockList.objects.get().size == 100
    sync(*make_symbols(90))
    sync(*make_symbols(50), accept_shrink=True)
    assert StockList.objects.get().size == 50


def test_sources_are_measured_separately():
    sync(*make_symbols(100))
    sync(*make_symbols(10), source="growing")
    assert Stock.objects.count() == 100


@pytest.mark.parametrize("symbols", [[], [Symbol("")], [Symbol("60 0000")]])
def test_list_without_valid_codes_is_refused(symbols):
    with pytest.raises(Permanent):
        sync(*symbols)
    assert not Stock.objects.exists()


def test_interrupted_sync_is_repeated_whole(monkeypatch):
    monkeypatch.setattr(stock_list, "BATCH", 2)
    renamed = sync_name("茅台")
    symbols = [*make_symbols(3), MAOTAI]

    class Interrupted(Exception):
        pass

    def interrupt() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        sync(*symbols, source="other", after_batch=interrupt)
    assert set(Stock.objects.values_list("code", flat=True)) == {"000001", "000002", renamed.code}
    assert not StockList.objects.filter(source="other").exists(), "the list was not read to its end"
    batches = []
    result = sync(*symbols, source="other", after_batch=lambda: batches.append(Stock.objects.count()))
    assert vars(result) == {"size": 4, "added": 1, "renamed": 1, "delisted": 0}
    assert batches == [3, 4]
    assert StockList.objects.get(source="other").size == 4
    assert Stock.objects.get(code="600519").former_names == [{"name": "茅台", "until": "2024-06-28"}]
    assert sync(*symbols, source="other").renamed == 0


def test_fresh_list_is_not_requested_again(settings):
    RecordingSource.stock_list = make_symbols(3)
    for _ in range(2):
        task = run_market_task()
        assert (task.total_stocks, RecordingSource.list_requests) == (3, 1)
    settings.COLLECTOR = replace(settings.COLLECTOR, list_max_age=0.0)
    run_market_task()
    assert RecordingSource.list_requests == 2


def test_uncached_list_is_requested_again(settings):
    RecordingSource.stock_list = make_symbols(3)
    run_market_task()
    stock_list.cache.delete("stock-list:CN:recording")
    run_market_task()
    assert RecordingSource.list_requests == 2


@pytest.mark.parametrize("problem", ["truncated", "unavailable"])
def test_unavailable_list_falls_back_to_the_stored(settings, problem):
    settings.COLLECTOR = replace(settings.COLLECTOR, list_max_age=0.0)
    RecordingSource.stock_list = make_symbols(20)
    run_market_task()
    if problem == "truncated":
        RecordingSource.stock_list = make_symbols(10)
    else:
        RecordingSource.list_error = Transient("The list's server is away.")
    task = run_market_task()
    assert task.total_stocks == 20
    params = TaskEvent.objects.get(task=task, kind=EventKind.WARNED).params
    assert (params["code"], params["stocks"]) == ("stock_list_kept", "20")
    assert ("20" if problem == "truncated" else "away") in params["message"]


def run_market_task():
    task = make_task(source="recording", market="CN", stock_codes=None)
    work()
    task.refresh_from_db()
    return task


# The command.


def run_stocks(capsys, *arguments):
    call_command("stocks", *arguments)
    return capsys.readouterr().out


def write_csv(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "stocks.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_command_syncs_a_market(capsys):
    RecordingSource.stock_list = [MAOTAI]
    assert "new: 1" in run_stocks(capsys, "sync", "--market", "CN", "--source", "recording")
    assert Stock.objects.get().name == "贵州茅台"


def test_command_refuses_a_shrunk_list(capsys):
    sync(*make_symbols(100))
    RecordingSource.stock_list = make_symbols(10)
    with pytest.raises(CommandError, match=r"10 stocks.*100.*--accept-shrink"):
        run_stocks(capsys, "sync", "--market", "CN", "--source", "recording")
    assert "10" in run_stocks(capsys, "sync", "--market", "CN", "--source", "recording", "--accept-shrink")


@pytest.mark.parametrize(("market", "source"), [("CN", "nowhere"), ("CN", "sample")])
def test_command_names_an_unsuitable_source(market, source):
    with pytest.raises(CommandError, match=source):
        call_command("stocks", "sync", "--market", market, "--source", source)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_kind_of_sheet_with_other_delimiters(tmp_path, capsys, delimiter):
    text = "code,name\n600000,Example\n".replace(",", delimiter)
    run_stocks(capsys, "import", write_csv(tmp_path, text), "--market", "CN")
    assert Stock.objects.get().name == "Example"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_file_is_imported_in_utf8_and_gbk(tmp_path, capsys, encoding):
    lines = ["代码,名称,交易所,上市日期,退市日期", "600519,贵州茅台,SSE,20010827,"]
    text = "\n".join([*lines, "600001,邯郸钢铁,SSE,1998-01-22,2009-12-29"])
    run_stocks(capsys, "import", write_csv(tmp_path, text, encoding), "--market", "cn")
    stock = Stock.objects.get(code="600001")
    assert (stock.name, stock.listed_on, stock.delisted_on) == (
        "邯郸钢铁",
        date(1998, 1, 22),
        date(2009, 12, 29),
    )


def test_import_reports_lines_and_stores_nothing(tmp_path, capsys):
    text = "code,name,exchange,listed_on\n600519,a,,\n6005 19,b,,\n600520,c,,soon\n"
    with pytest.raises(CommandError) as refused:
        run_stocks(capsys, "import", write_csv(tmp_path, text), "--market", "CN")
    assert "line 3: “6005 19” is not a stock code" in str(refused.value)
    assert "line 4: “soon” is not a date" in str(refused.value)
    assert not Stock.objects.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("name\nx\n", "line 1: no column for code"),
        ("code\n", "no line"),
        ("code\n\0\xff", "neither UTF-8 nor GBK"),
    ],
)
def test_malformed_file_is_refused(tmp_path, capsys, text, message):
    with pytest.raises(CommandError, match=message):
        run_stocks(capsys, "import", write_csv(tmp_path, text), "--market", "CN")


def test_missing_file_is_reported(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("stocks", "import", str(tmp_path / "none.csv"), "--market", "CN")


def test_lost_cache_fails_no_sync(settings):
    settings.CACHES = {"default": {"BACKEND": "tests.fakes.broken_cache.BrokenCache"}}
    sync(*make_symbols(2))
    assert stock_list.fresh_codes("CN", "recording", 60.0) is None
    assert stock_list.stored_codes("CN", "recording") == ["000001", "000002"]
