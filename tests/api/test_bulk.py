"""The bars of many stocks: formats, parameters, ETags, limits; they are those of the single reads."""

import csv
import gzip
import io
import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks_app.models import CodeAlias, CodeChange, Series, Stock
from tasks_app.quotes import adjustment_data
from tasks_app.quotes.bulk_read import batches, formats, known_bars, panel, stored_bars
from tasks_app.quotes.bulk_read.query import COLUMNS, PANEL_COLUMNS
from tasks_app.quotes.series import bars_of
from tasks_app.sources.base import CorporateAction, CorporateActions, Factor
from tests.api.factories import BASE, client_of, make_bars, make_stock
from tests.factories import make_user, settle

pytestmark = pytest.mark.django_db
URL = f"{BASE}/bars"


@pytest.fixture
def client():
    return client_of(make_user("reader", "bulk_read"))


def make_series(market, code, count, first=date(2024, 1, 1), adjust="", **fields):
    """Creates a stock with bars and their series."""
    stock = make_stock(market, code)
    make_bars(stock, count, first, adjust=adjust, **fields)
    count_series(market, code, adjust)
    return stock


def count_series(market, code, adjust=""):
    days = sorted(bars_of(market, code, adjust).values_list("day", flat=True))
    Series.objects.create(
        market=market, symbol=code, adjust=adjust, bars=len(days), first_day=days[0], last_day=days[-1]
    )


def body_of(response):
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def table_of(response):
    return pa.ipc.open_stream(body_of(response)).read_all()


def rows_of(client, query="", market="US"):
    return table_of(client.get(f"{URL}?format=arrow&market={market}&{query}")).to_pylist()


def test_bars_come_in_the_order_of_code_and_day(client):
    make_series("US", "B", 2)
    make_series("US", "A", 3, close=1.2345678901234567, amount=2.5)
    make_series("US", "C", 1, date(2023, 1, 1))
    make_stock("US", "EMPTY")
    table = table_of(client.get(f"{URL}?format=arrow&market=us&start=2024-01-01"))
    assert table.schema.names == ["code", "day", "open", "high", "low", "close", "volume", "amount"]
    assert [str(field.type) for field in table.schema][:3] == ["string", "date32[day]", "double"]
    assert [(row["code"], row["day"].day) for row in table.to_pylist()] == [
        ("A", 1), ("A", 2), ("A", 3), ("B", 1), ("B", 2)
    ]  # fmt: skip
    assert table.to_pylist()[0] | {"amount": 2.5} == table.to_pylist()[0]
    assert (table["close"][0].as_py(), table["amount"][3].as_py()) == (1.2345678901234567, None)
    told = table.schema.metadata
    assert (told[b"market"], told[b"adjust"], told[b"time_zone"]) == (b"US", b"", b"America/New_York")
    assert table.schema.field("volume").metadata == {b"unit": b"shares"}


def test_codes_are_named_in_any_spelling(client):
    for code in ("000001", "600519", "000002"):
        make_series("CN", code, 1)
    CodeAlias.objects.create(market="CN", alias="MAOTAI", code="600519")
    for codes in ("codes=sz000001,maotai".replace("maotai", "MAOTAI"), "codes=000001.SZ&codes=600519.SH"):
        assert [row["code"] for row in rows_of(client, codes, "CN")] == ["000001", "600519"]
    posted = client.post(f"{URL}?format=arrow", {"market": "CN", "codes": ["600519", "000001"], "limit": 1})
    assert [row["code"] for row in table_of(posted).to_pylist()] == ["000001"]
    nulls = {"market": "CN", "codes": None, "columns": None, "adjust": None, "as_of": None}
    rows = table_of(client.post(f"{URL}?format=arrow", nulls)).to_pylist()
    assert [row["code"] for row in rows] == ["000001", "000002", "600519"], "a null is as if left out: all"


def test_all_columns_equal_those_of_the_single_read(client):
    stock = make_series("US", "A", 2, prev_close=1.7, amount=3.5, amplitude=4.0, change=0.1, change_pct=2.5)
    make_bars(stock, 1, date(2024, 2, 1), is_st=True, limit_up=2.0, limit_down=1.0, turnover=0.5)
    Series.objects.update(bars=3, last_day=date(2024, 2, 1))
    single = client.get(f"{BASE}/quotes/US/A").json()
    bulk = client.get(f"{URL}?market=US&columns={','.join(COLUMNS)}")
    assert bulk.headers["Content-Type"] == "application/json"
    rows = json.loads(body_of(bulk))
    for row, expected in zip(rows, single, strict=True):
        told = {name: expected[name] for name in expected.keys() & row.keys() - {"collected_at"}}
        assert {name: row[name] for name in told} == told
        assert row["stored_code"] == "A"
        assert row["collected_at"][:19] == expected["collected_at"][:19]


@pytest.fixture
def adjustable():
    """Stocks with prices of which some products end in a 5 at the seventh place, with factors and a split."""
    ex_day = date(2024, 1, 3)
    for number, code in enumerate(("600000", "600001")):
        make_series("CN", code, 5, open=9.99, high=12.35, low=-0.5, close=10.05 + number, prev_close=10.25,
                    change=-0.15, volume=333 + number)  # fmt: skip
        factors = [Factor(date(2024, 1, 2), Decimal("1.0000005")), Factor(ex_day, Decimal("3.1234565"))]
        adjustment_data.replace_factors("CN", code, "sample", factors, ex_day)
        split = CorporateAction("split", ex_day, record_day=date(2024, 1, 2), ratio=Decimal("1"))
        adjustment_data.replace_actions("CN", code, "sample", CorporateActions([split]), ex_day)
    make_series("CN", "600002", 2, adjust="qfq")


@pytest.mark.parametrize(
    "query",
    [
        "adjust=qfq",
        "adjust=split",
        pytest.param("adjust=hfq", marks=pytest.mark.any_database),  # the tables of qfq
        pytest.param("adjust=hfq&basis=computed", marks=pytest.mark.any_database),
    ],
)
def test_adjusted_prices_equal_those_of_the_single_read(client, adjustable, query):
    names = ("code", "day", "open", "high", "low", "close", "prev_close", "volume", "change")
    columns = ",".join((*names, "adjust", "basis", "factor_source"))
    rows = rows_of(client, f"{query}&columns={columns}", "CN")
    expected = []
    for code in ("600000", "600001", "600002"):
        single = client.get(f"{BASE}/quotes/CN/{code}?{query}").json()
        expected += single if isinstance(single, list) else []
    assert [{**row, "day": row["day"].isoformat()} for row in rows] == [
        {name: row[name] for name in columns.split(",")} for row in expected
    ]


@pytest.mark.any_database  # told by what the other reads read
def test_named_stock_without_factors_is_told(client, adjustable):
    response = client.get(f"{URL}?market=CN&codes=600000,600002&adjust=qfq&basis=computed")
    assert response.status_code == 400
    assert "600002" in response.json()["errors"]["basis"][0]


@pytest.fixture
def renamed():
    """A stock that was FB until 2024-01-05 and then META, and before 2024-01-03 TFB."""
    make_series("US", "TFB", 4, close=1.1)
    make_series("US", "FB", 6, date(2024, 1, 2), close=1.2)
    make_series("US", "META", 4, date(2024, 1, 4), close=1.3)
    make_series("US", "A", 1)
    for old, new, day in (("TFB", "FB", "2024-01-03"), ("FB", "META", "2024-01-05")):
        CodeChange.objects.update_or_create(
            market="US", old_code=old, defaults={"new_code": new, "changed_on": day}
        )


def test_named_codes_are_joined_as_in_the_single_read(client, renamed):
    rows = rows_of(client, "codes=META,FB&columns=code,stored_code,day,close")
    for code in ("FB", "META"):
        single = client.get(f"{BASE}/quotes/US/{code}").json()
        assert [
            (row["stored_code"], row["day"].isoformat(), row["close"]) for row in rows if row["code"] == code
        ] == [(row["code"], row["day"], row["close"]) for row in single]


def test_all_codes_have_each_day_of_a_renamed_stock_once(client, renamed):
    rows = rows_of(client, "columns=code,day,stored_code")
    assert len({(row["stored_code"], row["day"]) for row in rows}) == len(rows)
    assert [row["day"].day for row in rows if row["code"] == "META"] == [1, 2, 3, 4, 5, 6, 7]
    # Under the old code comes only what it has from the change on.
    assert {(row["code"], row["day"].day) for row in rows if row["code"] in ("FB", "TFB")} == {
        ("FB", 5), ("FB", 6), ("FB", 7), ("TFB", 3), ("TFB", 4)
    }  # fmt: skip
    apart = rows_of(client, "joined=false&columns=code")
    assert [row["code"] for row in apart] == ["A", *["FB"] * 6, *["META"] * 4, *["TFB"] * 4]


def test_cursor_continues_behind_its_row(client, renamed, monkeypatch):
    monkeypatch.setattr(stored_bars, "ROWS", 3)
    whole = rows_of(client)
    codes = [row["code"] for row in whole]
    lasts = {len(codes) - 1 - codes[::-1].index(code) for code in codes}
    for number in (1, *lasts):  # within a stock, and at the border of each two
        rest = rows_of(client, f"cursor={codes[number]},{whole[number]['day']}")
        assert rest == whole[number + 1 :]
    pages, cursor = [], ""
    while page := rows_of(client, f"limit=4{cursor}"):
        pages += page
        cursor = f"&cursor={page[-1]['code']},{page[-1]['day']}"
    assert pages == whole


def panel_of(client, query, market="US"):
    return table_of(client.get(f"{URL}?format=arrow&layout=wide&market={market}&{query}"))


def cells_of(table):
    """Returns the values of a panel by code and day, without the nulls."""
    rows = table.to_pylist()
    return {
        (code, row["day"]): row[code]
        for row in rows
        for code in table.schema.names[1:]
        if row[code] is not None
    }


@pytest.mark.parametrize(  # of four codes: one day, seven and all
    "cells",
    [
        pytest.param(4, marks=pytest.mark.any_database),
        *(pytest.param(cells, marks=pytest.mark.soak) for cells in (28, 2**21)),
    ],
)
def test_panel_has_the_values_of_the_rows(client, renamed, monkeypatch, cells):
    monkeypatch.setattr(panel, "CELLS", cells)
    make_bars(Stock.objects.get(code="A"), 2, date(2024, 3, 1), is_st=True, limit_up=2.5, amount=3.5)
    Series.objects.filter(symbol="A").update(bars=3, last_day=date(2024, 3, 2))
    rows = rows_of(client, f"columns=code,day,{','.join(PANEL_COLUMNS)}")
    for column in ("close", "limit_up", "volume", "is_st"):  # a number, one of few bars, and of other kinds
        table = panel_of(client, f"columns={column}")
        assert table.schema.names == ["day", "A", "FB", "META", "TFB"]
        assert table["day"].to_pylist() == sorted({row["day"] for row in rows})
        assert cells_of(table) == {
            (row["code"], row["day"]): row[column] for row in rows if row[column] is not None
        }
        told = table.schema.metadata
        assert (told[b"order"], told[b"column"]) == (b"day", column.encode())


@pytest.mark.any_database  # a panel of what test_adjusted_prices_equal_those_of_the_single_read reads
@pytest.mark.parametrize(
    "query", ["adjust=qfq", "adjust=split", pytest.param("adjust=hfq", marks=pytest.mark.soak)]
)
def test_panel_has_adjusted_values(client, adjustable, query):
    for column in ("close", "volume"):
        rows = rows_of(client, f"{query}&columns=code,day,{column}", "CN")
        table = panel_of(client, f"{query}&columns={column}", "CN")
        assert cells_of(table) == {(row["code"], row["day"]): row[column] for row in rows}


@pytest.mark.any_database  # filled in after the rows are read
def test_panel_has_the_named_codes_and_null_where_a_bar_is_missing(client):
    for code, first in (("000001", 1), ("000002", 2)):
        make_series("CN", code, 1, date(2024, 1, first), volume=0)
    make_stock("CN", "000004")
    table = panel_of(client, "codes=000004,000002,000001&columns=volume", "CN")
    assert table.schema.names == ["day", "000001", "000002", "000004"]
    assert [list(row.values())[1:] for row in table.to_pylist()] == [[0, None, None], [None, 0, None]]
    assert panel_of(client, "start=2025-01-01", "CN").num_rows == 0
    assert panel_of(client, "start=2025-01-01&codes=000001", "CN").schema.names == ["day", "000001"]


@pytest.mark.any_database  # from a later day on, as any other panel
def test_panel_continues_behind_its_day(client, renamed):
    whole = panel_of(client, "").to_pylist()
    for number in (0, len(whole) - 1):
        assert panel_of(client, f"cursor={whole[number]['day']}").to_pylist() == whole[number + 1 :]
    pages, cursor = [], ""
    while page := panel_of(client, f"limit=2{cursor}").to_pylist():
        pages += page
        cursor = f"&cursor={page[-1]['day']}"
    assert pages == whole
    assert panel_of(client, "cursor=9999-12-31").num_rows == 0


@pytest.mark.any_database  # written after the rows are read
def test_panel_in_every_format(client):
    make_series("CN", "000001", 3)
    make_series("CN", "600519", 1, date(2024, 1, 2), close=1.9)
    path = f"{URL}?layout=wide&market=CN"
    lines = body_of(client.get(f"{path}&format=csv")).decode().splitlines()
    assert lines[0].replace('"', "") == "day,000001.SZ,600519.SH"
    assert lines[1:] == ["2024-01-01,1.75,", "2024-01-02,1.75,1.9", "2024-01-03,1.75,"]
    rows = json.loads(body_of(client.get(path)))
    assert rows[:2] == [
        {"day": "2024-01-01", "000001": 1.75, "600519": None},
        {"day": "2024-01-02", "000001": 1.75, "600519": 1.9},
    ]
    parquet = pq.read_table(io.BytesIO(body_of(client.get(f"{path}&format=parquet"))))
    assert parquet.to_pylist() == panel_of(client, "", "CN").to_pylist()
    assert [row["day"].isoformat() for row in parquet.to_pylist()] == [row["day"] for row in rows]


@pytest.mark.any_database  # told by one usual look-up
def test_adjustment_that_no_stock_has_is_refused(client):
    make_series("US", "A", 3)
    number = settle()
    for query in ("", "&codes=A", f"&as_of={number}", "&layout=wide"):
        response = client.get(f"{URL}?market=US&adjust=qfq{query}")
        assert (response.status_code, list(response.json()["errors"])) == (400, ["adjust"])
    day = date(2024, 1, 2)
    adjustment_data.replace_factors("US", "A", "recording", [Factor(day, Decimal(2))], day)
    settle()
    assert len(rows_of(client, "adjust=qfq")) == 3
    assert rows_of(client, "adjust=qfq&start=2030-01-01") == []
    assert client.get(f"{URL}?market=US&adjust=qfq&as_of={number}").status_code == 400


@pytest.mark.any_database  # counted in Python
def test_panel_of_too_many_codes_is_refused(client, monkeypatch):
    for code in ("A", "B", "C"):
        make_series("US", code, 1)
    monkeypatch.setattr(panel, "MAX_PANEL_CODES", 2)
    response = client.get(f"{URL}?market=US&layout=wide&format=arrow")
    assert (response.status_code, response.json()["code"]) == (400, "panel_too_wide")
    assert response.json()["errors"]["codes"] == [
        "A panel has at most 2 codes, and these are 3. Read it in parts by codes."
    ]
    assert panel_of(client, "codes=A,B").num_columns == 3


def test_panel_as_of_a_change_is_the_same_after_corrections(client, renamed):
    number = settle()
    before = panel_of(client, "columns=close")
    bars_of("US", "A", "").update(close=1.8)
    bars_of("US", "TFB", "").update(close=1.1001)
    settle()
    assert panel_of(client, "columns=close") != before
    assert panel_of(client, f"columns=close&as_of={number}").to_pylist() == before.to_pylist()


@pytest.mark.any_database  # refused before any query
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("market=US&layout=square", "layout"),
        ("market=US&layout=wide&columns=open,close", "columns"),
        ("market=US&layout=wide&columns=source", "columns"),
        ("market=US&layout=wide&cursor=A,2024-01-01", "cursor"),
        ("market=US&layout=wide&cursor=2024-02-30", "cursor"),
        ("market=XX", "market"),
        ("market=XX&format=arrow", "market"),
        ("", "market"),
        ("market=US&start=2024-02-01&end=2024-01-01", "end"),
        ("market=US&start=1", "start"),
        ("market=US&columns=code,clsoe", "columns"),
        ("market=US&code=A", "code"),
        ("market=US&codes=NONE", "codes"),
        ("market=US&codes=,", "codes"),
        ("market=US&columns=", "columns"),
        ("market=US&layout=wide&columns=,", "columns"),
        ("market=CN&market=US", "market"),
        ("market=US&limit=1&limit=2", "limit"),
        ("market=CN&codes=1", "codes"),
        ("market=US&cursor=A", "cursor"),
        ("market=US&cursor=A,2024-13-01", "cursor"),
        ("market=US&limit=0", "limit"),
        ("market=US&compression=bz2", "compression"),
        ("market=US&format=xlsx", "format"),
    ],
)
@pytest.mark.parametrize("form", ["json", pytest.param("arrow", marks=pytest.mark.soak)])
def test_invalid_parameter_is_rejected_in_json(client, query, field, form):
    response = client.get(f"{URL}?format={form}&{query}" if "format" not in query else f"{URL}?{query}")
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/json")
    assert field in response.json()["errors"]


@pytest.mark.any_database  # refused before any query
def test_body_with_codes_as_numbers_is_rejected(client):
    for codes in ([1], "000001", {"a": 1}):
        response = client.post(URL, {"market": "CN", "codes": codes})
        assert (response.status_code, list(response.json()["errors"])) == (400, ["codes"])


@pytest.mark.any_database  # written after the rows are read
def test_csv_has_codes_that_stay_text(client):
    make_series("CN", "000001", 1)
    make_series("US", "-1.2", 1)
    response = client.get(f"{URL}?market=CN&format=csv")
    assert response.headers["Content-Disposition"] == 'attachment; filename="bars-CN.csv"'
    (row,) = csv.DictReader(body_of(response).decode().splitlines())
    assert (row["code"], row["day"], row["close"], row["amount"]) == ("000001.SZ", "2024-01-01", "1.75", "")
    (row,) = csv.DictReader(body_of(client.get(f"{URL}?market=US&format=csv")).decode().splitlines())
    assert row["code"] == "'-1.2.US"
    position = rows_of(client, "cursor=000001.SZ,2023-12-31", "CN")
    assert len(position) == 1


@pytest.mark.any_database  # written after the rows are read
def test_parquet_has_the_schema_and_row_groups(client):
    make_series("US", "A", 3)
    response = client.get(f"{URL}?market=US", headers={"Accept": "application/vnd.apache.parquet"})
    file = pq.ParquetFile(io.BytesIO(body_of(response)))
    assert (file.metadata.num_rows, file.schema_arrow.metadata[b"market"]) == (3, b"US")


@pytest.mark.any_database  # nothing to read
@pytest.mark.parametrize("form", ["json", "csv", "arrow", "parquet"])
def test_no_bars_are_a_whole_answer(client, form):
    body = body_of(client.get(f"{URL}?market=US&format={form}"))
    if form == "arrow":
        assert pa.ipc.open_stream(body).read_all().num_rows == 0
    elif form == "parquet":
        assert pq.read_table(io.BytesIO(body)).num_rows == 0
    else:
        assert body == (b"[]" if form == "json" else body.splitlines()[0] + b"\n")


@pytest.mark.any_database  # compressed after the rows are read
def test_text_is_compressed_where_the_client_can_read_it(client):
    make_series("US", "A", 3)
    plain = body_of(client.get(f"{URL}?market=US"))
    response = client.get(f"{URL}?market=US", headers={"Accept-Encoding": "gzip, zstd;q=0.5, br"})
    assert (response.headers["Content-Encoding"], "Accept-Encoding" in response.headers["Vary"]) == (
        "gzip",
        True,
    )
    assert gzip.decompress(body_of(response)) == plain
    response = client.get(f"{URL}?market=US", headers={"Accept-Encoding": "zstd"})
    assert pa.CompressedInputStream(pa.BufferReader(body_of(response)), "zstd").read() == plain
    arrow = client.get(f"{URL}?market=US&format=arrow", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in arrow.headers
    body_of(arrow)


@pytest.mark.any_database  # refused before any query but the user's
def test_reading_in_bulk_needs_its_permission():
    client = client_of(make_user("plain"))
    response = client.get(f"{URL}?market=US")
    assert (response.status_code, response.json()["detail"]) == (
        403,
        "You lack the permission to read bars in bulk.",
    )


@pytest.mark.parametrize(
    ("form", "rows"),
    [
        ("arrow", 2),
        pytest.param("parquet", 2, marks=pytest.mark.any_database),
        pytest.param("csv", 2, marks=pytest.mark.any_database),
        pytest.param("json", 2, marks=pytest.mark.any_database),
        pytest.param("parquet", 100, marks=pytest.mark.any_database),
        *(
            pytest.param(form, rows, marks=pytest.mark.soak)
            for form in ("arrow", "parquet", "csv", "json")
            for rows in (10, 100)
            if (form, rows) != ("parquet", 100)
        ),
    ],
)
def test_read_as_of_a_change_gives_the_same_bytes_in_each_format(client, monkeypatch, form, rows):
    """However the rows were read, and in whichever groups."""
    monkeypatch.setattr(batches, "ROWS", rows)
    monkeypatch.setattr(known_bars, "GROUP", rows)
    monkeypatch.setattr(formats, "ROW_GROUP", rows)
    for code in ("000001", "000002", "000003"):
        make_series("CN", code, 5, source="recording")
    address = f"{URL}?market=CN&format={form}&columns={','.join(COLUMNS)}&as_of={settle()}"
    before = body_of(client.get(address))
    bars_of("CN", "000002", "").filter(day=date(2024, 1, 2)).update(close=1.8)
    settle()
    assert body_of(client.get(address)) == before


def test_read_as_of_a_change_gives_the_same_bytes_after_corrections(client):
    for code in ("000001", "000002", "000003"):
        make_series("CN", code, 3, source="recording")
    day = date(2024, 1, 2)
    adjustment_data.replace_factors("CN", "000002", "recording", [Factor(day, Decimal(2))], day)
    columns = "code,stored_code,day,close,volume,amount,collected_at,basis,factor_source"
    now = f"{URL}?market=CN&format=csv&columns={columns}"
    number = settle()
    before = {adjust: body_of(client.get(f"{now}&adjust={adjust}")) for adjust in ("", "hfq")}
    bars_of("CN", "000001", "").filter(day=day).update(close=1.8)
    bars_of("CN", "000003", "").delete()
    Series.objects.filter(symbol="000003").delete()
    make_series("CN", "000004", 3, source="recording")
    adjustment_data.replace_factors("CN", "000002", "recording", [Factor(day, Decimal(3))], day)
    CodeChange.objects.create(market="CN", old_code="000001", new_code="000004", changed_on=day)
    settle()
    for adjust, body in before.items():
        path = f"{now}&adjust={adjust}"
        assert body_of(client.get(f"{path}&as_of={number}")) == body != body_of(client.get(path))
    one = f"{now}&as_of={number}&codes=000003&start=2024-01-02&limit=1"
    assert len(body_of(client.get(one)).splitlines()) == 2
    assert client.get(f"{now}&as_of=then").status_code == 400
    answer = client.get(f"{now}&as_of={number}")
    etag, _ = answer["ETag"], body_of(answer)
    assert client.get(f"{now}&as_of={number}", headers={"If-None-Match": etag}).status_code == 304
