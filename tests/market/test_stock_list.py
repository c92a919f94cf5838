"""Stock lists of sources and from files: nothing is lost, and truncated lists are refused."""

from dataclasses import replace
from datetime import date

import pytest
from django.core.management import CommandError, call_command

from tasks_app.market import stock_imports, stock_list
from tasks_app.models import CodeChange, Series, Stock, StockImport, StockList, TaskEvent
from tasks_app.models.events import EventKind
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
    assert sync(MAOTAI) == stock_list.SyncResult(1, added=1, codes=["600519"])
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
    listed = ["000001", "000002", "000003", "600519"]
    assert result == stock_list.SyncResult(4, added=1, renamed=1, codes=listed)
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


def test_list_from_before_its_codes_were_kept_is_requested_again(settings):
    RecordingSource.stock_list = make_symbols(3)
    run_market_task()
    StockList.objects.update(codes=None)
    run_market_task()
    assert RecordingSource.list_requests == 2


@pytest.mark.parametrize("problem", ["truncated", "unavailable"])
def test_unavailable_list_falls_back_to_the_stored(settings, problem):
    settings.COLLECTOR = replace(settings.COLLECTOR, list_max_age=0.0, backoff=0.01)
    RecordingSource.stock_list = make_symbols(4)
    run_market_task()
    if problem == "truncated":
        RecordingSource.stock_list = make_symbols(2)
    else:
        RecordingSource.list_error = Transient("The list's server is away.")
    task = run_market_task()
    assert task.total_stocks == 4
    params = TaskEvent.objects.filter(task=task, kind=EventKind.WARNED).latest("pk").params
    assert (params["code"], params["stocks"]) == ("stock_list_kept", "4")
    assert ("had 4." if problem == "truncated" else "away") in params["message"]


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


# Lists of vendors and spreadsheets, and how a wrong import is undone.

TUSHARE = (
    "ts_code,symbol,name,area,industry,list_date\n"
    "000002.SZ,000002,Example A,x,y,19910129\n600000.SH,600000,Example B,x,y,19991110\n"
)
BAOSTOCK = (
    "code,code_name,ipoDate,outDate,type,status\n"
    "sh.600000,Example B,1999-11-10,,1,1\nsh.000001,An index,1991-07-15,,2,1\nsz.399001,Another,,,2,1\n"
)


def stored():
    return list(Stock.objects.order_by("code").values_list("code", "name", "listed_on"))


def import_csv(tmp_path, capsys, text, *options, market="CN"):
    return run_stocks(capsys, "import", write_csv(tmp_path, text), "--market", market, *options)


def test_kind_of_vendor_list_is_stored_by_canonical_codes(tmp_path, capsys):
    import_csv(tmp_path, capsys, TUSHARE)
    example_b = ("600000", "Example B", date(1999, 11, 10))
    assert stored() == [("000002", "Example A", date(1991, 1, 29)), example_b]
    printed = import_csv(tmp_path, capsys, BAOSTOCK, "--accept-shrink")
    assert stored()[1:] == [example_b]
    assert "index's or a bond's: 2" in printed


def test_kind_of_spreadsheet_number_is_asked_about(tmp_path, capsys):
    text = "code,name\n2,Example A\n600000,Example B\n"
    with pytest.raises(CommandError, match=r"line 2: “2” is too short .* 000002, add --pad-codes"):
        import_csv(tmp_path, capsys, text)
    assert not Stock.objects.exists()
    import_csv(tmp_path, capsys, text, "--pad-codes")
    assert [code for code, *_ in stored()] == ["000002", "600000"]


@pytest.mark.parametrize("code", ["AAPL", "60000", "00700.HK", "0000001", "''"])
def test_kind_of_foreign_code_is_refused_with_its_line(tmp_path, capsys, code):
    with pytest.raises(CommandError, match="line 2: "):
        import_csv(tmp_path, capsys, f"code\n{code}\n")
    assert not Stock.objects.exists()


def test_hong_kong_list_needs_no_padding(tmp_path, capsys):
    import_csv(tmp_path, capsys, "code,name\n700,Tencent\n0005.HK,HSBC\n", market="HK")
    assert [code for code, *_ in stored()] == ["00005", "00700"]


def test_undo_removes_what_an_import_added_and_restores_what_it_changed(tmp_path, capsys):
    sync(MAOTAI)
    before = stored()
    import_csv(tmp_path, capsys, "code,name\n600519,Wrong\n600000,Example\n")
    assert [name for _, name, _ in stored()] == ["Example", "Wrong"]
    number = StockImport.objects.get().pk
    assert "stocks.csv  2 stocks\n" in run_stocks(capsys, "undo")
    printed = run_stocks(capsys, "undo", str(number))
    assert "removed: 1; with their earlier values: 1; unchanged: 0" in printed
    assert stored() == before
    assert Stock.objects.get().former_names == []
    assert run_stocks(capsys, "undo").endswith("undone\n")
    with pytest.raises(CommandError, match=f"no import {number}"):
        run_stocks(capsys, "undo", str(number))


def test_undo_keeps_stocks_with_bars_listed_or_changed_since(tmp_path, capsys):
    import_csv(tmp_path, capsys, "code,name\n600000,a\n600001,b\n600002,c\n600003,d\n")
    Series.objects.create(market="CN", symbol="600000")
    sync(Symbol("600001"))
    Stock.objects.filter(code="600002").update(name="renamed")
    printed = run_stocks(capsys, "undo", str(StockImport.objects.get().pk))
    assert "removed: 1; with their earlier values: 0; unchanged: 3" in printed
    assert [code for code, *_ in stored()] == ["600000", "600001", "600002"]


def test_interrupted_import_can_be_undone(tmp_path, monkeypatch):
    monkeypatch.setattr(stock_list, "BATCH", 2)
    merge, calls = stock_list._merge, []

    def fail_at_the_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError
        return merge(*arguments)

    monkeypatch.setattr(stock_list, "_merge", fail_at_the_second)
    with pytest.raises(RuntimeError):
        stock_imports.import_stocks("CN", "stocks.csv", make_symbols(3), today=TODAY)
    assert Stock.objects.count() == 2
    assert stock_imports.undo(StockImport.objects.get().pk).removed == 2
    assert not Stock.objects.exists()


# Changes of codes.


def test_changes_are_read_from_a_vendors_table(tmp_path, capsys):
    table = "name,o_code,n_code,list_date\n方大新材,838163.BJ,920163.BJ,20200727\n"
    arguments = "changes", write_csv(tmp_path, table), "--market", "CN"
    with pytest.raises(CommandError, match="line 2: the day of the change is missing"):
        run_stocks(capsys, *arguments)
    assert "stored: 1" in run_stocks(capsys, *arguments, "--on", "2025-10-09")
    assert run_stocks(capsys, "changes", "--market", "CN") == "838163 → 920163  2025-10-09\n"
    run_stocks(capsys, *arguments, "--on", "2025-10-10")
    assert run_stocks(capsys, "changes", "--market", "CN") == "838163 → 920163  2025-10-10\n"
    assert run_stocks(capsys, "changes", "--market", "CN", "--remove", "838163.BJ") == ""


def test_two_codes_can_not_become_the_same(tmp_path, capsys):
    table = "old_code,new_code,changed_on\n830001,920001,2025-10-09\n430001,920001,2025-10-09\n"
    with pytest.raises(CommandError, match="920001 can't follow 430001"):
        run_stocks(capsys, "changes", write_csv(tmp_path, table), "--market", "CN")
    assert not CodeChange.objects.filter(market="CN").exists()


def test_aliases_are_named_listed_and_removed(capsys):
    alias = ("alias", "--market", "US")
    assert run_stocks(capsys, *alias, "brkb", "BRK-B") == "BRKB = BRK.B\n"
    assert run_stocks(capsys, *alias, "BRKB") == ""
