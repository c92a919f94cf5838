"""The locks, as far as they can be checked without a network. docs/security.md says what needs one."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def lines(name: str) -> list[str]:
    whole = re.sub(r"\s*\\\n\s*--hash=\S+", "", (ROOT / name).read_text())
    text = [line.split(" #")[0].strip() for line in whole.splitlines()]
    return [line for line in text if line and not line.startswith("#")]


def locked(name: str) -> dict[str, Requirement]:
    """What the lock asks for on this machine, by canonical name."""
    found = [Requirement(line) for line in lines(name)]
    return {canonicalize_name(one.name): one for one in found if not one.marker or one.marker.evaluate()}


def asked(name: str) -> set[str]:
    given = [line for line in lines(name) if not line.startswith("-")]
    return {canonicalize_name(Requirement(line).name) for line in given}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_one_version_of_each_package_and_comes_from_the_index_alone(name):
    loose = [line for line in lines(name) if not re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ;|$)", line)]
    assert not loose  # no ranges, addresses, folders, options or other indexes


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_all_that_was_asked_for(name):
    missing = asked(name.replace(".txt", ".in")) - locked(name).keys()
    assert not missing


def test_tests_run_on_the_versions_that_are_delivered():
    product, tests = (locked(name) for name in LOCKS)
    different = {name for name, one in product.items() if tests[name].specifier != one.specifier}
    assert not different


def test_what_is_installed_is_what_is_locked():
    wrong = {
        name: version(name) for name, one in locked(LOCKS[1]).items() if version(name) not in one.specifier
    }
    assert not wrong
