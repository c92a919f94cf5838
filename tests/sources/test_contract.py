"""Every built-in source keeps the contract of tasks_app.sources.base; no database, no real sleep."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import date, timedelta
from importlib.util import find_spec

import pytest

from tasks_app.conf import Conf
from tasks_app.sources import registry
from tasks_app.sources.base import Bar, Permanent, Request, Source, UnknownStock
from tasks_app.sources.csv_folder.source import CsvSource
from tasks_app.sources.sample import SampleSource
from tests.fakes import (
    a_share_hosts,
    baostock_server as baostock,
    tiingo_server,
    tushare_server,
    yahoo_server,
)
from tests.fakes.eastmoney_server import LAST, FakeEastmoney, listings, run_server
from tests.sources.factories import assert_valid, make_request, make_simulated

pytestmark = pytest.mark.xdist_group("clients")  # the tests share servers and clients
DATES = {
    "sample": (date(2012, 6, 1), date(2012, 9, 30)),
    "simulated": (date(2024, 1, 1), date(2024, 6, 30)),
    "akshare": (date(2024, 1, 1), date(2024, 6, 30)),
    "baostock": (date(2024, 1, 1), date(2024, 6, 30)),
    "tushare": (date(2024, 1, 1), date(2024, 6, 30)),
    "tencent": (date(2024, 1, 1), date(2024, 6, 30)),
    "sina": (date(2024, 1, 1), date(2024, 6, 30)),
    "yfinance": (date(2024, 1, 1), date(2024, 6, 30)),
    "tiingo": (date(2024, 1, 1), date(2024, 6, 30)),
    "csv": (date(2024, 1, 1), date(2024, 6, 30)),
}
SERVED = [("sample", "US"), ("simulated", "SIM")]


MAKERS: dict[str, Callable[[], Source]] = {
    "sample": SampleSource,
    "simulated": make_simulated,
}
if find_spec("akshare"):
    MAKERS["akshare"] = registry.load(registry.BUILT_IN["akshare"])
    SERVED += [("akshare", "CN"), ("akshare", "HK"), ("akshare", "US")]
    for name in ("tencent", "sina"):
        MAKERS[name] = registry.load(registry.BUILT_IN[name])
        SERVED += [(name, "CN")]


# Sources that need a server or a folder, and what leads clients to their servers, made by the fixtures below.
PREPARED: dict[str, Source] = {}
ENVIRONMENTS: dict[str, dict[str, str]] = {}
if find_spec("baostock"):
    MAKERS["baostock"] = lambda: PREPARED["baostock"]
    SERVED += [("baostock", "CN")]
if find_spec("yfinance"):
    MAKERS["yfinance"] = registry.load(registry.BUILT_IN["yfinance"])
    SERVED += [("yfinance", "CN"), ("yfinance", "HK"), ("yfinance", "US")]
if find_spec("requests"):
    MAKERS["tiingo"] = lambda: PREPARED["tiingo"]
    SERVED += [("tiingo", "US")]
if find_spec("tushare"):
    MAKERS["tushare"] = lambda: PREPARED["tushare"]
    SERVED += [("tushare", "CN")]
MAKERS["csv"] = lambda: PREPARED["csv"]
SERVED += [("csv", "CN"), ("csv", "HK"), ("csv", "US")]
# Further markets of sources that treat them alike, and a source that reads the same bars from another host.
FURTHER = {
    ("akshare", "HK"),
    ("yfinance", "CN"),
    ("yfinance", "HK"),
    ("csv", "HK"),
    ("csv", "US"),
    ("sina", "CN"),
}


def each_but(further: set[tuple[str, str]]) -> pytest.MarkDecorator:
    """Runs a test with every source and market, but with these `further` ones in `make soak` only."""
    return pytest.mark.parametrize(
        ("name", "market"),
        [pytest.param(*pair, marks=pytest.mark.soak if pair in further else ()) for pair in SERVED],
    )


each_served = each_but(FURTHER)
# Those that hold something between two requests, or another client's code.
each_client = each_but(FURTHER | {("tencent", "CN"), ("akshare", "US"), ("sample", "US")})
UNUSED = ("NOSUCH", "999999", "", "\uff11", "SIM-1", "0_0001", "+00001", "00")


@pytest.fixture(scope="module", autouse=True)
def baostock_server() -> Iterator[None]:
    """Runs a fake BaoStock server, without the stock that was delisted before the requested dates."""
    if not find_spec("baostock"):
        yield
        return
    from tasks_app.sources.baostock.source import BaostockSource

    listed = {listing.code: listing for listing in baostock.LISTINGS if not listing.out}
    with (
        baostock.run_server(listings=listed) as server,
        closing(BaostockSource(server.address, timeout=60)) as source,
    ):
        PREPARED["baostock"] = source
        yield


@pytest.fixture(scope="module", autouse=True)
def csv_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Writes a folder of files with bars of the simulated exchange."""
    folder = tmp_path_factory.mktemp("csv")
    simulated = make_simulated(bars=120)
    codes = {"CN": ["000001", "300001", "600000"], "HK": ["00001", "00002"], "US": ["UA", "UB"]}
    for market, code in [(name, code) for name in codes for code in codes[name]]:
        (folder / market).mkdir(exist_ok=True)
        bars = simulated.fetch(make_request({"UA": "SIM0001", "UB": "SIM0002"}.get(code, code)))
        rows = [",".join(Bar._fields[:12]), *(",".join(map(str, bar[:12])) for bar in bars)]
        (folder / market / f"{code}.csv").write_text("\n".join(rows))
    PREPARED["csv"] = CsvSource(folder)


@pytest.fixture(scope="module", autouse=True)
def web_servers() -> Iterator[None]:
    """Runs the fake servers of vendors on the web, which list few stocks, since each is fetched."""
    few = {
        name: listing
        for name, listing in listings().items()
        if not listing.code.startswith("SIM") and listing.listed <= LAST
    }
    fewest = {
        name: few[name] for name in ("1.600000", "0.920002", "0.300750", "116.00700", "105.AAPL", "106.BRK_B")
    }
    boards = fewest | {name: few[name] for name in ("0.000001", "1.688001")}  # each exchange's list has some
    with ExitStack() as servers:
        ENVIRONMENTS["akshare"] = servers.enter_context(run_server(FakeEastmoney(few))).environment
        ENVIRONMENTS["tencent"] = servers.enter_context(
            a_share_hosts.run_server(FakeEastmoney(boards))
        ).environment
        ENVIRONMENTS["sina"] = ENVIRONMENTS["tencent"]
        ENVIRONMENTS["yfinance"] = servers.enter_context(
            yahoo_server.run_server(yahoo_server.FakeYahoo(fewest))
        ).environment
        if find_spec("requests"):
            from tasks_app.sources.tiingo import TiingoSource

            tiingo = servers.enter_context(tiingo_server.run_server(tiingo_server.FakeTiingo(fewest)))
            ENVIRONMENTS["tiingo"] = tiingo.environment
            PREPARED["tiingo"] = TiingoSource(tiingo_server.TOKEN, 60.0)
        if find_spec("tushare"):
            from tasks_app.sources.tushare.source import TushareSource

            vendor = servers.enter_context(tushare_server.run_server(tushare_server.FakeTushare(fewest)))
            ENVIRONMENTS["tushare"] = vendor.environment
            PREPARED["tushare"] = TushareSource(tushare_server.TOKEN)
        yield


@pytest.fixture(autouse=True)
def lead_to_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends the requests of the test's source to its server."""
    parameters = getattr(request.node, "callspec", None)
    for name, value in ENVIRONMENTS.get(parameters.params.get("name", "") if parameters else "", {}).items():
        monkeypatch.setenv(name, value)


def request_for(name: str, market: str, code: str) -> Request:
    start, end = DATES[name]
    return Request(market, code, start, end)


def test_contract_covers_every_built_in_source() -> None:
    assert set(MAKERS) == set(registry.BUILT_IN)
    for name, path in registry.BUILT_IN.items():
        assert registry.load(path).name == name


@pytest.mark.parametrize("name", MAKERS)
def test_source_fits_the_protocol(name: str) -> None:
    source = registry.load(registry.BUILT_IN[name]).from_conf(Conf())
    assert isinstance(source, Source)
    assert source.name == name
    assert {market for served, market in SERVED if served == name} == set(source.markets)
    assert "" in source.adjusts


@each_served
def test_listed_codes_are_unique_and_well_formed(name: str, market: str) -> None:
    symbols = MAKERS[name]().symbols(market)
    assert len({symbol.code for symbol in symbols}) == len(symbols) > 0
    for symbol in symbols:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,16}", symbol.code)
        assert symbol.name or name in ("csv", "tiingo")  # whose lists have none
        assert symbol.exchange or (name, market) == ("csv", "US")


@each_served
def test_bars_are_ascending_within_the_request_finite_and_consistent(name: str, market: str) -> None:
    source = MAKERS[name]()
    for symbol in source.symbols(market):
        request = request_for(name, market, symbol.code)
        bars = source.fetch(request)
        days = [bar.day for bar in bars]
        assert days
        assert days == sorted(set(days))
        assert request.start <= days[0] <= days[-1] <= request.end
        for bar in bars:
            assert_valid(bar)


@each_client
def test_same_request_gets_the_same_answer(name: str, market: str) -> None:
    one, other = MAKERS[name](), MAKERS[name]()
    assert one.symbols(market) == other.symbols(market)
    request = request_for(name, market, one.symbols(market)[-1].code)
    assert one.fetch(request) == one.fetch(request) == other.fetch(request)


@each_served
def test_narrow_request_is_part_of_the_wide_one(name: str, market: str) -> None:
    source = MAKERS[name]()
    request = request_for(name, market, source.symbols(market)[0].code)
    wide = source.fetch(request)
    assert list(source.fetch(Request(market, request.code, wide[5].day, wide[9].day))) == list(wide[5:10])
    assert list(source.fetch(Request(market, request.code, wide[5].day, wide[5].day))) == [wide[5]]


@each_served
def test_request_without_sessions_is_empty(name: str, market: str) -> None:
    source = MAKERS[name]()
    code = source.symbols(market)[0].code
    saturday = date(2012, 6, 9)
    assert not source.fetch(Request(market, code, saturday, saturday + timedelta(days=1)))
    assert not source.fetch(Request(market, code, date(2100, 1, 1), date(2100, 12, 31)))


@each_served
def test_unused_code_is_an_unknown_stock(name: str, market: str) -> None:
    source = MAKERS[name]()
    for code in UNUSED:
        with pytest.raises(UnknownStock, match=r"\w.*\.$") as caught:
            source.fetch(request_for(name, market, code))
        assert caught.value.code == "unknown_stock", code


@pytest.mark.parametrize("name", MAKERS)
def test_list_of_an_unserved_market_is_refused(name: str) -> None:
    with pytest.raises(Permanent):
        MAKERS[name]().symbols("XX")


@each_client
def test_threads_may_fetch_at_once(name: str, market: str) -> None:
    source = MAKERS[name]()
    wide = request_for(name, market, source.symbols(market)[0].code)
    request = replace(wide, end=source.fetch(wide)[9].day)  # few bars: more would only take time
    alone = source.fetch(request)
    assert 10 <= len(alone) <= 40
    with ThreadPoolExecutor(4) as threads:
        assert all(bars == alone for bars in threads.map(source.fetch, [request] * 4))
