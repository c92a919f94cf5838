"""Kinds of numbers in files: separators, currencies, rounded values, noise of their representation."""

import pytest

from tasks_app.sources.csv_folder.noise import clean_prices, join_equal
from tasks_app.sources.csv_folder.numbers import NumberReader
from tasks_app.sources.csv_folder.problems import UnclearCell, UnreadableFile
from tests.sources.csv_files import parse, quotes


def read(*cells, others=()):
    values = NumberReader([cells, others]).read_column(cells)
    return [value.code if isinstance(value, UnclearCell) else value for value in values]


def test_plain_numbers():
    assert read("10", "-1.5", "0.25", "") == [10.0, -1.5, 0.25, None]


@pytest.mark.parametrize("text", ["-", "--", "None", "NaN", "null", "N/A", "<NA>", "停牌"])
def test_missing_numbers(text):
    assert read(text) == [None]


def test_kind_of_thousands_separators():
    assert read("1,234,567", "1,234.50", "12.5") == [1234567.0, 1234.5, 12.5]
    assert read("900,000", others=("104.25",)) == [900000.0]
    assert read("1 234 567", "1'234.5", "1\u00a0234") == [1234567.0, 1234.5, 1234.0]


def test_kind_of_decimal_commas():
    assert read("10,5", "1.234,50", "1.234.567", "7") == [10.5, 1234.5, 1234567.0, 7.0]
    assert read("1.234", others=("10,25",)) == [1234.0]


def test_kind_of_ambiguous_comma_is_refused():
    assert read("1,234", "5") == ["ambiguous_number", 5.0]
    assert read("1,5", "2.25") == ["not_a_number", 2.25], "a decimal comma where points are decimal"


def test_kind_of_currency_signs():
    assert read("$192.53", "¥10.5", "HK$3", "-$1.5") == [192.53, 10.5, 3.0, -1.5]


@pytest.mark.parametrize("text", ["1.23M", "45.6K", "12.5万", "1.2亿", "1.23E+08", "1.2345e+09"])
def test_kind_of_rounded_number_is_refused(text):
    assert read(text) == ["rounded_number"]


def test_exact_scientific_notation_is_read():
    assert read("1.2345678e7", "5e-3") == [12345678.0, 0.005]


@pytest.mark.parametrize("text", ["abc", "1_000", "1.2.3", "12,34.5", "=A1", "#REF!"])
def test_other_texts_are_no_numbers(text):
    assert read(text, others=("12.25",)) == ["not_a_number"]


def test_kind_of_german_sheet():
    head = "Datum;Date;Open;High;Low;Close;Volume"
    content = parse(quotes(head, "x;31.01.2024;10,00;10,50;9,75;10,25;1.234.567"), "AAPL.csv")
    assert content.bars[0][1:6] == (10.0, 10.5, 9.75, 10.25, 1_234_567)


def test_kind_of_nasdaq_history():
    head = "Date,Close/Last,Volume,Open,High,Low"
    content = parse(quotes(head, '01/31/2024,$184.40,"55,467,800",$187.04,$187.10,$184.35'), "AAPL.csv")
    assert content.bars[0][1:6] == (187.04, 187.1, 184.35, 184.4, 55_467_800)


def test_rounded_volume_fails_the_file():
    with pytest.raises(UnreadableFile) as caught:
        parse(quotes("Date,Open,High,Low,Close,Vol.", "2024-01-31,10,11,9,10,1.23M"), "AAPL.csv")
    assert caught.value.problems[0].describe() == (
        "“1.23M” in the column Vol. is a rounded number; the file must have all its digits"
    )


def test_kind_of_float_noise_is_rounded_and_told():
    head = "Date,Open,High,Low,Close,Volume"
    rows = ["2024-01-30,7.1,7.3,6.9,7.300000000000001,100", "2024-01-31,7.199999999999999,7.4,7.2,7.3,100"]
    content = parse(quotes(head, *rows), "HK/00002.csv", market="HK")
    assert [bar[1:5] for bar in content.bars] == [(7.1, 7.3, 6.9, 7.3), (7.2, 7.4, 7.2, 7.3)]
    assert [(note.code, note.values["count"]) for note in content.notes] == [("noise", 2)]


def test_kind_of_single_precision_is_rounded():
    prices = [[10.300000190734863, 10.2], [10.300000190734863, 10.5]]
    assert clean_prices(prices) == 2
    assert prices == [[10.3, 10.2], [10.3, 10.5]]


def test_single_precision_of_high_prices_is_rounded_to_the_files_decimals():
    prices = [[1983.8100585937501, 1999.98], [2004.989990234375, 2000.0]]
    assert clean_prices(prices) == 2
    assert prices == [[1983.81, 1999.98], [2004.99, 2000.0]]
    thirds = [[10.305, 10.31, 10.315], [10.3, 10.325, 10.305]]
    assert clean_prices(thirds) == 0


def test_long_adjusted_prices_are_not_rounded():
    prices = [[10.123456789, 9.87654321], [11.00000000001, 8.7654321]]
    assert clean_prices(prices) == 0
    assert prices == [[10.123456789, 9.87654321], [11.00000000001, 8.7654321]]


def test_kind_of_close_beyond_the_high_by_representation():
    opened, high, low, close = [9.0], [10.123456789012345], [8.0], [10.123456789012349]
    assert join_equal(opened, high, low, close) == 1
    assert close == high
    opened, high, low, close = [9.0], [10.0], [8.0], [10.0001]
    assert join_equal(opened, high, low, close) == 0, (
        "a real difference stays, and the engine refuses the bar"
    )
