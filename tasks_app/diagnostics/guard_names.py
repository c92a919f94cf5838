"""The triggers and constraints that a database has."""

from typing import NamedTuple


class Guards(NamedTuple):
    """Names of triggers that are switched on, and of constraints."""

    triggers: frozenset[str]
    constraints: frozenset[str]
