"""The drill that breaks rules by hand (`make soak`) finds what it breaks."""

from tests.mutations import MUTATIONS, ROOT


def test_text_to_break_stands_once_in_its_file() -> None:
    counts = {each.rule: (ROOT / each.file).read_text().count(each.old) for each in MUTATIONS}
    assert counts == dict.fromkeys(counts, 1)


def test_rule_has_tests_that_guard_it() -> None:
    assert not [each.rule for each in MUTATIONS if not (ROOT / each.tests).exists()]
