"""Whole-market archives: 通达信's .day files, zip files, and Parquet dumps."""

import math
import os
import struct
import zipfile
from pathlib import Path

import pytest

from tasks_app.sources.base import Bar, Permanent, Request, UnknownStock
from tasks_app.sources.csv_folder import archives, parquet_dump, zip_archive
from tasks_app.sources.csv_folder.column_mapping import write_mappings
from tasks_app.sources.csv_folder.problems import UnreadableFile
from tasks_app.sources.csv_folder.source import CsvSource
from tests.sources.csv_files import akshare_csv, day, parse, write_file

pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow, which is not installed")
from pyarrow import parquet  # noqa: E402


def day_file(rows=3, *, ticks=100, per_volume=1, volume=100_000, amount=None):
    """Returns a .day file of a price of 10.00 to 11.00; `per_volume` shares are one volume."""
    return b"".join(
        struct.pack(
            "<IIIIIfII",
            int(f"{day(n):%Y%m%d}"),
            10 * ticks,
            11 * ticks,
            int(9.5 * ticks),
            int(10.5 * ticks),
            (volume * 10.2) if amount is None else amount,
            volume // per_volume,
            0,
        )
        for n in range(rows)
    )


def problem_of(content, name="sh600000.day", **options):
    with pytest.raises(UnreadableFile) as caught:
        parse(content, name, **options)
    return caught.value.problems[0].code


def fetch(source, code="600000", market="CN", adjust=""):
    return source.fetch(Request(market, code, day(0), day(30), adjust))


def codes(source, market="CN"):
    return [symbol.code for symbol in source.symbols(market)]


@pytest.fixture(autouse=True)
def buckets(tmp_path_factory, monkeypatch):
    """Gives each test its own folder of temporary files."""
    home = tmp_path_factory.mktemp("tmp")
    monkeypatch.setattr(parquet_dump.tempfile, "tempdir", str(home))
    monkeypatch.setattr(archives, "CHECK_SECONDS", 0.0)
    return home


@pytest.fixture
def source(tmp_path):
    return CsvSource(tmp_path)


# 通达信's .day files.


def test_day_file_has_prices_in_hundredths_and_shares():
    content = parse(day_file(), "sh600000.day")
    assert content.bars[0] == Bar(day(0), 10.0, 11.0, 9.5, 10.5, 100_000, None, 1_020_000.0)
    assert (content.format, content.rows, content.shares_per_volume) == ("通达信 .day", 3, 1)


@pytest.mark.parametrize(
    ("name", "ticks", "per_volume"),
    [
        ("sz000001.day", 100, 1),
        ("sz300750.day", 100, 1),
        ("sh688981.day", 100, 1),
        ("bj920002.day", 100, 1),
        ("bj430047.day", 100, 100),
        ("sh900901.day", 1000, 1),
        ("sz200012.day", 100, 1),
        ("sh510300.day", 1000, 100),
        ("sh510300.day", 1000, 1),
        ("sz159915.day", 1000, 1),
    ],
)
def test_day_file_units_by_kind_of_security(name, ticks, per_volume):
    bar = parse(day_file(ticks=ticks, per_volume=per_volume), name).bars[0]
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (10.0, 11.0, 9.5, 10.5, 100_000)


@pytest.mark.parametrize(
    ("content", "name", "options", "code"),
    [
        (day_file(ticks=1000), "sh600000.day", {}, "day_file_units"),
        (day_file(per_volume=100), "sh600000.day", {}, "day_file_units"),
        (day_file(ticks=100), "sh510300.day", {}, "day_file_units"),
        (day_file(amount=0.0), "sh600000.day", {}, "day_file_unproven"),
        (day_file(volume=0), "sh600000.day", {}, "day_file_unproven"),
        (day_file()[:-4], "sh600000.day", {}, "day_file_cut"),
        (b"", "sh600000.day", {}, "no_header"),
        (day_file(), "600000.day", {"adjust": "qfq"}, "day_file_adjusted"),
        (day_file(), "31#00700.day", {}, "day_file_market"),
        (b"\0" * 32 + day_file(), "sh600000.day", {}, "not_a_day"),
        (day_file() + day_file(volume=500), "sh600000.day", {}, "day_twice"),
    ],
)
def test_day_file_that_is_unclear_is_refused(content, name, options, code):
    assert problem_of(content, name, **options) == code


def test_day_file_that_can_not_count_a_volume_says_so():
    fields = (1000, 1100, 950, 1050, 5e9 * 10.2, 5_000_000_000 % 2**32, 0)
    content = parse(day_file(40) + struct.pack("<IIIIIfII", 20240301, *fields), "sh600000.day")
    assert math.isnan(content.bars[-1].volume)  # which the engine refuses
    assert [(note.code, note.values) for note in content.notes] == [("volume_overflow", {"count": 1})]


def test_day_files_of_indices_are_left_aside(tmp_path, source):
    (tmp_path / "sh600000.day").write_bytes(day_file())
    (tmp_path / "sh000001.day").write_bytes(day_file())
    assert codes(source) == ["600000"]
    assert [entry.name for entry in source.left_aside("CN")] == ["sh000001.day"]
    assert len(fetch(source)) == 3


# Zip files.


def write_zip(path, members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_zip_of_a_market_is_read_by_stock(tmp_path, source):
    members = {f"{code[:2]}/lday/{code}.day": day_file() for code in ("sh600000", "sz000001", "sh000001")}
    write_zip(tmp_path / "hsjday.zip", {**members, "sh/600004.csv": akshare_csv("600004"), "readme.md": "x"})
    assert codes(source) == ["000001", "600000", "600004"]
    assert fetch(source)[0] == Bar(day(0), 10.0, 11.0, 9.5, 10.5, 100_000, None, 1_020_000.0)
    assert len(fetch(source, "600004")) == 6
    reasons = [entry.reason for entry in source.left_aside("CN")]
    assert "files left out of the archive: 1, such as sh000001.day: the units of .day files" in reasons[0]
    assert "1, such as readme.md: the file is neither" in reasons[1]
    with pytest.raises(UnknownStock):
        fetch(source, "000002")


def test_zip_named_like_a_ticker_is_of_its_files(tmp_path, source):
    write_zip(tmp_path / "SH.zip", {"sh600000.day": day_file()})
    assert codes(source) == ["600000"]


def test_changed_zip_is_read_again(tmp_path, source):
    write_zip(tmp_path / "a.zip", {"sh600000.day": day_file(2)})
    assert len(fetch(source)) == 2
    write_zip(tmp_path / "a.zip", {"sh600000.day": day_file(3), "sz000001.day": day_file(3)})
    assert len(fetch(source)) == 3
    (tmp_path / "a.zip").unlink()
    with pytest.raises(Permanent, match="holds no file"):
        source.symbols("CN")


def test_zip_and_own_file_must_agree(tmp_path, source):
    write_zip(tmp_path / "a.zip", {"sh600000.day": day_file(2)})
    (tmp_path / "600000.day").write_bytes(day_file(3))
    assert len(fetch(source)) == 3
    (tmp_path / "600000.day").write_bytes(day_file(3, volume=100))
    with pytest.raises(Permanent, match=r"600000.day and sh600000.day have different values"):
        fetch(source)


def test_zip_within_zip_and_files_of_several_stocks_are_left_out(tmp_path, source):
    members = {
        "sh600000.day": day_file(),
        "inner.zip": b"PK",
        "market.csv": akshare_csv(),
        "../600004.day": b"",
    }
    write_zip(tmp_path / "a.zip", members)
    assert codes(source) == ["600000", "600004"]
    assert {entry.reason.partition(": ")[2].partition(":")[0] for entry in source.left_aside("CN")} == {
        "1, such as inner.zip",
        "1, such as market.csv",
    }
    assert not (tmp_path.parent / "600004.day").exists()


def broken_reason(source):
    with pytest.raises(Permanent):
        source.symbols("CN")
    return source.left_aside("CN")[0].reason


def test_zip_bombs_are_refused(tmp_path, source, monkeypatch):
    monkeypatch.setattr(zip_archive, "MIN_BOMB_BYTES", 1000)
    write_zip(tmp_path / "a.zip", {"600000.csv": b"0" * 3_000_000})
    assert "times as large as the archive" in broken_reason(source)
    monkeypatch.setattr(zip_archive, "MAX_UNPACKED_GB", 0.001)
    assert "larger than 0 GB" in broken_reason(CsvSource(tmp_path))


def test_zip_with_too_many_files_is_refused(tmp_path, source, monkeypatch):
    monkeypatch.setattr(zip_archive, "MAX_MEMBERS", 2)
    write_zip(tmp_path / "a.zip", {f"60000{n}.day": b"" for n in range(3)})
    assert broken_reason(source) == "it has more than 2 files"


def test_large_member_is_left_out_whatever_the_list_says(tmp_path, source, monkeypatch):
    monkeypatch.setattr(zip_archive, "MAX_BYTES", 200)
    write_zip(tmp_path / "a.zip", {"600000.day": day_file(9), "600004.day": day_file(3)})
    assert codes(source) == ["600004"]
    archive = source._archives._opened()[0][1]
    monkeypatch.setattr(zip_archive, "MAX_BYTES", 50)
    with pytest.raises(UnreadableFile) as caught:
        archive.read(("CN", "", "600004"))
    assert caught.value.problems[0].code == "too_big"


def test_damaged_and_encrypted_zips_are_refused(tmp_path, source):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 nothing")
    assert broken_reason(source) == "it can't be read: File is not a zip file"
    write_zip(tmp_path / "a.zip", {"600000.day": day_file(500)})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    place = content.rfind(b"PK\x01\x02")
    content[place + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert broken_reason(source) == "it is encrypted; pack it without a password"
    content[place + 8] &= 0xFE
    content[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Permanent, match="it can't be read"):
        fetch(source)


# Parquet dumps.

CODES = ("000001.SZ", "600000.SH", "920002.BJ")


def columns(rows=3, names=CODES, first=0):
    """Returns columns as Tushare has them, by day and then by stock."""
    pairs = [(day(first + n), name) for n in range(rows) for name in names]
    return {
        "ts_code": [name for _, name in pairs],
        "trade_date": [each.strftime("%Y%m%d") for each, _ in pairs],
        **{
            name: [price] * len(pairs)
            for name, price in zip(("open", "high", "low", "close"), (10.0, 11.0, 9.5, 10.5), strict=True)
        },
        "vol": [1000.0] * len(pairs),
        "amount": [1020.0] * len(pairs),
    }


def write_dump(path: Path, table, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), path, **options)


def test_dump_of_a_market_is_read_by_stock(tmp_path, source, monkeypatch):
    monkeypatch.setattr(parquet_dump, "BATCH_ROWS", 4)
    monkeypatch.setattr(parquet_dump, "BUCKET_ROWS", 5)
    write_dump(tmp_path / "daily.parquet", columns(rows=5), row_group_size=4)
    assert codes(source) == ["000001", "600000", "920002"]
    for code in codes(source):
        bars = fetch(source, code)
        assert [bar.day for bar in bars] == [day(n) for n in range(5)]
        assert bars[0] == Bar(day(0), 10.0, 11.0, 9.5, 10.5, 100_000, None, 1_020_000.0)
    assert len(source._archives._opened()[0][1]._index.stocks) == 3
    assert {stock[2] for stock in source._archives._opened()[0][1]._index.stocks} == {0, 1, 2}


def test_dump_in_partitions_keeps_leading_zeros(tmp_path, source):
    for name in ("000001", "600000"):
        table = columns(names=[name])
        del table["ts_code"]
        write_dump(tmp_path / "dump" / f"code={name}" / "part-0.parquet", table)
    assert codes(source) == ["000001", "600000"]
    assert len(fetch(source, "000001")) == 3


@pytest.mark.parametrize("folder", ["", "daily", "daily.parquet", "CN", "qfq/daily"])
def test_dump_by_year_may_lie_anywhere(tmp_path, source, folder):
    for part, first in enumerate((0, 10)):
        write_dump(tmp_path / folder / f"year={2024 + part}" / "a.parquet", columns(first=first))
    adjust = "qfq" if "qfq" in folder else ""
    assert [bar.day for bar in fetch(source, adjust=adjust)] == [day(n) for n in (0, 1, 2, 10, 11, 12)]


def test_dump_that_grows_is_seen_by_the_next_list(tmp_path, source):
    write_dump(tmp_path / "daily" / "1.parquet", columns(names=CODES[:2]))
    assert codes(source) == ["000001", "600000"]
    write_dump(tmp_path / "daily" / "2.parquet", columns(first=5))
    assert codes(source) == ["000001", "600000", "920002"]
    assert len(fetch(source)) == 6
    os.unlink(tmp_path / "daily" / "1.parquet")
    assert len(fetch(source)) == 3


def test_dump_is_sorted_once_for_all_processes(tmp_path, buckets, monkeypatch):
    write_dump(tmp_path / "daily.parquet", columns())
    assert len(fetch(CsvSource(tmp_path))) == 3
    monkeypatch.setattr(parquet_dump, "_sort_into", None)  # a second time would fail
    assert len(fetch(CsvSource(tmp_path))) == 3
    assert len([each for each in buckets.glob("*/*") if each.is_dir()]) == 1


def test_dump_leaves_out_and_counts_what_is_no_stock(tmp_path, source):
    write_dump(tmp_path / "daily.parquet", columns(names=["000001.SZ", "110059.SH", "2"]))
    assert codes(source) == ["000001"]
    assert [entry.reason for entry in source.left_aside("CN")] == [
        "lines left out because their code is not a stock's: 3 (110059.SH)",
        "lines left out because their codes have lost leading zeros: 3 (2); save them as text",
    ]


def test_dump_with_a_bad_stock_fails_that_stock_only(tmp_path, source):
    table = columns()
    table["amount"][1] = table["amount"][4] = table["amount"][7] = 5.0
    write_dump(tmp_path / "daily.parquet", table)
    with pytest.raises(Permanent, match="600000, line 2: the amount fits neither"):
        fetch(source)
    assert len(fetch(source, "000001")) == 3


def test_dump_problems_are_named(tmp_path, source, monkeypatch):
    write_dump(tmp_path / "daily" / "1.parquet", columns())
    write_dump(tmp_path / "daily" / "2.parquet", {"x": [1]})
    assert broken_reason(source) == "2.parquet has other columns than 1.parquet"
    (tmp_path / "daily" / "2.parquet").write_bytes(b"PAR1 nonsense")
    assert "2.parquet: " in broken_reason(source)
    os.unlink(tmp_path / "daily" / "2.parquet")
    monkeypatch.setattr(parquet_dump, "MAX_CODES", 2)
    assert broken_reason(source) == "it has more than 2 different codes"
    monkeypatch.setattr(parquet_dump, "MAX_ROW_GROUP_MB", 0)
    assert "a row group is larger than 0 MB" in broken_reason(CsvSource(tmp_path))


def test_columns_that_are_not_read_are_told_and_not_kept(tmp_path, source):
    write_dump(tmp_path / "daily.parquet", {**columns(), "memo": ["x" * 50] * 9})
    content = source._scan() and source._archives.of_stock(("CN", "", "600000"))
    assert content[0][1].unused_columns == ["memo"]
    index = source._archives._opened()[0][1]._index
    assert "memo" in index.header
    assert "memo" not in index.used


def test_links_within_a_dump_are_not_followed(tmp_path, source):
    write_dump(tmp_path / "daily" / "1.parquet", columns())
    write_dump(tmp_path.parent / "elsewhere.parquet", columns(first=9))
    (tmp_path / "daily" / "2.parquet").symlink_to(tmp_path.parent / "elsewhere.parquet")
    assert len(fetch(source)) == 3


def test_unknown_headings_are_read_as_they_were_named(tmp_path, source):
    header = ("dt", "px_open", "px_high", "px_low", "px_last", "qty")
    rows = [f"{day(n)},10.0,11.0,9.5,10.5,1000" for n in range(3)]
    write_file(tmp_path, "600000.csv", "\n".join([",".join(header), *rows]))
    with pytest.raises(Permanent, match="no column for day"):
        fetch(source)
    meanings = ("day", "open", "high", "low", "close", "volume(lots)")
    write_mappings(tmp_path, {header: dict(zip(header, meanings, strict=True))})
    assert fetch(source)[0] == Bar(day(0), 10.0, 11.0, 9.5, 10.5, 100_000)
    write_file(tmp_path, ".columns.json", '[[["a"], {"a": "rm -rf"}]]')
    with pytest.raises(Permanent, match="unknown column 'rm -rf'"):
        fetch(CsvSource(tmp_path))
