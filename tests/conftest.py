"""What holds for every test."""

import os
from collections.abc import Iterator

import pytest
from django.utils import translation

os.environ["LC_ALL"] = "C.UTF-8"  # the commands answer in the terminal's language

collect_ignore = ["browser"]  # a run of its own: `make browser`


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Every test begins in English: a request's language stays with its thread, which tests share."""
    with translation.override("en"):
        yield
