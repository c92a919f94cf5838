"""Fixtures and settings of every test."""

import os
from collections.abc import Iterator

import pytest
from django.utils import translation

os.environ["LC_ALL"] = "C.UTF-8"  # commands use the terminal's language

collect_ignore = ["browser"]  # a run of its own: `make browser`


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Starts every test in English: a request's language stays with its thread, which tests share."""
    with translation.override("en"):
        yield
