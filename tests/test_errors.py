"""The sentences of error codes and warnings."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from tasks_app import errors, reasons

ROOT = Path(errors.__file__).parent
CODES = re.compile(
    r"""(?:code=|_reason\(|code: |Issue\(|_failure\(|return |yield )"([a-z]+_[a-z_]+|timeout|throttled)",?"""
)


def test_every_failure_code_is_explained():
    rooms = [ROOT / name for name in ("sources", "engine", "lifecycle", "quotes", "throttle")]
    texts = [path.read_text() for room in rooms for path in room.rglob("*.py")]
    written = {code for text in texts for code in CODES.findall(text)}
    assert {"timeout", "worker_lost", "prices_out_of_order", "no_worker"} <= written
    assert not written - reasons.REASONS.keys()


def test_every_warning_is_explained():
    texts = [path.read_text() for path in (ROOT / "engine").glob("*.py")]
    written = {
        code for text in texts for code in re.findall(r'lifecycle\.warn\(\w+(?:\.\w+)*, "(\w+)"', text)
    }
    assert {"calendar_ends", "stock_list_kept"} <= written <= reasons.WARNINGS.keys()
    sentence = reasons.translated_warning({"code": "calendar_ends", "market": "CN", "end": "2026-12-31"})
    assert "CN" in sentence and "2026-12-31" in sentence
    assert reasons.translated_warning({"code": "of_another_version"}) == reasons.translated_warning({}) == ""


def test_reasons_are_translated_for_chinese_readers():
    with translation.override("zh-hans"):
        assert reasons.translated_reason("timeout") not in ("", str(reasons.REASONS["timeout"]._args[0]))
        assert reasons.translated_reason("a_third_partys_code") == ""
    with translation.override("en"):
        assert reasons.translated_reason("timeout") == ""


STORED = {  # a sentence as it is stored, and how a Chinese reader gets it
    "all_failed": (
        {"total": 3, "first": "000007: Too many."},
        "全部 3 只股票均采集失败，第一只是 000007：Too many.",
    ),
    "no_worker": ({"seconds": 900.0}, "该任务已有 900 秒没有工作进程在处理。"),
    "disk_full": ({}, ""),  # is stored as what its code means
}


@pytest.mark.parametrize("code", STORED)
def test_stored_reasons_are_translated_whole(code):
    params, chinese = STORED[code]
    message = reasons.stored_reason(code, **params)
    assert reasons.explain(code, message) == message
    with translation.override("zh-hans"):
        assert reasons.explain(code, message) == (chinese if params else str(reasons.REASONS[code]))
        meaning = str(reasons.REASONS[code])
        assert reasons.explain(code, "Of another version.") == f"{meaning}Of another version."
        assert reasons.explain(code, "") == meaning


def test_every_stored_reason_has_placeholders_that_a_translation_can_fill():
    for code, template in reasons.STORED_REASONS.items():
        params = {
            name: {"d": 3, "g": 1.5, "s": "x"}[kind] for name, kind in reasons.PLACEHOLDER.findall(template)
        }
        with translation.override("zh-hans"):
            shown = reasons.explain(code, reasons.stored_reason(code, **params))
        assert not shown.startswith(template.split("%", 1)[0] or "%"), code


def test_stored_reasons_are_english_for_any_reader():
    with translation.override("zh-hans"):
        assert (
            reasons.stored_reason("disk_full") == "The database's disk is full. Free some space, then retry."
        )
        assert reasons.stored_reason("no_worker", seconds=900.0).endswith("for 900 s.")
    assert reasons.STORED_REASONS.keys() <= reasons.REASONS.keys()


def test_markets_have_the_names_of_pages():
    error = errors.MarketNotServed(source="simulated", market="CN", markets="SIM, HK")
    assert str(error) == "The source “simulated” does not support the market CN, only SIM, HK."
    with translation.override("zh-hans"):
        assert str(error) == "数据源“simulated”不支持A股，仅支持模拟行情、港股。"
