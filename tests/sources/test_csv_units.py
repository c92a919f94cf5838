"""Kinds of units: lots or shares, thousands of yuan, ratios or percent, amounts called turnover."""

import pytest

from tasks_app.sources.csv_folder.problems import UnreadableFile
from tests.sources.csv_files import day, parse, quotes

PLAIN = "date,open,high,low,close,volume"
SHARES = (7_654_321, 9_000_000, 4_321_000)
PRICES = "20.0,20.8,19.6,20.4"  # open, high, low, close; 20.2 on average


def rows(*, lots=False, decimals=2, amounts=0, extra=""):
    """Returns three rows; `amounts` is the money in one amount, 0 for none."""
    made = []
    for number, shares in enumerate(SHARES):
        volume = f"{shares / 100:.{decimals}f}" if lots else str(shares)
        amount = f",{shares * 20.2 / amounts:.3f}" if amounts else ""
        made.append(f"{day(number)},{PRICES},{volume}{amount}{extra}")
    return made


def problem_of(content, name="600000.csv", **options):
    with pytest.raises(UnreadableFile) as caught:
        parse(content, name, **options)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("lots", "amounts"), [(False, 1), (True, 1), (False, 1000), (True, 1000), (False, 10_000), (True, 10_000)]
)
def test_kind_of_units_is_proven_by_the_amount(lots, amounts):
    content = parse(quotes(PLAIN + ",amount", *rows(lots=lots, amounts=amounts)))
    assert [bar.volume for bar in content.bars] == list(SHARES)
    assert content.bars[0].amount == pytest.approx(SHARES[0] * 20.2, rel=1e-6)
    assert (content.shares_per_volume, content.unit_known_by) == (100 if lots else 1, "amount")


def test_kind_of_lots_is_told_by_decimals_without_an_amount():
    content = parse(quotes(PLAIN, *rows(lots=True)))
    assert [bar.volume for bar in content.bars] == list(SHARES)
    assert content.unit_known_by == "fractions"


def test_kind_of_unproven_unit_is_refused():
    problem = problem_of(quotes(PLAIN, *rows()))
    assert problem.code == "unit_unproven"
    assert "COLLECTOR_CSV_VOLUME_UNIT" in problem.describe()


@pytest.mark.parametrize(("unit", "shares"), [("shares", 7_654_321), ("lots", 765_432_100)])
def test_kind_of_unproven_unit_is_settled_by_the_setting(unit, shares):
    content = parse(quotes(PLAIN, *rows()), volume_unit=unit)
    assert (content.bars[0].volume, content.unit_known_by) == (shares, "setting")


@pytest.mark.parametrize(
    ("heading", "shares"),
    [
        ("volume(shares)", 1),
        ("volume (lots)", 100),
        ("成交量(股)", 1),
        ("成交量（手）", 100),
        ("成交量/手", 100),
    ],
)
def test_kind_of_unit_in_the_heading(heading, shares):
    content = parse(quotes(PLAIN.replace("volume", heading), *rows()))
    assert (content.bars[0].volume, content.unit_known_by) == (SHARES[0] * shares, "heading")


def test_amounts_in_an_unknown_unit_are_left_out():
    head = "date,open,high,low,close,volume(shares),成交额(亿元)"
    content = parse(quotes(head, *rows(amounts=100_000_000)))
    assert (content.bars[0].volume, content.bars[0].amount) == (SHARES[0], None)
    assert [note.code for note in content.notes] == ["amount_left_out"]


def test_unknown_unit_in_the_heading_is_refused():
    assert problem_of(quotes(PLAIN.replace("volume", "volume(bushels)"), *rows())).code == "unit_unknown"
    assert (
        problem_of(quotes(PLAIN.replace("open", "open(pence)"), *rows()), "AAPL.csv").code == "unit_unknown"
    )


def test_fractions_of_shares_refuse_a_file_in_shares():
    heading = PLAIN.replace("volume", "volume(shares)")
    assert problem_of(quotes(heading, *rows(lots=True))).code == "unit_clash"


@pytest.mark.parametrize("name", ["AAPL.csv", "00700.csv"])
def test_volumes_elsewhere_are_shares(name):
    content = parse(quotes(PLAIN, *rows()), name)
    assert (content.bars[0].volume, content.unit_known_by) == (SHARES[0], "market")


@pytest.mark.parametrize("adjust", ["", "qfq"])
def test_kind_of_tushare_lots_and_thousands(adjust):
    head = "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount"
    row = "600000.SH,20240131,20.0,20.8,19.6,20.4,20.0,0.4,2.0,76543.21,154617.284"
    content = parse(quotes(head, row), "600000.SH.csv", adjust=adjust)
    assert content.format == "Tushare"
    bar = content.bars[0]
    assert (bar.volume, bar.amount, bar.prev_close, bar.change, bar.change_pct) == (
        (7_654_321, 154_617_284.0, 20.0, 0.4, 2.0)
    )


def test_kind_of_old_tushare_lots():
    head = "date,open,high,close,low,volume,price_change,p_change,ma5,turnover"
    content = parse(quotes(head, "2024-01-31,20.0,20.8,20.4,19.6,76543.0,0.4,2.0,20.1,0.5"))
    assert (content.bars[0].volume, content.bars[0].turnover) == (7_654_300, 0.5)


def test_kind_of_adjusted_file_proven_by_its_newest_prices():
    old = "2024-01-30,10.0,10.4,9.8,10.2,50000,101000000"  # 20.2 a share, before a split
    new = [f"2024-02-0{n},20.0,20.8,19.6,20.4,50000,101000000" for n in range(1, 6)]
    content = parse(quotes(PLAIN + ",amount", old, *new), adjust="qfq")
    assert [bar.volume for bar in content.bars] == [5_000_000] * 6
    assert content.bars[0].amount == 101_000_000.0


@pytest.mark.parametrize(("factor", "lots"), [(10, False), (100, True)])
def test_prices_adjusted_backward_by_a_round_factor_prove_no_unit(factor, lots):
    prices = ",".join(str(float(price) * factor) for price in PRICES.split(","))
    made = [row.replace(PRICES, prices) for row in rows(lots=lots, decimals=0, amounts=1)]
    assert problem_of(quotes(PLAIN + ",amount", *made), adjust="hfq").code == "unit_unproven"


@pytest.mark.parametrize("lots", [False, True])
def test_prices_adjusted_backward_from_the_listing_on_prove_the_unit(lots):
    made = rows(lots=lots, amounts=1)
    content = parse(quotes(PLAIN + ",amount", *made), adjust="hfq")
    assert [bar.volume for bar in content.bars] == list(SHARES)


def test_kind_of_adjusted_prices_in_an_unadjusted_file():
    head = PLAIN + ",amount"
    made = [f"{day(n)},10.0,10.4,9.8,10.2,5000000,101000000" for n in range(10)]
    made += [f"{day(n)},20.0,20.8,19.6,20.4,5000000,101000000" for n in range(10, 25)]
    problem = problem_of(quotes(head, *made))
    assert (problem.code, problem.line) == ("amount_misfits", 2)
    assert problem.values == {"misfits": 10, "lines": 25}


# Percentages, ratios and money.


def test_kind_of_turnover_that_is_money():
    head = "symbol,exchange,datetime,open,high,low,close,volume,turnover,open_interest"
    made = [
        f"600000,SSE,{day(n)} 00:00:00,{PRICES},{shares}.0,{shares * 20.2:.1f},0.0"
        for n, shares in enumerate(SHARES)
    ]
    content = parse(quotes(head, *made))
    assert [bar.amount for bar in content.bars] == [round(shares * 20.2, 1) for shares in SHARES]
    assert {bar.turnover for bar in content.bars} == {None}
    assert (content.unit_known_by, content.notes[0].code) == ("amount", "turnover_is_amount")


def test_kind_of_turnover_in_an_unknown_unit_is_left_out():
    content = parse(quotes(PLAIN + ",amount,turnover", *rows(amounts=1, extra=",0.5")))
    assert content.bars[0].turnover is None
    assert [note.code for note in content.notes] == ["unproven"]


@pytest.mark.parametrize(("cell", "turnover"), [("0.005", 0.5), ("0.5", 0.5)])
def test_kind_of_turnover_proven_by_the_outstanding_shares(cell, turnover):
    head = "date,open,high,low,close,volume,outstanding_share,turnover"
    row = f"2024-01-31,{PRICES},5000000,1000000000.0,{cell}"
    assert parse(quotes(head, row)).bars[0].turnover == turnover


@pytest.mark.parametrize(
    ("heading", "cell", "turnover"),
    [
        ("换手率", "2.5", 2.5),
        ("换手率(%)", "0.5", 0.5),
        ("换手%", "0.5%", 0.5),
        ("换手率", "0.025", None),
        ("换手率", "25000", None),
    ],
)
def test_kind_of_turnover_ratio_or_percent(heading, cell, turnover):
    head = f"日期,开盘价,最高价,最低价,收盘价,成交量(股),{heading}"
    assert parse(quotes(head, f"2024-01-31,{PRICES},5000000,{cell}")).bars[0].turnover == turnover


@pytest.mark.parametrize(("factor", "note"), [(1, []), (0.01, ["ratio"])])
def test_kind_of_change_as_ratio_or_percent(factor, note):
    closes = [20.0, 20.4, 20.0, 20.6]
    made = [
        f"{day(n)},20,21,19,{close},500,{(close / before - 1) * 100 * factor:.6f}"
        for n, (before, close) in enumerate(zip([19.5, *closes], closes, strict=False))
    ]
    content = parse(quotes(PLAIN + ",pct_change", *made), "AAPL.csv")
    assert content.bars[1].change_pct == pytest.approx(2.0, abs=1e-3)
    assert [each.code for each in content.notes] == note


def test_kind_of_change_that_is_no_currency_is_left_out():
    made = [f"{day(n)},20,21,19,{20 + n},500,0.05" for n in range(4)]
    content = parse(quotes(PLAIN + ",change", *made), "AAPL.csv")
    assert {bar.change for bar in content.bars} == {None}
    assert [note.code for note in content.notes] == ["misfit"]


def test_kind_of_index_volume_is_never_proven_by_its_amount():
    content = quotes(PLAIN + ",amount", *rows(amounts=1))
    assert problem_of(content, "000300.SH.csv").code == "unit_unproven"
    read = parse(content, "sh000300.csv", volume_unit="lots")
    assert [bar.volume for bar in read.bars] == [shares * 100 for shares in SHARES]
