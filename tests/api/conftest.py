"""What every test of the API must leave behind."""

from collections.abc import Iterator

import pytest

from tasks_app.api import bulk_stream


@pytest.fixture(autouse=True)
def _places_of_bulk_reads_are_free_again() -> Iterator[None]:
    yield
    assert bulk_stream._places._value == bulk_stream._places._initial_value
