"""Error codes and what they mean to people."""

import re
from pathlib import Path

import pytest
from django.utils import translation

from tasks_app import errors

pytestmark = pytest.mark.any_database

ROOT = Path(errors.__file__).parent
CODES = re.compile(
    r"""(?:code=|code: |Issue\(|_failure\(|return |yield )"([a-z]+_[a-z_]+|timeout|throttled)",?"""
)


def test_every_code_that_a_stock_or_task_can_fail_with_is_explained():
    rooms = [ROOT / name for name in ("sources", "engine", "lifecycle", "quotes", "throttle")]
    texts = [path.read_text() for room in rooms for path in room.rglob("*.py")]
    written = {code for text in texts for code in CODES.findall(text)}
    assert {"timeout", "worker_lost", "prices_out_of_order", "no_worker"} <= written
    assert not written - errors.REASONS.keys()


def test_every_warning_of_a_worker_is_explained_with_its_parameters():
    texts = [path.read_text() for path in (ROOT / "engine").glob("*.py")]
    written = {
        code for text in texts for code in re.findall(r'lifecycle\.warn\(\w+(?:\.\w+)*, "(\w+)"', text)
    }
    assert {"calendar_ends", "stock_list_kept"} <= written <= errors.WARNINGS.keys()
    sentence = errors.warning({"code": "calendar_ends", "market": "CN", "end": "2026-12-31"})
    assert "CN" in sentence and "2026-12-31" in sentence
    assert errors.warning({"code": "of_another_version"}) == errors.warning({}) == ""


def test_a_reader_of_chinese_is_told_in_chinese_and_one_of_english_reads_the_record():
    with translation.override("zh-hans"):
        assert errors.reason("timeout") not in ("", str(errors.REASONS["timeout"]._args[0]))
        assert errors.reason("a_third_partys_code") == ""
    with translation.override("en"):
        assert errors.reason("timeout") == ""
