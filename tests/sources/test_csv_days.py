"""Kinds of days in files: every form that means one day is read, any other is refused with a sentence."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from tasks_app.sources.csv_folder.days import parse_day, read_days
from tasks_app.sources.csv_folder.problems import UnclearCell, UnreadableFile
from tests.sources.csv_files import parse, quotes

DAY = date(2024, 1, 31)
NEW_YORK, SHANGHAI = ZoneInfo("America/New_York"), ZoneInfo("Asia/Shanghai")


def problems_of(cells, zone=NEW_YORK):
    return [day.code if isinstance(day, UnclearCell) else day for day in read_days(cells, zone)]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31",
        "2024-1-31",
        "2024/1/31",
        "2024.01.31",
        "20240131",
        "20240131.0",
        "2024年1月31日",
        "31-Jan-2024",
        "31 January 2024",
        "Jan 31, 2024",
        "January 31 2024",
        "Wed, Jan 31, 2024",
        "2024-Jan-31",
        "31/01/2024",
        "01/31/2024",
        "31.1.2024",
        "2024-01-31,三",
        "2024/01/31 星期三",
        "2024-01-31 Wed",
    ],
)
def test_kind_of_day_form_is_read(text):
    assert problems_of([text]) == [DAY]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31 00:00:00",
        "2024/1/31 0:00",
        "2024-01-31T00:00:00.000Z",
        "1/31/2024 12:00:00 AM",
        "2024-01-31 00:00:00-05:00",
        "2024-01-31 00:00:00+08:00",
        "202401310000",
    ],
)
def test_kind_of_midnight_as_written_is_a_day(text):
    assert problems_of([text]) == [DAY]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        (NEW_YORK, "2024-01-31T05:00:00Z"),
        (NEW_YORK, "1706677200"),
        (NEW_YORK, "1706677200000"),
        (SHANGHAI, "2024-01-30T16:00:00Z"),
        (SHANGHAI, "1706630400"),
        (SHANGHAI, "1706659200"),  # midnight of UTC
    ],
)
def test_kind_of_moment_at_the_markets_midnight_is_a_day(zone, text):
    assert problems_of([text], zone) == [DAY]


def test_kind_of_moment_follows_summer_time():
    assert problems_of(["2024-07-01T04:00:00Z"]) == [date(2024, 7, 1)]
    assert problems_of(["2024-07-01T05:00:00Z"]) == ["time_of_day"]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31 09:31",
        "2024/1/31 9:31:00",
        "2024-01-31 15:00:00",
        "2024-01-31T14:30:00Z",
        "1706711400",
        "202401310931",
        "1/31/2024 4:00 PM",
    ],
)
def test_kind_of_minutes_is_refused(text):
    assert problems_of([text]) == ["time_of_day"]


def test_kind_of_ambiguous_day_is_settled_by_the_column():
    assert problems_of(["01/02/2024", "01/31/2024"]) == [date(2024, 1, 2), DAY]
    assert problems_of(["01.02.2024", "31.01.2024"]) == [date(2024, 2, 1), DAY]
    assert problems_of(["05/05/2024"]) == [date(2024, 5, 5)]


def test_kind_of_ambiguous_day_is_refused_where_nothing_tells():
    assert problems_of(["03/04/2024", "03/05/2024"]) == ["ambiguous_day"] * 2
    assert problems_of(["31/01/2024", "01/31/2024", "03/04/2024"]) == [
        "not_a_day",
        "not_a_day",
        "ambiguous_day",
    ]


def test_ambiguous_day_refuses_the_file_and_names_a_form():
    file = quotes("Date,Open,High,Low,Close,Volume", "03/04/2024,10,11,9,10,100")
    with pytest.raises(UnreadableFile) as caught:
        parse(file, "AAPL.csv")
    assert caught.value.problems[0].describe() == (
        "“03/04/2024” in the column Date may be either of two days, and no line of the file tells;"
        " write it as 2024-01-31"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("45322", "day_is_serial"),
        ("31-Jan-24", "not_a_day"),
        ("1/2/24", "not_a_day"),
        ("2024-13-01", "not_a_day"),
        ("2024-02-30", "not_a_day"),
        ("2024-W05-3", "not_a_day"),
        ("20241301", "not_a_day"),
        ("2024013109", "not_a_day"),
        ("2024-01", "not_a_day"),
        ("Q1 2024", "not_a_day"),
        ("", "not_a_day"),
    ],
)
def test_kind_of_text_that_is_no_day_is_refused(text, code):
    assert problems_of([text]) == [code]


def test_single_day_of_an_import():
    assert parse_day("2024/1/31") == DAY
    with pytest.raises(ValueError, match="ambiguous_day"):
        parse_day("03/04/2024")


def test_kind_of_time_column_beside_the_date():
    head = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    daily = parse(quotes(head, "AAPL.US,D,20240131,000000,10,11,9,10,100,0"), "aapl.us.txt")
    assert [bar.day for bar in daily.bars] == [DAY]
    for period, time, code in (("D", "153000", "time_of_day"), ("5", "000000", "not_daily")):
        with pytest.raises(UnreadableFile) as caught:
            parse(quotes(head, f"AAPL.US,{period},20240131,{time},10,11,9,10,100,0"), "aapl.us.txt")
        assert caught.value.problems[0].code == code


def test_kind_of_two_rows_of_one_day_is_refused():
    file = quotes("date,open,high,low,close,volume", "2024-01-30,9,9,9,9,5", "2024-01-31,10,11,9,10,100",
                  "2024-01-31,10,11,9,11,50")  # fmt: skip
    with pytest.raises(UnreadableFile) as caught:
        parse(file, "AAPL.csv")
    problem = caught.value.problems[0]
    assert (problem.code, problem.line, problem.values["other"]) == ("day_twice", 4, 3)


def test_kind_of_repeated_line_is_left_out_and_told():
    row = "2024-01-31,10,11,9,10,100"
    content = parse(quotes("date,open,high,low,close,volume", row, row), "AAPL.csv")
    assert len(content.bars) == 1
    assert [note.describe() for note in content.notes] == [
        "lines left out because another line says the same: 1"
    ]


def test_kind_of_monthly_bars_is_refused_from_three_rows_on():
    head, row = "date,open,high,low,close,volume", ",10,11,9,10,100"
    month_ends = ["2024-01-31", "2024-02-29", "2024-03-29", "2024-04-30"]
    for count in (3, 4):
        with pytest.raises(UnreadableFile) as caught:
            parse(quotes(head, *(day + row for day in month_ends[:count])), "AAPL.csv")
        assert caught.value.problems[0].code == "weekly"
    for thin in (month_ends[:2], ["2024-01-30", *month_ends]):  # real gaps of a thin stock
        assert len(parse(quotes(head, *(day + row for day in thin)), "AAPL.csv").bars) == len(thin)
    suspended = "2024-03-28,,,,,"
    assert len(parse(quotes(head, *(day + row for day in month_ends), suspended), "AAPL.csv").bars) == 4


def test_kind_of_weekly_bars_is_refused():
    rows = [f"2024-01-{day:02},10,11,9,10,100" for day in (1, 8, 15, 22, 29)]
    head = "date,open,high,low,close,volume"
    assert len(parse(quotes(head, *rows), "AAPL.csv").bars) == 5, "a few days may be a thin stock's"
    with pytest.raises(UnreadableFile) as caught:
        parse(quotes(head, *rows, "2024-02-05,10,11,9,10,100"), "AAPL.csv")
    assert caught.value.problems[0].code == "weekly"
