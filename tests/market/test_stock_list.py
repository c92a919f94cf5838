"""The stocks of a market, from lists of sources and from files: nothing gets lost, cut lists are refused."""

from dataclasses import replace
from datetime import date

import pytest
from django.core.management import CommandError, call_command

from tasks_app.market import stock_list
from tasks_app.models import Stock, StockList, TaskEvent
from tasks_app.models.tasks import EventKind
from tasks_app.sources.base import Permanent, Symbol, Transient
from tests.factories import make_task
from tests.fakes.recording_source import Ledger, ledger_conf
from tools.in_process import work

pytestmark = pytest.mark.django_db
TODAY = date(2024, 6, 28)
MAOTAI = Symbol("600519", "贵州茅台", "SSE", date(2001, 8, 27))


@pytest.fixture(autouse=True)
def ledger(settings):
    settings.COLLECTOR = ledger_conf(settings.COLLECTOR)


def store(*symbols, source="ledger", **options):
    return stock_list.sync("CN", source, symbols, today=TODAY, **options)


def numbered(count):
    return [Symbol(f"{n:06d}", f"stock {n}") for n in range(1, count + 1)]


def named(name, code="600519"):
    """The stock after a list has it under this name."""
    store(Symbol(code, name))
    return Stock.objects.get(code=code)


def test_a_list_brings_code_name_exchange_and_listing():
    assert vars(store(MAOTAI)) == {"size": 1, "added": 1, "renamed": 0, "delisted": 0}
    stock = Stock.objects.get()
    assert (stock.name, stock.exchange, stock.listed_on) == ("贵州茅台", "SSE", date(2001, 8, 27))
    row = StockList.objects.get()
    assert (row.market, row.source, row.size) == ("CN", "ledger", 1)


def test_a_new_listing_is_added_and_a_stock_that_vanished_is_kept():
    store(*numbered(20))
    store(*numbered(21)[1:])
    assert Stock.objects.count() == 21
    assert not Stock.objects.filter(delisted_on__isnull=False).exists()


def test_a_stock_is_delisted_when_the_list_says_so():
    store(*numbered(20))
    gone = replace(numbered(1)[0], delisted_on=date(2024, 6, 3))
    assert store(gone, *numbered(20)[1:]).delisted == 1
    store(*numbered(20))
    assert Stock.objects.get(code="000001").delisted_on == date(2024, 6, 3), "silence is no relisting"


def test_a_renaming_is_recorded_with_its_day():
    store(MAOTAI)
    assert store(replace(MAOTAI, name="茅台集团")).renamed == 1
    stock = Stock.objects.get()
    assert (stock.name, stock.former_names) == ("茅台集团", [{"name": "贵州茅台", "until": "2024-06-28"}])


def test_width_blanks_and_ex_dividend_marks_are_no_renaming():
    store(Symbol("600519", "万 科Ａ"))
    for name in ("万科A", "XD万科A", "DR万科"):
        stock = named(name)
        assert (stock.name, stock.former_names) == ("万 科Ａ", [])


def test_a_newcomer_s_mark_goes_without_a_record():
    store(Symbol("001389", "N广合"))
    stock = named("广合科技", "001389")
    assert (stock.name, stock.former_names) == ("广合科技", [])


def test_what_a_list_leaves_open_does_not_overwrite_what_is_known():
    store(MAOTAI)
    assert named("").exchange == "SSE"
    assert Stock.objects.get().name == "贵州茅台"


def test_a_list_over_a_tenth_shorter_is_refused_and_names_both_sizes():
    store(*numbered(100))
    with pytest.raises(Permanent, match=r"89 stocks.* 100") as refused:
        store(*numbered(89))
    assert refused.value.code == "stock_list_shrank"
    assert StockList.objects.get().size == 100
    store(*numbered(90))
    store(*numbered(50), accept_shrink=True)
    assert StockList.objects.get().size == 50


def test_lists_of_different_sources_are_measured_by_themselves():
    store(*numbered(100))
    store(*numbered(10), source="folder")
    assert Stock.objects.count() == 100


@pytest.mark.parametrize("symbols", [[], [Symbol("")], [Symbol("60 0000")]])
def test_a_list_that_is_empty_or_holds_no_codes_is_refused(symbols):
    with pytest.raises(Permanent):
        store(*symbols)
    assert not Stock.objects.exists()


def test_a_task_goes_by_a_fresh_list_instead_of_asking_again(settings):
    Ledger.listed = numbered(3)
    for _ in range(2):
        task = plan()
        assert (task.total_stocks, Ledger.lists_asked) == (3, 1)
    settings.COLLECTOR = replace(settings.COLLECTOR, list_max_age=0.0)
    plan()
    assert Ledger.lists_asked == 2


def test_a_fresh_list_that_the_cache_has_lost_is_asked_for_again(settings):
    Ledger.listed = numbered(3)
    plan()
    stock_list.cache.delete("stock-list:CN:ledger")
    plan()
    assert Ledger.lists_asked == 2


@pytest.mark.parametrize("how", ["cut", "away"])
def test_a_list_that_can_not_be_had_is_taken_as_stored_with_a_warning(settings, how):
    settings.COLLECTOR = replace(settings.COLLECTOR, list_max_age=0.0)
    Ledger.listed = numbered(20)
    plan()
    if how == "cut":
        Ledger.listed = numbered(10)
    else:
        Ledger.fault = Transient("The list's server is away.")
    task = plan()
    assert task.total_stocks == 20
    params = TaskEvent.objects.get(task=task, kind=EventKind.WARNED).params
    assert (params["code"], params["stocks"]) == ("stock_list_kept", "20")
    assert ("20" if how == "cut" else "away") in params["message"]


def plan():
    task = make_task(source="ledger", market="CN", stock_codes=None)
    work()
    task.refresh_from_db()
    return task


# The command.


def run(capsys, *arguments):
    call_command("stocks", *arguments)
    return capsys.readouterr().out


def sheet(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "stocks.csv"
    path.write_bytes(text.encode(encoding))
    return str(path)


def test_the_command_synchronises_a_market(capsys):
    Ledger.listed = [MAOTAI]
    assert "new: 1" in run(capsys, "sync", "--market", "CN", "--source", "ledger")
    assert Stock.objects.get().name == "贵州茅台"


def test_the_command_refuses_a_cut_list_unless_told_otherwise(capsys):
    store(*numbered(100))
    Ledger.listed = numbered(10)
    with pytest.raises(CommandError, match=r"10 stocks.*100.*--accept-shrink"):
        run(capsys, "sync", "--market", "CN", "--source", "ledger")
    assert "10" in run(capsys, "sync", "--market", "CN", "--source", "ledger", "--accept-shrink")


@pytest.mark.parametrize(("market", "source"), [("CN", "nowhere"), ("CN", "sample")])
def test_the_command_names_a_source_that_does_not_fit(market, source):
    with pytest.raises(CommandError, match=source):
        call_command("stocks", "sync", "--market", market, "--source", source)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_a_file_is_imported_in_utf8_and_gbk(tmp_path, capsys, encoding):
    lines = ["代码,名称,交易所,上市日期,退市日期", "600519,贵州茅台,SSE,20010827,"]
    text = "\n".join([*lines, "600001,邯郸钢铁,SSE,1998-01-22,2009-12-29"])
    run(capsys, "import", sheet(tmp_path, text, encoding), "--market", "cn")
    stock = Stock.objects.get(code="600001")
    assert (stock.name, stock.listed_on, stock.delisted_on) == (
        "邯郸钢铁",
        date(1998, 1, 22),
        date(2009, 12, 29),
    )


def test_mistakes_in_a_file_are_named_by_line_and_nothing_is_stored(tmp_path, capsys):
    text = "code,name,exchange,listed_on\n600519,a,,\n6005 19,b,,\n600520,c,,soon\n"
    with pytest.raises(CommandError) as refused:
        run(capsys, "import", sheet(tmp_path, text), "--market", "CN")
    assert "line 3: “6005 19” is not a stock code" in str(refused.value)
    assert "line 4: “soon” is not a date" in str(refused.value)
    assert not Stock.objects.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("name\nx\n", "line 1: no column for code"),
        ("code\n", "no line"),
        ("code\n\0\xff", "neither UTF-8 nor GBK"),
    ],
)
def test_a_file_that_is_no_list_is_told_so(tmp_path, capsys, text, said):
    with pytest.raises(CommandError, match=said):
        run(capsys, "import", sheet(tmp_path, text), "--market", "CN")


def test_a_file_that_is_not_there_is_told_so(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("stocks", "import", str(tmp_path / "none.csv"), "--market", "CN")
