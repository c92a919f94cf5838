"""The page of the trading calendar: shown, corrected, imported; days of which nobody had quotes."""

from datetime import date

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tasks_app.market import silent_days
from tasks_app.models import CalendarDay
from tests.admin.helpers import messages_of, staff_client, text_of, url
from tests.factories import make_task

pytestmark = pytest.mark.django_db
DAY = date(2024, 9, 30)
CORRECTION = {"action": "correct", "market": "CN", "year": "2024", "day": "2024-09-30", "status": "closed"}


@pytest.fixture
def client():
    return staff_client("view_calendarday", "change_calendarday")


def show(client, **query):
    return text_of(client.get(url("calendar"), {"market": "CN", "year": "2024", **query}))


def post(client, **fields):
    return client.post(url("calendar"), {**CORRECTION, **fields})


def test_page_shows_a_markets_year(client):
    text = show(client)
    assert "242 trading days; the calendar is published up to" in text
    assert "2024-10 18 1, 2, 3, 4, 7 –" in text
    assert "every weekday counts" not in text
    assert "every weekday counts" in show(client, year="2099")


@pytest.mark.parametrize("query", [{"market": "XX"}, {"year": "x"}, {"year": "99999"}, {"day": "x"}])
def test_malformed_address_still_shows_a_year(client, query):
    assert "trading days" in show(client, **query)


def test_day_is_corrected_and_withdrawn(client):
    response = post(client, note="a typhoon")
    assert response.url == f"{url('calendar')}?market=CN&year=2024"
    row = CalendarDay.objects.get()
    assert (row.market, row.day, row.is_session, row.note) == ("CN", DAY, False, "a typhoon")
    assert (row.changed_by, row.changed_at is not None) == ("staff", True)
    text = show(client)
    assert "241 trading days" in text
    assert "2024-09-30 closed a typhoon staff" in " ".join(text.replace("event_busy", "").split())
    post(client, status="open")
    assert CalendarDay.objects.get().is_session
    post(client, action="withdraw")
    assert not CalendarDay.objects.exists()


def test_malformed_correction_is_refused_with_a_sentence(client):
    response = post(client, day="2024-02-30")
    assert response.status_code == 200
    assert "Enter a valid date." in text_of(response)
    assert not CalendarDay.objects.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"market,day,status\nCN,2027-02-05,closed\n", "Days corrected: 1."),
        (b"market,day,status\nCN,2027-02-30,closed\n", "“2027-02-30” is not a date"),
        (b"x" * 1_000_001, "at most 1 MB"),
        (None, "Choose a CSV file"),
    ],
)
def test_file_is_imported_as_a_whole_or_not_at_all(client, content, message):
    file = {} if content is None else {"file": SimpleUploadedFile("days.csv", content)}
    assert message in messages_of(post(client, action="import", **file))
    assert CalendarDay.objects.count() == (message == "Days corrected: 1.")


def test_day_without_quotes_is_shown_and_marked_as_closed(client):
    task = make_task(source="sample", stock_codes=("AAPL",))
    for n in range(silent_days.WITNESSES):
        silent_days.add_answers(task, f"C{n}", [date(2027, 1, 4)], None)
    text = show(client, market="US", year="2027")
    assert "2027-01-04 sample 5" in text and "no: it may only have been late" in text
    post(client, market="US", day="2027-01-04", year="2027")
    assert "Mark as closed" not in show(client, market="US", year="2027")


def test_reader_sees_the_calendar_but_changes_nothing():
    reader = staff_client("view_calendarday")
    assert "Correct a day" not in show(reader)
    for action in ("correct", "withdraw", "import", "nonsense"):
        assert post(reader, action=action).status_code == 403
    assert not CalendarDay.objects.exists()
