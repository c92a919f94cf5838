"""An export that is imported into an empty database, and exported from there, has the same checksum."""

import gzip
import json
import shutil
from datetime import UTC, date, datetime

import pandas
import pytest
from django.apps import apps
from django.db import connection

from tasks_app import lifecycle
from tasks_app.errors import ImportUnfinished
from tasks_app.exports import bars, discard, errors, restore, tables
from tasks_app.exports.selection import Selection
from tasks_app.models import (
    BarVersion,
    CalendarDay,
    CollectionItem,
    CollectionTask,
    Correction,
    DailyBar,
    DataImport,
    MarketDay,
    RowVersion,
    Stock,
    SyntheticSource,
)
from tasks_app.quotes import sealed_days, upsert
from tests.exports.helpers import bring_back, empty_database, export, store
from tests.factories import ACTOR, TODAY, make_ended, make_order, make_plan, make_task, make_user, settle

pytestmark = pytest.mark.django_db
DAYS = [date(2024, 12, 30), date(2024, 12, 31), date(2025, 1, 2)]


@pytest.fixture
def stored():
    """Quotes of two markets with awkward values, a task with its item and events, and a plan."""
    SyntheticSource.objects.create(name="made up")
    store("CN", "600519", DAYS, amount=0.1 + 0.2, is_st=False, limit_up=1e-7)
    store("CN", "000001", DAYS[:2], "hfq", volume=2**53 + 1, turnover=None)
    store("US", "BRK.B", DAYS[2:], high=1e308, item_id=9_000)
    store("US", "BRKA", DAYS[2:])
    Stock.objects.create(market="CN", code="600519", name="贵州茅台", former_names=[{"name": "G茅台"}])
    values = {"amount": 1e16, "change": -0.0, "volume": 3, "close": 1.0, "turnover": 1e-7, "open": None}
    Correction.objects.create(market="CN", symbol="600519", day=DAYS[0], before=values, source="recording")
    CalendarDay.objects.create(market="CN", day=DAYS[0], is_session=True, changed_by="ann")
    task = make_ended("completed")
    CollectionTask.objects.filter(pk=task.pk).update(created_by=make_user())
    make_plan()


@pytest.mark.usefixtures("stored")
def test_import_into_an_empty_database_is_bit_by_bit(tmp_path):
    first = export(tmp_path / "a").manifest
    bars_before = list(DailyBar.objects.order_by("market", "symbol", "day").values_list(*bars.COLUMNS[3:]))
    empty_database()
    assert bring_back(tmp_path / "a") == first.rows
    bars_after = list(DailyBar.objects.order_by("market", "symbol", "day").values_list(*bars.COLUMNS[3:]))
    assert bars_after == bars_before
    second = export(tmp_path / "b").manifest
    assert second.files == first.files
    assert second.checksum == first.checksum
    assert first.is_consistent


@pytest.mark.usefixtures("stored")
def test_import_needs_an_empty_database_and_new_rows_get_ids_above_its_own(tmp_path):
    export(tmp_path)
    with pytest.raises(errors.DatabaseNotEmpty, match=r"daily bars, .*stocks, .*tasks"):
        bring_back(tmp_path)
    assert not DataImport.objects.exists()
    last_event = CollectionTask.objects.get().events.order_by("-pk").first().pk
    empty_database()
    bring_back(tmp_path)
    with pytest.raises(errors.NothingToDiscard):
        next(discard.discard())
    assert DailyBar.objects.exists(), "imported rows are not discarded"
    task = make_task()
    assert task.events.get().pk > last_event
    item = CollectionItem.objects.create(task=task, position=7, code="1")
    assert item.pk > 9_000, "a bar refers to an item that was deleted"


@pytest.mark.usefixtures("stored")
def test_files_are_the_same_from_either_database_and_one_dataset_for_pandas(tmp_path):
    export(tmp_path)
    lines = gzip.decompress((tmp_path / "tables/correction-000000.jsonl.gz").read_bytes()).splitlines()
    names, row = map(json.loads, lines)
    correction = dict(zip(names, row, strict=True))
    text = '{"amount":10000000000000000,"change":0.0,"close":1.0,"open":null,"turnover":1e-7,"volume":3}'
    assert text.encode() in lines[1]
    assert correction["day"] == "2024-12-30"
    assert correction["corrected_at"].endswith("+00:00")
    users = gzip.decompress((tmp_path / "tables/collectiontask.jsonl.gz").read_bytes()).splitlines()
    task = dict(zip(*map(json.loads, users), strict=True))
    assert task["created_by_id"] is None, "users are not exported"
    assert "outcome" not in task, "the database generates it"
    check_dataset(tmp_path)


def check_dataset(tmp_path):
    """Asserts that pandas reads the bars of the export as one dataset."""
    frame = pandas.read_parquet(tmp_path / "bars")
    assert len(frame) == 7
    assert frame.groupby(["market", "year"], observed=True).size().to_dict() == {
        ("CN", 2024): 4,
        ("CN", 2025): 1,
        ("US", 2025): 2,
    }
    bar = frame[(frame.code == "600519") & (frame.day == DAYS[0])].iloc[0]
    assert (bar.amount, bar.limit_up, bar.is_st, bar.adjust) == (0.1 + 0.2, 1e-7, False, "")
    assert bar.collected_at == datetime(2026, 1, 5, 9, 30, 0, 120_000, tzinfo=UTC)
    codes = pandas.read_parquet(tmp_path / "bars/market=US/year=2025/bars.parquet", partitioning=None).code
    assert list(codes) == ["BRK.B", "BRKA"], "in the order of bytes, whatever the database's collation"


def test_every_table_is_exported_or_named_with_a_reason():
    models = apps.get_models(include_auto_created=True)
    known = {model._meta.label_lower for model in models if not model._meta.proxy}
    known -= {"auth.user_groups", "auth.user_user_permissions", "auth.group_permissions"}  # parts of others
    exported = {table.model._meta.label_lower for table in tables.EXPORTED} | {tables.BARS}
    assert known == exported | tables.NOT_EXPORTED.keys()
    assert not exported & tables.NOT_EXPORTED.keys()


def test_every_column_of_a_bar_is_exported():
    columns = {field.attname for field in DailyBar._meta.concrete_fields} - {"id", "market"}
    assert columns == {"symbol", *bars.COLUMNS} - {"code"}
    assert set(upsert.STORED_COLUMNS) == columns | {"market"}


@pytest.mark.usefixtures("stored")
def test_damaged_file_is_named_before_anything_is_imported(tmp_path):
    export(tmp_path)
    path = tmp_path / "bars/market=CN/year=2024/bars.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    empty_database()
    with pytest.raises(errors.DamagedFile, match=r"year=2024/bars\.parquet is not the file"):
        bring_back(tmp_path)
    path.unlink()
    with pytest.raises(errors.DamagedFile, match="No such file"):
        bring_back(tmp_path)
    assert not Stock.objects.exists()


def test_what_is_no_whole_export_is_refused(tmp_path):
    with pytest.raises(errors.NoExport, match="No such file"):
        bring_back(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(errors.NoExport):
        bring_back(tmp_path)
    export(tmp_path / "us", Selection(market="US"))
    with pytest.raises(errors.PartialExport, match="market=US"):
        bring_back(tmp_path / "us")


def test_export_of_a_later_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(restore, "table_of", lambda path: None)
    export(tmp_path)
    with pytest.raises(errors.LaterExport, match="tables/adjustmenttable"):
        bring_back(tmp_path)


@pytest.mark.usefixtures("stored")
def test_interrupted_import_goes_on_with_the_next_file(tmp_path, monkeypatch):
    checksum = export(tmp_path / "a").manifest.checksum
    empty_database()
    inserted = []

    def insert(rows):
        if inserted:
            raise KeyboardInterrupt
        upsert_rows(rows)
        inserted.append(True)

    upsert_rows = upsert.insert_stored
    monkeypatch.setattr(upsert, "insert_stored", insert)
    with pytest.raises(KeyboardInterrupt):
        bring_back(tmp_path / "a")
    assert DailyBar.objects.count() == 4, "one file is in, the next one not at all"
    assert "bars/market=CN/year=2024/bars.parquet" in DataImport.objects.get().done
    monkeypatch.setattr(upsert, "insert_stored", upsert_rows)
    bring_back(tmp_path / "a")
    assert export(tmp_path / "b").manifest.checksum == checksum
    assert DataImport.objects.get().ended_at


@pytest.mark.usefixtures("stored")
def test_import_says_what_was_stored_since_it_began(tmp_path, monkeypatch):
    export(tmp_path)
    empty_database()
    steps = restore.import_folder(tmp_path)
    while next(steps).phase != restore.IMPORTING:
        pass
    store("CN", "600519", DAYS)
    with pytest.raises(errors.RowConflict, match="tables/series"):
        list(steps)


@pytest.mark.usefixtures("stored")
def test_no_collection_starts_between_two_files_of_an_import(tmp_path):
    export(tmp_path)
    empty_database()
    steps = restore.import_folder(tmp_path)
    while next(steps).phase != restore.IMPORTING:
        pass
    with pytest.raises(ImportUnfinished, match=tmp_path.name):
        lifecycle.start(make_order(), ACTOR, today=TODAY)
    assert not CollectionTask.objects.filter(status="running").exists()
    assert list(steps)[-1].phase == restore.ENDED
    assert lifecycle.start(make_order(), ACTOR, today=TODAY)


def test_constraint_allows_one_import_at_a_time():
    DataImport.objects.create(folder="a", checksum="1")
    with pytest.raises(Exception, match="one_import_at_a_time"), connection.cursor():
        DataImport.objects.create(folder="b", checksum="2")


@pytest.fixture
def interrupted(stored, tmp_path):
    """Returns the steps of an import whose tables are in, and the first of its bars."""
    export(tmp_path / "a")
    empty_database()
    steps = restore.import_folder(tmp_path / "a")
    while not DailyBar.objects.exists():
        next(steps)
    return steps


def test_import_whose_folder_is_lost_can_be_discarded(interrupted, tmp_path):
    shutil.move(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ImportUnfinished, match="import --discard"):
        lifecycle.start(make_order(), ACTOR, today=TODAY)
    make_plan(name="made meanwhile")
    MarketDay.objects.create(market="CN", kind="stock", day=DAYS[0])
    settle()
    assert discard.count_rows()["daily bars"] > 0
    assert list(discard.discard())[-1].phase == restore.ENDED
    settle()
    restore.require_empty()
    assert not MarketDay.objects.exists()
    assert not BarVersion.objects.exists() | RowVersion.objects.exists()
    record = DataImport.objects.get()
    assert (record.is_discarded, bool(record.ended_at)) == (True, True)
    for model, seed in restore.SEEDS.items():
        assert model.objects.filter(**seed).count() == 1
    with pytest.raises(errors.NothingToDiscard):
        next(discard.discard())
    checksum = json.loads((tmp_path / "b/manifest.json").read_text())["checksum"]
    bring_back(tmp_path / "b")
    assert export(tmp_path / "c").manifest.checksum == checksum
    assert lifecycle.start(make_order(), ACTOR, today=TODAY)


def test_discarded_import_does_not_go_on_before_it_is_all_deleted(interrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(discard, "BATCH", 1)
    steps = discard.discard()
    next(steps)
    with pytest.raises(errors.ImportDiscarded):
        next(interrupted)
    with pytest.raises(errors.ImportDiscarded):
        bring_back(tmp_path / "a")
    with pytest.raises(ImportUnfinished):
        lifecycle.start(make_order(), ACTOR, today=TODAY)
    steps.close()
    assert list(discard.discard())[-1].phase == restore.ENDED
    restore.require_empty()


def test_no_day_is_sealed_while_an_import_is_unfinished(interrupted):
    settle()
    assert sealed_days.sweep(60) == 0
    assert not MarketDay.objects.exists()
