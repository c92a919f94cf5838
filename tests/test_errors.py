"""The sentences of error codes and warnings."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from tasks_app import errors, reasons

pytestmark = pytest.mark.any_database

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


def test_stored_reasons_are_english_for_any_reader():
    with translation.override("zh-hans"):
        assert (
            reasons.stored_reason("disk_full") == "The database's disk is full. Free some space, then retry."
        )
        assert reasons.stored_reason("no_worker", seconds=900.0).endswith("for 900 s.")
    assert reasons.STORED_REASONS.keys() <= reasons.REASONS.keys()
