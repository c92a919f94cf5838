"""An export writes what has changed, goes on after a kill, and is never seen half."""

import json
import os
from datetime import date

import pytest

from tasks_app.exports import errors, folder, parquet, run as runs
from tasks_app.exports.manifest import read
from tasks_app.exports.run import ExportRun
from tasks_app.exports.selection import Selection
from tasks_app.history.versions import read_numbers
from tasks_app.models import Change, DailyBar, Series
from tests.exports.helpers import WHOLE, bring_back, export, store
from tests.factories import make_ended, make_task, settle

pytestmark = pytest.mark.django_db
DAYS = [date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 3)]
OLD, NEW = "bars/market=CN/year=2023", "bars/market=CN/year=2024"


@pytest.fixture
def written(monkeypatch):
    """The keys of the parts that are written, in their order."""
    keys = []
    write = parquet.ParquetLayout.write

    def note(self, key, root):
        keys.append(key)
        yield from write(self, key, root)

    monkeypatch.setattr(parquet.ParquetLayout, "write", note)
    return keys


def bar_parts(written):
    found = [key for key in written if key.startswith("bars")]
    written.clear()
    return found


@pytest.mark.any_database  # test_export_as_of_a_change_… reads and deletes the same there
def test_only_changed_years_are_written_again(tmp_path, written):
    store("CN", "600000", DAYS)
    assert export(tmp_path, name="1").written > 2
    assert bar_parts(written) == [OLD, NEW]
    inode = (tmp_path / OLD / "bars.parquet").stat().st_ino
    assert export(tmp_path, name="2").written == 0
    assert bar_parts(written) == []
    DailyBar.objects.filter(day=DAYS[2]).update(close=10.0, collected_at="2026-02-01T00:00:00Z")
    assert export(tmp_path, name="3").written == 1
    assert bar_parts(written) == [NEW]
    DailyBar.objects.filter(day=DAYS[1]).delete()
    export(tmp_path, name="4")
    assert bar_parts(written) == [NEW]
    assert (tmp_path / OLD / "bars.parquet").stat().st_ino == inode


@pytest.fixture
def scanned(monkeypatch):
    """The codes of which an export read the versions of all bars."""
    codes, read = [], parquet.versions.read_versions

    def noted(selection, market, keys):
        codes.extend(code for code, _ in keys)
        return read(selection, market, keys)

    monkeypatch.setattr(parquet.versions, "read_versions", noted)
    return codes


def test_second_export_looks_at_the_numbered_changes_only(tmp_path, written, scanned):
    store("CN", "600000", DAYS)
    store("CN", "600001", DAYS)
    settle()
    assert export(tmp_path, name="1").manifest.number == read_numbers().last
    assert scanned == ["600000", "600001"]
    bar_parts(written)
    scanned.clear()
    DailyBar.objects.filter(symbol="600000", day=DAYS[0]).update(close=10.0)  # by a program of one's own
    settle()
    export(tmp_path, name="2")
    assert bar_parts(written) == [OLD]
    store("US", "AAPL", DAYS[2:])
    settle()
    export(tmp_path, name="3")
    assert bar_parts(written) == [NEW.replace("CN", "US")]
    assert scanned == []
    assert export(tmp_path, name="4").written == 0


@pytest.mark.any_database  # files, not rows
def test_change_of_what_is_not_selected_writes_nothing(tmp_path, written, scanned):
    for code in ("600000", "600001"):
        store("CN", code, DAYS)
    store("CN", "600000", DAYS, "qfq")
    settle()
    selection = Selection(market="CN", adjust="", codes=("600000",), first=DAYS[1])
    export(tmp_path, selection, "1")
    written.clear()
    scanned.clear()
    for bars in (
        DailyBar.objects.filter(symbol="600001"),
        DailyBar.objects.filter(adjust="qfq"),
        DailyBar.objects.filter(symbol="600000", day=DAYS[0]),
    ):
        bars.update(close=10.0)
        settle()
    export(tmp_path, selection, "2")
    assert (written, scanned) == ([], [])


@pytest.mark.parametrize(
    "why",
    [
        "forgotten",
        # Only the manifest differs.
        pytest.param("another database", marks=pytest.mark.any_database),
        pytest.param("older export", marks=pytest.mark.any_database),
    ],
)
def test_without_its_number_all_bars_are_looked_at(tmp_path, written, scanned, why):
    store("CN", "600000", DAYS)
    settle()
    export(tmp_path, name="1")
    DailyBar.objects.filter(day=DAYS[2]).update(close=10.0, collected_at="2026-02-01T00:00:00Z")
    number = settle()
    if why == "forgotten":
        Change.objects.filter(number__lt=number).delete()
    else:
        path = tmp_path / "manifest.json"
        manifest = json.loads(path.read_text())
        if why == "another database":
            manifest["number_at"] = "2020-01-01T00:00:00+00:00"
        else:
            del manifest["number"], manifest["number_at"]
        path.write_text(json.dumps(manifest))
    bar_parts(written)
    scanned.clear()
    export(tmp_path, name="2")
    assert scanned == ["600000"]
    assert bar_parts(written) == [NEW]


@pytest.mark.any_database  # files, not rows
def test_file_of_a_year_without_bars_is_removed(tmp_path):
    store("CN", "600000", DAYS)
    export(tmp_path, name="1")
    DailyBar.objects.filter(day=DAYS[0]).delete()
    manifest = export(tmp_path, name="2").manifest
    assert OLD not in manifest.parts
    assert not (tmp_path / OLD).exists()
    assert (tmp_path / NEW).exists()


@pytest.mark.any_database  # files, not rows
def test_lost_file_is_written_again(tmp_path, written):
    store("CN", "600000", DAYS)
    export(tmp_path, name="1")
    bar_parts(written)
    (tmp_path / NEW / "bars.parquet").write_bytes(b"cut")
    export(tmp_path, name="2")
    assert bar_parts(written) == [NEW]


@pytest.mark.any_database  # files, not rows
@pytest.mark.parametrize("name", ["first", "second"])
def test_killed_export_goes_on_after_the_last_whole_part(tmp_path, written, monkeypatch, name):
    store("CN", "600000", DAYS)
    steps = ExportRun(tmp_path, WHOLE, "first").steps()
    for step in steps:
        if not step.is_resumable and NEW in written:
            break
    steps.close()
    assert not (tmp_path / "manifest.json").exists(), "nothing is published yet"
    assert bar_parts(written) == [OLD, NEW]
    manifest = export(tmp_path, name=name).manifest
    assert bar_parts(written) == [NEW]
    assert manifest.parts[OLD].rows == 1
    assert manifest.parts[NEW].rows == 2


@pytest.mark.any_database  # files, not rows
def test_scan_that_was_left_is_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet.versions.batches, "__defaults__", (1,))
    for code in ("600000", "600001", "600002"):
        store("CN", code, DAYS)
    steps = ExportRun(tmp_path, WHOLE, "one").steps()
    assert (next(steps).done, next(steps).done) == (1, 2)
    steps.close()
    assert next(ExportRun(tmp_path, WHOLE, "other").steps()).done == 1
    steps = ExportRun(tmp_path, WHOLE, "one").steps()
    next(steps)
    steps.close()
    run = ExportRun(tmp_path, WHOLE, "one")
    assert next(run.steps()).done == 2
    assert export(tmp_path, name="one").manifest.parts[NEW].rows == 6


@pytest.mark.any_database  # files, not rows
def test_interrupted_publication_is_finished_by_the_next_run(tmp_path, monkeypatch):
    store("CN", "600000", DAYS)
    export(tmp_path, name="1")
    before = read(tmp_path)
    DailyBar.objects.update(close=10.0, collected_at="2026-02-01T00:00:00Z")
    settle()
    replace, moved = os.replace, []

    def fail(source, target):
        if str(target).startswith(str(tmp_path / "bars")):
            if moved:
                raise KeyboardInterrupt
            moved.append(target)
        replace(source, target)

    monkeypatch.setattr(folder.os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path, name="2")
    monkeypatch.setattr(folder.os, "replace", replace)
    assert read(tmp_path).checksum == before.checksum
    with pytest.raises(errors.UnfinishedExport):
        bring_back(tmp_path)
    run = export(tmp_path, name="3")
    assert run.written == 0, "the next run has published what waited, and found nothing newer"
    assert read(tmp_path).parts[NEW].files != before.parts[NEW].files


@pytest.mark.any_database  # files, not rows
def test_export_beside_a_collection_says_so(tmp_path):
    store("CN", "600000", DAYS)
    assert export(tmp_path, name="1").manifest.is_consistent
    steps = ExportRun(tmp_path, WHOLE, "2").steps()
    next(steps)
    make_ended("completed")
    list(steps)
    assert not read(tmp_path).is_consistent, "a task began and ended meanwhile"
    make_task()
    assert not export(tmp_path, name="3").manifest.is_consistent


@pytest.mark.any_database
def test_selection_holds_only_what_was_selected(tmp_path):
    store("CN", "600000", DAYS)
    store("CN", "600001", DAYS, "qfq")
    store("US", "AAPL", DAYS)
    chosen = Selection(market="CN", adjust="", codes=("600000", "600001"), first=DAYS[1], last=DAYS[1])
    manifest = export(tmp_path, chosen).manifest
    assert {key: part.rows for key, part in manifest.parts.items()} == {NEW: 1}
    assert Selection.from_dict(json.loads(json.dumps(manifest.selection))) == chosen
    with pytest.raises(
        errors.OtherSelection,
        match="market=CN, codes=600000,600001, first=2024-01-02, last=2024-01-02, adjust=none",
    ):
        export(tmp_path)


@pytest.mark.any_database
def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(errors.ForeignFolder):
        export(tmp_path)
    with pytest.raises(errors.FolderUnusable, match=r"thesis\.doc"):
        export(tmp_path / "thesis.doc")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


@pytest.mark.any_database
def test_two_exports_into_one_folder_are_refused(tmp_path):
    store("CN", "600000", DAYS)
    steps = ExportRun(tmp_path, WHOLE, "1").steps()
    next(steps)
    with pytest.raises(errors.FolderBusy):
        export(tmp_path, name="2")
    steps.close()
    export(tmp_path, name="2")


@pytest.mark.any_database  # files, not rows
def test_migrated_database_is_exported_anew(tmp_path, written, monkeypatch):
    store("CN", "600000", DAYS)
    export(tmp_path, name="1")
    bar_parts(written)
    monkeypatch.setattr(runs, "_last_migration", lambda: "9999_moves_rows")
    export(tmp_path, name="2")
    assert bar_parts(written) == [OLD, NEW]


def test_row_groups_do_not_depend_on_batches(tmp_path, monkeypatch):
    from tasks_app.exports import bars

    for code in ("600000", "600001", "600002"):
        store("CN", code, DAYS)
    monkeypatch.setattr(bars, "ROW_GROUP", 4)
    first = export(tmp_path / "a").manifest
    monkeypatch.setattr(bars.batches, "__defaults__", (1,))
    monkeypatch.setattr(bars, "READ_ROWS", 1)
    assert export(tmp_path / "b").manifest.checksum == first.checksum


def test_export_as_of_a_change_has_the_same_bytes_after_corrections_and_deletions(tmp_path, written):
    store("CN", "600000", DAYS)
    store("CN", "600001", DAYS)
    number, today = settle(), Selection(market="CN")
    before = export(tmp_path / "now", today).manifest
    changed = {"close": 10.0, "collected_at": "2026-02-01T00:00:00Z"}
    DailyBar.objects.filter(symbol="600000", day=DAYS[0]).update(**changed)
    store("CN", "600002", DAYS)
    DailyBar.objects.filter(symbol="600001").delete()
    Series.objects.filter(symbol="600001").delete()
    settle()
    then = Selection(market="CN", as_of=number)
    after = export(tmp_path / "then", then).manifest
    assert (
        after.checksum == before.checksum != export(tmp_path / "now", today, name="later").manifest.checksum
    )
    assert (after.is_consistent, after.rows) == (True, 6)
    written.clear()
    assert export(tmp_path / "then", then, name="again").written == 0
    assert bar_parts(written) == []
    with pytest.raises(errors.OtherSelection):
        export(tmp_path / "then", Selection(market="CN", as_of=number + 1))
