"""The page of codes: aliases, changes of codes, imports of stocks that are undone."""

from datetime import date

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tasks_app.market import stock_imports
from tasks_app.models import CodeAlias, CodeChange, Stock, StockImport
from tasks_app.models.audit import AuditEvent
from tasks_app.sources.base import Symbol
from tests.admin.helpers import messages_of, staff_client, text_of, url
from tests.run import ROOT

pytestmark = pytest.mark.django_db
ALIAS = {"action": "alias", "market": "US", "alias": "brkb", "code": "BRK-B"}
CHANGE = {"action": "change", "market": "CN", "old": "838163.BJ", "new": "920163", "changed_on": "2025-10-09"}


@pytest.fixture
def client():
    return staff_client("view_stock", "change_stock")


def post(client, fields, **more):
    return client.post(url("codes"), {**fields, **more})


def remove(client, action, row):
    """Asks for a removal and confirms it; returns the text of the question and the answer."""
    fields = {"action": action, "market": row.market, "row": row.pk}
    question = text_of(post(client, fields))
    assert type(row).objects.filter(pk=row.pk).exists()
    return question, post(client, fields, confirmed="yes")


def test_alias_is_added_listed_and_removed(client):
    response = post(client, ALIAS)
    assert (response.url, messages_of(response)) == (f"{url('codes')}?market=US", "Stored: BRKB = BRK.B")
    assert "BRKB BRK.B Remove" in text_of(client.get(response.url))
    question, response = remove(client, "remove_alias", CodeAlias.objects.get())
    assert "Remove this alias?" in question and "BRKB = BRK.B" in question
    assert not CodeAlias.objects.exists()
    told = AuditEvent.objects.filter(subject="codealias").order_by("pk")
    assert list(told.values_list("verb", "object_name", "user_name")) == [
        ("created", "BRKB = BRK.B", "staff"),
        ("deleted", "BRKB = BRK.B", "staff"),
    ]


def test_texts_for_screen_readers_alone_are_hidden(client):
    post(client, ALIAS)
    assert '<span class="sc-unseen">: ' in client.get(url("codes"), {"market": "US"}).content.decode()
    theme = (ROOT / "tasks_app/static/tasks_app/admin.css").read_text()
    assert ".sc-unseen {" in theme
    assert not [path for path in (ROOT / "templates").rglob("*.html") if "sr-only" in path.read_text()]


def test_change_is_added_listed_and_removed(client):
    post(client, CHANGE)
    change = CodeChange.objects.get(market="CN")
    assert (str(change), change.changed_on) == ("838163 → 920163", date(2025, 10, 9))
    assert "838163 920163 2025-10-09 Remove" in text_of(client.get(url("codes")))
    question, _ = remove(client, "remove_change", change)
    assert "no longer read together" in question
    assert not CodeChange.objects.filter(market="CN").exists()


def test_file_of_changes_is_stored_as_a_whole_or_not_at_all(client):
    def upload(content):
        file = SimpleUploadedFile("bse.csv", content.encode())
        return post(client, {"action": "changes_file", "market": "CN", "on": "", "file": file})

    assert "the day of the change is missing" in text_of(upload("o_code,n_code\n838163,920163\n"))
    assert not CodeChange.objects.filter(market="CN").exists()
    response = upload("o_code,n_code,changed_on\n838163,920163,2025-10-09\n833819,920819,2025-05-06\n")
    assert messages_of(response) == "Stored: bse.csv: Changes of codes stored: 2."
    assert CodeChange.objects.filter(market="CN").count() == 2


def test_import_is_undone_once(client):
    listed = [Symbol("600519", "Kweichow Moutai")]
    stock_imports.import_stocks("CN", "stocks.csv", listed, today=date(2024, 3, 1))
    record = StockImport.objects.get()
    assert "stocks.csv" in text_of(client.get(url("codes")))
    question, response = remove(client, "undo_import", record)
    assert "Undo this import of stocks?" in question
    assert "Stocks removed: 1" in messages_of(response)
    assert not Stock.objects.exists()
    _, again = remove(client, "undo_import", record)
    assert "could be undone" in messages_of(again)
    assert AuditEvent.objects.filter(subject="stockimport").count() == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**ALIAS, "market": "CN", "alias": "x", "code": "2"}, "000002"),
        ({**ALIAS, "alias": "BRK.B"}, "can’t be an alias|can't be an alias"),
        ({**CHANGE, "new": "838163"}, "both codes are 838163"),
        ({**CHANGE, "changed_on": "soon"}, "Enter a valid date."),
        ({**CHANGE, "new": "00700.HK"}, "00700.HK"),
    ],
)
def test_what_is_refused_says_why_and_stores_nothing(client, fields, message):
    text = text_of(post(client, fields)).replace("&#x27;", "'")
    assert any(each in text for each in message.split("|"))
    assert not (CodeAlias.objects.exists() or CodeChange.objects.filter(market="CN").exists())


@pytest.mark.parametrize("row", ["", "x", "99999999"])
def test_unknown_row_is_no_error(client, row):
    response = post(client, {"action": "remove_alias", "market": "US", "row": row})
    assert messages_of(response) == "That is no longer there."


def test_reader_sees_the_codes_but_changes_nothing():
    reader = staff_client("view_stock")
    CodeAlias.objects.create(market="US", alias="BRKB", code="BRK.B")
    text = text_of(reader.get(url("codes"), {"market": "US"}))
    assert "BRKB BRK.B" in text and "Remove" not in text and "Add an alias" not in text
    for action in ("alias", "change", "remove_alias", "undo_import", "nonsense"):
        assert post(reader, {"action": action}).status_code == 403
