"""The lock files, as far as no network is needed. docs/security.md lists the rest."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def requirement_lines(name: str) -> list[str]:
    whole = re.sub(r"\s*\\\n\s*--hash=\S+", "", (ROOT / name).read_text())
    text = [line.split(" #")[0].strip() for line in whole.splitlines()]
    return [line for line in text if line and not line.startswith("#")]


def locked_requirements(name: str) -> dict[str, Requirement]:
    """Returns the requirements that apply to this machine, by canonical name."""
    requirements = [Requirement(line) for line in requirement_lines(name)]
    return {
        canonicalize_name(one.name): one for one in requirements if not one.marker or one.marker.evaluate()
    }


def required_names(name: str) -> set[str]:
    names = [line for line in requirement_lines(name) if not line.startswith("-")]
    return {canonicalize_name(Requirement(line).name) for line in names}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_every_package(name):
    loose = [
        line for line in requirement_lines(name) if not re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ;|$)", line)
    ]
    assert not loose  # no ranges, addresses, folders, options or other indexes


@pytest.mark.parametrize("name", LOCKS)
def test_lock_contains_every_requirement(name):
    missing = required_names(name.replace(".txt", ".in")) - locked_requirements(name).keys()
    assert not missing


def test_dev_lock_matches_product_lock():
    product, tests = (locked_requirements(name) for name in LOCKS)
    different = {name for name, one in product.items() if tests[name].specifier != one.specifier}
    assert not different


def test_installed_versions_match_the_lock():
    wrong = {
        name: version(name)
        for name, one in locked_requirements(LOCKS[1]).items()
        if version(name) not in one.specifier
    }
    assert not wrong
