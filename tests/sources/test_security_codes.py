"""Every known spelling of a code is read as the one code of its security, or refused with what is wrong."""

import pytest

from tasks_app.orders.code_lists import split_codes
from tasks_app.sources.cn_codes import kind_of
from tasks_app.sources.security_codes import CodeError, canonical_code, canonical_or_same, exported_code

SPELLINGS = {
    ("CN", "600519"): "600519 sh600519 SH600519 sh.600519 600519.SH 600519.sh 600519.SS 600519.XSHG 600519_SH"
    " SHSE.600519 SH#600519 1.600519 CN-600519 600519.CN '600519 600519.0 ６００５１９",
    ("CN", "600036"): "600036SH 600036sh SH600036 600036.CH 600036.CG",
    ("HK", "01810"): "1810.HKG 1810HK 01810.HKG",
    ("CN", "000001"): "000001 sz000001 000001.SZ 000001.XSHE SZSE.000001 0.000001",
    ("CN", "430047"): "430047 bj430047 430047.BJ 0.430047 BJSE.430047",
    ("CN", "920047"): "920047 bj920047 920047.BJ 0.920047",
    ("CN", "510300"): "510300 sh510300 510300.SH 1.510300",
    ("CN", "000001.SH"): "sh000001 sh.000001 000001.SH 000001.SS 000001.XSHG 1.000001 SH#000001",
    ("CN", "000300.SH"): "sh000300 000300.XSHG 000300.CSI csi000300 2.000300",
    ("CN", "399001.SZ"): "399001 sz399001 399001.SZ SZSE.399001 0.399001 399001.CSI",
    ("CN", "899050.BJ"): "899050 bj899050 899050.BJ 0.899050",
    ("CN", "931151.CSI"): "931151.CSI csi931151 2.931151",
    ("CN", "000300"): "000300 sz000300 000300.SZ",
    ("HK", "00700"): "700 0700 00700 0700.HK 00700.HK hk00700 HK.00700 116.00700 31#00700 00700.XHKG",
    ("HK", "00005"): "5 00005 0005.HK",
    ("US", "BRK.B"): "BRK.B BRK-B BRK_B BRK/B brk-b 106.BRK_B BRK.B.US US.BRK.B BRK.B.N",
    ("US", "AAPL"): "AAPL aapl 105.AAPL AAPL.US AAPL-US AAPL_US 74#AAPL AAPL.O AAPL.OQ",
    ("US", "BAC.PL"): "BAC-PL BAC.PR.L BAC.PRL BAC_PL BAC.PL",
    ("US", "ABR.D"): "ABR_D ABR.D",
    ("SIM", "600000"): "600000 600000.SIM",
}


@pytest.mark.parametrize(
    ("market", "text", "code"),
    [(market, text, code) for (market, code), texts in SPELLINGS.items() for text in texts.split()],
)
def test_kind_of_spelling_is_one_code(market, text, code):
    assert canonical_code(market, text) == code
    assert canonical_code(market, code) == code, "a code stands for itself"
    assert canonical_code(market, exported_code(market, code)) == code, "and so does its export"


@pytest.mark.parametrize(
    ("market", "text", "code"),
    [
        ("CN", "600519 CH", "600519"),
        ("CN", "000001 CS Equity", "000001"),
        ("HK", "700 HK Equity", "00700"),
        ("HK", "1810 HK", "01810"),
    ],
)
def test_kind_of_bloomberg_code(market, text, code):
    assert canonical_code(market, text) == code
    assert canonical_code(market, split_codes(f"{text}, {text}")[0]) == code


def test_codes_that_spaces_separate_stay_apart():
    assert split_codes("600519 000001 CHTR CS") == ["600519", "000001", "CHTR", "CS"]


@pytest.mark.parametrize(
    ("market", "text", "error"),
    [
        ("CN", "600519.SZ", "other_exchange"),
        ("CN", "sh000001.SZ", "other_exchange"),
        ("CN", "000001.BJ", "other_exchange"),
        ("CN", "600519.CSI", "other_exchange"),
        ("CN", "600519SZ", "other_exchange"),
        ("CN", "600519.XX", "unread"),
        ("CN", "XX600519", "unread"),
        ("HK", "1810.XX", "unread"),
        ("CN", "2", "short_code"),
        ("CN", "00700", "short_code"),
        ("CN", "00700.HK", "other_market"),
        ("CN", "AAPL.US", "other_market"),
        ("HK", "600519.SH", "other_market"),
        ("US", "0700.HK", "other_market"),
        ("US", "HK-00700", "other_market"),
    ],
)
def test_kind_of_unclear_code_is_refused(market, text, error):
    with pytest.raises(CodeError) as refused:
        canonical_code(market, text)
    assert refused.value.code == error
    assert canonical_or_same(market, text) == text


@pytest.mark.parametrize(
    ("market", "text"), [("US", "VOD.L"), ("US", "ENERGY_5YR"), ("CN", "S0001"), ("US", "X1"), ("HK", "ABC")]
)
def test_code_of_a_source_of_its_own_stays(market, text):
    assert canonical_code(market, text.lower()) == text


@pytest.mark.parametrize(
    ("market", "code", "exported"),
    [
        ("CN", "000001", "000001.SZ"),
        ("CN", "600519", "600519.SH"),
        ("CN", "920047", "920047.BJ"),
        ("CN", "399001.SZ", "399001.SZ"),
        ("CN", "931151.CSI", "931151.CSI"),
        ("CN", "110059", "110059.CN"),
        ("HK", "00700", "00700.HK"),
        ("US", "NA", "NA.US"),
        ("SIM", "000001", "000001.SIM"),
    ],
)
def test_exported_code_is_no_number(market, code, exported):
    assert exported_code(market, code) == exported


@pytest.mark.parametrize(
    ("kind", "codes"),
    {
        "stock": "000001 600519 688981 300750 920002 900901",
        "etf": "510300 588000 159915 160105 180101",
        "index": "000001.SH 399001.SZ 899050.BJ 931151.CSI",
        "other": "110059 204001.SH 000001.SZ 399001",
    }.items(),
)
def test_kind_is_told_by_the_code(kind, codes):
    assert {kind_of(code) for code in codes.split()} == {kind}
