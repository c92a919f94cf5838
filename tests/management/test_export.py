"""`manage.py export` and `manage.py import`: options, and what they print."""

import json
import re
from datetime import date
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tasks_app.models import DailyBar, DataImport
from tests.api.factories import make_stock
from tests.exports.helpers import empty_database, store
from tests.factories import settle

pytestmark = pytest.mark.django_db
DAYS = [date(2024, 1, 2), date(2024, 1, 3)]


def run(*words):
    out = StringIO()
    call_command(*map(str, words), stdout=out)
    return out.getvalue()


def test_export_and_import_print_what_they_did(tmp_path):
    store("CN", "600000", DAYS)
    text = run("export", "--out", tmp_path)
    assert re.search(r"Parts: (\d+), of which written anew: \1\.", text)
    payload = json.loads(run("export", "--out", tmp_path, "--json"))
    assert payload["written_parts"] == 0
    assert payload["is_consistent"]
    assert f"Checksum: {payload['checksum']}" in text
    with pytest.raises(CommandError, match="has data of its own"):
        run("import", tmp_path)
    empty_database()
    assert json.loads(run("import", tmp_path, "--json"))["rows"] == payload["rows"]


def test_unfinished_import_is_discarded_once_confirmed(tmp_path):
    with pytest.raises(CommandError, match="No import is unfinished"):
        run("import", "--discard")
    for words in ((), ("x", "--discard"), ("x", "--yes")):
        with pytest.raises(CommandError, match="Give the folder"):
            run("import", *words)
    DataImport.objects.create(folder="lost", checksum="1")
    store("CN", "600000", DAYS)
    text = run("import", "--discard")
    assert "lost" in text
    assert "daily bars 2" in text
    assert json.loads(run("import", "--discard", "--json"))["discarded"] is False
    assert DailyBar.objects.count() == 2
    payload = json.loads(run("import", "--discard", "--yes", "--json"))
    assert payload["deleted"] == sum(payload["rows"].values()) > 2
    assert not DailyBar.objects.exists()
    assert DataImport.objects.get().ended_at


def test_selection_is_read_from_the_options(tmp_path):
    make_stock("CN", "600000")
    store("CN", "600000", DAYS)
    options = ("--market", "cn", "--adjust", "none", "--codes", "sh600000", "--start", "2024-01-03")
    payload = json.loads(run("export", "--out", tmp_path, *options, "--json"))
    assert payload["rows"] == 1
    number = settle()
    known = json.loads(run("export", "--out", tmp_path / "then", *options, "--as-of", number, "--json"))
    assert (known["selection"]["as_of"], known["checksum"]) == (number, payload["checksum"])
    assert payload["selection"]["codes"] == ["600000"]
    with pytest.raises(CommandError, match="holds a selection"):
        run("import", tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--codes", "600000"), "name the market"),
        (("--codes", "600000", "--market", "CN"), "no such stocks in the market CN: 600000"),
        (("--format", "qlib", "--market", "CN", "--adjust", "none", "--as-of", "0"), "export as parquet"),
        (("--start", "2024-01-03", "--end", "2024-01-02"), "is before"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, reason):
    out = StringIO()
    with pytest.raises(CommandError, match=reason):
        call_command("export", "--out", str(tmp_path / "x"), *options, "--json", stdout=out)
    assert json.loads(out.getvalue())["code"]
    assert not (tmp_path / "x").exists()
